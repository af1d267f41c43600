"""One change of wombat's recipe at a time: what is changed, and the table."""

import dataclasses
import types

import keras
import pytest

import wombat
from common import cli
from common.color import bins
from common.commands import variants
from common.networks import h5
from tests import drawn
from wombat.experiments import changes


@pytest.mark.parametrize("name", changes.BASES)
def test_every_change_is_of_one_thing_and_no_other_is_the_same(name):
    base, made = wombat.CONFIGS[name], set()
    known = changes.changes_of(base)
    for key, change in known.items():
        config = dataclasses.replace(base, **change.fields)
        assert (config != base) + bool(change.options) == (key != "base"), key
        assert set(config.augment) <= set(base.augment)
        made.add(repr((config, change.options)))
    assert len(made) == len(known)


def test_figures_are_from_the_mean_colour_and_the_truth():
    def row(psnr, colourfulness):
        means = {"psnr_rgb": psnr, "colourfulness": colourfulness}
        return types.SimpleNamespace(
            figures={key: types.SimpleNamespace(mean=mean) for key, mean in means.items()}
        )

    evaluation = types.SimpleNamespace(mean_colour=row(22.0, 8.0), truth=row(None, 40.0))
    assert changes.figures(evaluation, row(23.5, 20.0)) == ["+1.50", ".50"]
    assert changes.figures(evaluation, row(21.25, 42.0)) == ["-0.75", "1.05"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with drawn pictures, and a network of two layers in wombat's place."""

    def small(config):
        l = keras.Input((config.image_size, config.image_size, 1), name="l")
        x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu")(l)
        x = keras.layers.Dropout(config.dropout)(x)
        logits = keras.layers.Conv2D(len(bins.CENTRES), 1, name="ab_bins")(x)
        return keras.Model({"l": l}, logits, name="wombat")

    drawn.folder(tmp_path / "photos", 40, 32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wombat, "build_model", small)
    return tmp_path


def run(*arguments):
    flags = ["--data=photos", "--size=32", "--batch=2", "--steps=1", "--epochs=1"]
    return cli.run(changes.main, [*flags, "--precision=float32", *arguments])


@pytest.mark.slow
def test_a_row_for_each_change_and_both_ends_of_the_dial(folder, capsys):
    assert run("--changes=drop4") == 0
    text = next((folder / "reports/changes").glob("*/changes.md")).read_text()
    assert text in capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == ["| the recipe", "| dropout 0.4"]
    assert {len(row) for row in rows} == {9}
    base, changed = (
        h5.metadata(next((folder / "runs").glob(f"changes-wombat-{key}-*/*-vivid.h5")))["config"]
        for key in ("base", "drop4")
    )
    assert changed == base | {"dropout": 0.4}
    assert not (folder / "models").exists()


def test_a_mistake_is_one_line(folder, capsys):
    assert run("--run=mine") == 2
    assert "--run: each config's run has a name of its own" in capsys.readouterr().err
    assert run("--config=frozen", "--changes=noviews") == 2
    assert "noviews: frozen has no views but flips" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--changes=lite9")
    assert "list of changes (base, seed1" in capsys.readouterr().err


def test_a_stopped_run_ends_the_comparison(folder, monkeypatch):
    stopped = types.SimpleNamespace(model=None, stopped_by=15)
    monkeypatch.setattr(variants.training, "train", lambda *_: stopped)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 143
