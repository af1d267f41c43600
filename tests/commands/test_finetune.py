"""The command `finetune`: the table at its end, the card, and which report a model is of."""

import re

import pytest

from common import cli
from common.cli import UserError
from common.commands import finetune
from common.networks import h5
from common.training.best import PATIENCE
from tests import drawn, tiny
from tests.training import home as runs

NAME = "tiny-on-photos"
FLAGS = ["--data=photos", "--general=others", "--precision=float32", "--epochs=1", "--steps=3"]


@pytest.fixture(autouse=True, scope="module")
def undrawn():
    """Without curves and grids, which take as long as these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_curves", "draw_grid"):
            patch.setattr(f"common.training.logs.{name}", lambda *_: None)
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn.folder("photos", 30, 32)
    drawn.folder("others", 3, 40)
    runs.untrained(tmp_path / "models/tiny.h5")
    return tmp_path


def command(*flags):
    return cli.run(
        lambda argv: finetune.main(argv, report=tiny.REPORT), ["--model=tiny", *FLAGS, *flags]
    )


def test_it_ends_with_a_table_and_a_card(home, capsys):
    assert command("--seed=3") == 0
    out = capsys.readouterr().out
    number = r"[+-]?\d+\.\d\d"
    lines = re.findall(
        rf"\| photos-\w+, \d+ unseen \| PSNR RGB, dB \| ({number}) \| ({number}) \| ({number}) "
        rf"\({number} to {number}\) \|",
        out,
    )
    assert len(lines) == 1
    before, after, difference = map(float, lines[0])
    assert after - before == pytest.approx(difference, abs=0.015)
    assert re.search(r"\| others-\w+, 3 \| CIEDE2000 \|", out)
    card = (home / "models/tiny-on-photos.md").read_text(encoding="utf-8")
    about = h5.metadata("models/tiny-on-photos.h5")
    for fact in (about["init"]["sha256"], "--seed=3", "--epochs=1", "(KEEP): 0.7", "PSNR RGB"):
        assert fact in card
    assert command("--seed=3") == 0
    assert "models/tiny-on-photos.md has its figures" in capsys.readouterr().out


def test_where_nothing_was_gained_it_says_so_and_exits_1(home, capsys, monkeypatch):
    """Then the result is the old model, and is not published."""
    monkeypatch.setattr("common.training.finetuning.RATE", 1e4)
    assert command("--steps=1", "--epochs=9", "--run=r") == 1
    assert "Nothing was gained" in capsys.readouterr().out
    assert sorted(path.name for path in (home / "models").iterdir()) == ["tiny.h5"]
    assert len(runs.progress(home)["history"]) == PATIENCE
    old, new = (h5.load(path).get_weights() for path in ("models/tiny.h5", f"runs/r/{NAME}.h5"))
    assert all((ours == theirs).all() for ours, theirs in zip(old, new, strict=True))


def test_a_folder_must_be_named(home, capsys):
    with pytest.raises(SystemExit) as stop:
        finetune.main([], report=tiny.REPORT)
    assert stop.value.code == 2 and "DATA= is missing" in capsys.readouterr().err


def test_a_missing_folder_of_other_photos_is_found_out_first(home, capsys):
    assert command("--general=nowhere") == 2
    assert "There is no folder nowhere" in capsys.readouterr().err
    assert not (home / "data").exists() or not (home / "runs/tiny-on-photos").exists()


def test_a_model_of_an_unknown_report_is_refused(home):
    with pytest.raises(UserError, match="There is no report tiny."):
        finetune.run("photos", "tiny")


@pytest.mark.slow
def test_the_shipped_model_is_tuned_from_stored_maps_to_both_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    drawn.folder("photos", 24, 64)
    drawn.folder("others", 2, 64)
    assert cli.run(finetune.main, [*FLAGS[:2], "--epochs=1", "--steps=2", "--batch=4"]) == 0
    assert "maps of efficientnet_lite" in capsys.readouterr().out
    ends = [h5.metadata(f"models/wombat-on-photos{end}.h5") for end in ("", "-vivid")]
    assert [about["dial"]["default"] for about in ends] == [0, 1]
    shipped = h5.metadata(runs.ROOT / "models/shipped/wombat.h5")
    assert ends[0]["dial"] == shipped["dial"]
