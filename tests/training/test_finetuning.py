"""An exported model that is tuned to a folder: what it begins from, keeps, and ends with."""

import shutil
import signal
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from common import training
from common.cli import UserError
from common.color.dial import Dial
from common.networks import h5
from common.training import finetuning
from tests import drawn, tiny
from tests.training import home as runs

SHORT = {"precision": "float32", "epochs": 2, "steps": 3}


@pytest.fixture(autouse=True, scope="module")
def undrawn():
    """Without curves and grids, which take as long as these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_curves", "draw_grid"):
            patch.setattr(f"common.training.logs.{name}", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a style of 30 pictures, models/tiny.h5, not trained, and that tuned."""
    folder = tmp_path_factory.mktemp("begun")
    drawn.folder(folder / "photos", 30, 32)
    with runs.current(folder):
        runs.untrained(Path("models/tiny.h5"))
        tune(keep=0.25)
    return folder


@pytest.fixture
def home(begun, tmp_path, monkeypatch):
    """The same without the tuned model and its run."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "models/tiny-on-photos.h5").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tune(model="tiny", data="photos", report=tiny.REPORT, **options):
    return training.finetune(report, model, data, **(SHORT | options))


def exported(path):
    (network,) = (x for x in h5.load(path).layers if x.name == "tiny")
    return network.get_weights()


def test_the_result_is_named_after_both_and_says_what_it_was_made_of(begun, monkeypatch):
    monkeypatch.chdir(begun)
    run = tune(keep=0.25)
    assert not run.trained  # it is finished, and left as it is
    about = h5.metadata("models/tiny-on-photos.h5")
    assert about["title"] == "tiny-on-photos" and about["init"]["file"] == "tiny.h5"
    assert about["tuning"] == {"keep": 0.25, "rate": 1e-2, "epoch": 2}
    assert about["config"]["learning_rate"] == pytest.approx(0.3 * 1e-2)
    assert about["config"]["decay"] == "cosine" and about["config"]["batch_size"] == 2
    counts = [run.dataset.count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 30 and min(counts) > 0 and counts[0] < 27


def test_a_stopped_one_goes_on_to_the_same_model(home, begun, capsys):
    assert tune(keep=0.25, callbacks=(runs.Stop(4),)).stopped_by == signal.SIGTERM
    assert "before: validation loss" in capsys.readouterr().out
    again = exported(tune(keep=0.25).model)
    assert "before: validation loss" not in capsys.readouterr().out  # that was known
    for ours, theirs in zip(again, exported(begun / "models/tiny-on-photos.h5"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_tuned_model_is_tuned_further_at_the_rate_of_the_first(begun, monkeypatch):
    monkeypatch.chdir(begun)
    monkeypatch.setattr(finetuning, "train", lambda report, config, data, options: config)
    assert tune("tiny-on-photos").learning_rate == pytest.approx(0.3 * 1e-2)


def test_how_many_pictures_a_model_was_trained_on_is_not_taken_over(begun, monkeypatch):
    monkeypatch.chdir(begun)
    config = finetuning.tuned(drawn.Config(pictures=5000), 1e-2)
    assert config.pictures is None
    asked = []
    monkeypatch.setattr(finetuning, "train", lambda *arguments: asked.append(arguments[-1]))
    tune(pictures=7)
    assert asked[0].pictures == 7


def test_keeping_more_ends_nearer_to_the_old_model(home, begun):
    """And a model of other data is replaced where that is asked for."""
    of_another(home)
    old = exported("models/tiny.h5")

    def moved(path):
        return sum(np.square(a - b).sum() for a, b in zip(old, exported(path), strict=True))

    run = tune(keep=0.95, overwrite=True)
    assert run.model.parent.name == "models"
    assert moved(run.model) < moved(begun / "models/tiny-on-photos.h5")


def test_a_classifier_keeps_its_dial(home):
    dial = Dial((0.4, 0.0), (0.5, 0.7), 0.0, tuple(np.linspace(0.5, 2, 313)), 0.0)
    runs.untrained(home / "models/bins.h5", dial)
    after = h5.metadata(tune("bins", epochs=1, steps=2, published=False).model)
    assert after["options"] == ["bins"]
    assert Dial.of_json(after["dial"]) == Dial.of_json(h5.metadata("models/bins.h5")["dial"])


def test_it_ends_with_the_moving_average_of_the_best_epoch(home):
    """Of an optimizer that keeps one: what was validated, not what the last step left."""

    def averaging(config, steps):
        rate = training.learning_rate(config, steps)
        return keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.9)

    report = training.Report("tiny", tiny.CONFIGS, drawn.build_model, averaging, drawn.loss)
    run = tune(report=report)
    best = min(run.history, key=lambda row: row["val_loss"])
    assert run.metrics["mse_ab"] == pytest.approx(best["val_mse_ab"], rel=1e-4)


# --- what cannot be tuned ------------------------------------------------------------------------


def grey(home):
    for path in (home / "photos").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def few(home):
    for path in sorted((home / "photos").iterdir())[20:]:
        path.unlink()


def few_in_colour(home):
    for path in sorted((home / "photos").iterdir())[:7]:
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def of_nobody(home):
    h5.export(h5.load("models/tiny.h5"), home / "models/tiny.h5", {"title": "tiny"})


def of_another(home):
    drawn.exported(home / "models/tiny-on-photos.h5", data="other")


def vivid(home):
    about = h5.metadata("models/tiny.h5")
    about["config"]["export_both"] = True
    about["dial"] = {
        **{"faithful": [0.4, 0], "vivid": [0.4, 1], "trained": 0, "rarity": [1] * 313},
        "default": 1.0,
    }
    h5.export(h5.load("models/tiny.h5"), home / "models/tiny.h5", about)


def damaged(home):
    about = h5.metadata("models/tiny.h5")
    about["config"]["image_size"] = "large"
    h5.export(h5.load("models/tiny.h5"), home / "models/tiny.h5", about)


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (grey, {}, "is grey or of a single tone"),
        (few, {}, "photos has 20 pictures in colour; at least 24 are needed"),
        (few_in_colour, {}, "photos has 23 pictures in colour; at least 24 are needed"),
        (None, {"data": "nowhere"}, "There is no folder nowhere"),
        (None, {"model": "nothing"}, "There is no model nothing"),
        (None, {"keep": 1.0}, "KEEP is at least 0 and below 1"),
        (of_nobody, {}, "does not say how it was trained"),
        (of_another, {}, "is there already and stays: it was trained on other"),
        (vivid, {}, "is the vivid end of a model's dial"),
        (damaged, {}, "is damaged: its image_size is 'large'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_models_as_they_were(home, spoil, options, words):
    if spoil:
        spoil(home)
    before = {path.name: path.read_bytes() for path in (home / "models").iterdir()}
    with pytest.raises(UserError, match=words):
        tune(**options)
    assert {path.name: path.read_bytes() for path in (home / "models").iterdir()} == before
    assert not (home / "runs").exists()


def test_an_onnx_is_refused(home):
    (home / "models/tiny.onnx").write_bytes(b"\x08\x07\x12\x04")
    with pytest.raises(UserError, match=r"Tune the \.h5 that it was made of"):
        tune("models/tiny.onnx")
