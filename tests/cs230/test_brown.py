"""What keeps `plain` brown: the runs differ by one thing each, and the table says by which."""

import dataclasses

import keras
import pytest

import cs230
from common import cli
from common.networks import h5
from cs230.experiments import brown
from tests import drawn


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with drawn pictures, and a narrow network."""
    drawn.folder(tmp_path / "photos", 60, 32)
    monkeypatch.chdir(tmp_path)
    narrow = dataclasses.replace(
        cs230.CONFIGS["plain"], encoder=(4, (4, 2), (4, 2), (4, 2)), decoder=(4, "up", 4, "up", 4)
    )
    monkeypatch.setitem(cs230.CONFIGS, "plain", narrow)
    return tmp_path


def run(*arguments):
    flags = ["--data=photos", "--size=32", "--batch=4", "--steps=2", "--epochs=1"]
    return cli.run(brown.main, [*flags, *arguments])


@pytest.mark.slow
def test_each_run_changes_one_thing(folder, capsys):
    assert run("--changes=linear,long,tenth") == 0
    text = next((folder / "reports/brown").glob("*/brown.md")).read_text()
    assert text in capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    firsts = [line.split(" | ")[0].removeprefix("| ") for line in lines[1:]]
    changes = [brown.CHANGES[key] for key in ("base", "linear", "long", "tenth")]
    assert firsts[-5:] == [*(change.name for change in changes), "true pictures"]
    assert {"grey", "mean colour"} <= set(firsts[:-5])

    base, linear, long, tenth = (
        _metadata(folder, key) for key in ("base", "linear", "long", "tenth")
    )
    assert tenth["config"] == base["config"] | {"pictures": round(0.1 * _pictures(base))}
    assert len(tenth["data"]["train_sha256"]) == 12 * tenth["config"]["pictures"]
    assert linear["config"] == base["config"] | {"ab_scale": 1.0}
    assert long["config"] == base["config"] | {"epochs": 3 * base["config"]["epochs"]}
    assert {key: long[key] for key in ("seed", "split_sha256", "options")} == {
        key: base[key] for key in ("seed", "split_sha256", "options")
    }
    for key, activation in (("base", "tanh"), ("linear", "linear")):
        last = h5.load(_export(folder, key)).get_layer("cs230").get_layer("decoder_ab")
        assert last.activation is getattr(keras.activations, activation)


def test_every_change_but_of_the_length_is_of_one_thing():
    for key, change in brown.CHANGES.items():
        given = [change.fields, change.options, change.times > 1, change.share < 1]
        assert sum(map(bool, given)) == (key != "base"), key


def test_a_config_or_an_unknown_change_is_one_line(folder, capsys):
    assert run("--config=fusion") == 2
    assert "--config: changes of plain are compared" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--changes=base,hue")
    assert "list of changes" in capsys.readouterr().err


def _export(folder, key):
    (path,) = (folder / "runs").glob(f"brown-{key}-*/*.h5")
    return path


def _pictures(metadata):
    """How many pictures a model was trained on."""
    return len(metadata["data"]["train_sha256"]) // 12


def _metadata(folder, key):
    return h5.metadata(_export(folder, key))
