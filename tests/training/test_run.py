"""Runs: stopped and resumed bit by bit, finished, extended, refused; what they leave behind."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import re
import signal

import cv2
import keras
import numpy as np
import pytest

import koala
from common import seals, training
from common.cli import UserError
from common.color import bins
from common.datasets import splits
from common.networks import h5
from tests import drawn, tiny
from tests.training import home as runs


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in, with 40 drawn pictures in photos/."""
    monkeypatch.chdir(tmp_path)
    return runs.make(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(folder, output) of the command from beginning to end."""
    folder, out = runs.make(tmp_path_factory.mktemp("undisturbed")), io.StringIO()
    with runs.current(folder), contextlib.redirect_stdout(out):
        assert runs.command() == 0
    return folder, out.getvalue()


def _is_undisturbed(folder, undisturbed):
    ours, theirs = runs.state(folder), runs.state(undisturbed[0])
    assert ours == theirs and len(ours) > 10
    ours, theirs = runs.progress(folder)["history"], runs.progress(undisturbed[0])["history"]
    assert runs.without_time(ours) == runs.without_time(theirs)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_goes_on_to_the_same_bits(undisturbed, home, kill, capsys):
    """In mid-epoch, with shuffling, augmentation, dropout and Adam."""
    steps = 19  # of an epoch, which has two more checkpoints: at its last step, and behind it
    done = runs.killed(home, kill, steps + 2 + 8)
    assert done.returncode == (-9 if kill == signal.SIGKILL else 128 + kill), done.stderr
    stopped = runs.progress(home)
    # Killed before the eighth step's checkpoint was written; SIGTERM lets it be.
    assert (stopped["epoch"], stopped["step"]) == (1, 7 if kill == signal.SIGKILL else 8)
    if kill != signal.SIGKILL:
        assert "the same command goes on from there" in done.stdout
        assert "Traceback" not in done.stderr

    assert runs.train().stopped_by is None
    assert "goes on after 1 epochs" in capsys.readouterr().out
    _is_undisturbed(home, undisturbed)


def test_an_interrupted_run_goes_on_to_the_same_bits(undisturbed, home, capsys):
    """SIGINT; the run returned has no model yet, but its history so far.

    It decodes every picture anew, the one that goes on and the undisturbed one keep them in memory.
    """
    run = runs.train(callbacks=(runs.Stop(30, signal.SIGINT),), cache=0)
    assert "stay in memory" not in capsys.readouterr().out
    assert run.stopped_by == signal.SIGINT and run.model is None and len(run.history) == 1
    assert runs.progress(home)["step"] == 30 - 19  # an epoch has 19 steps
    run = runs.train()
    assert run.stopped_by is None and len(run.history) == 4 and run.model.exists()
    assert "pictures stay in memory" in capsys.readouterr().out and run.dataset.cache is None
    _is_undisturbed(home, undisturbed)


def test_what_a_run_leaves_behind(undisturbed):
    home, out = undisturbed
    assert out.startswith("precision: float32 (as asked)")
    run = home / "runs" / "r"
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {"loss", "val_loss", "val_psnr_rgb", "mean_colour_psnr_rgb"} <= rows[0].keys()
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert cv2.imread(str(run / "curves.png")).std() > 0
    grid = cv2.imread(str(run / "grid.png"))
    validation = out.split("mean colour on ")[1].split()[0]
    assert grid.shape == (128 * int(validation), 128 * 3, 3)
    stamps = grid[::4, ::4]  # shown four times as large, pixel by pixel
    assert (grid == stamps.repeat(4, 0).repeat(4, 1)).all()
    # Grey is grey to one 8-bit step: Lab's white and sRGB's differ in the fifth digit.
    assert np.ptp(stamps[:, :32], axis=2).max() <= 1 and np.ptp(stamps[:, 64:], axis=2).max() > 50
    assert "Training</h2>" in (run / "evaluation" / "index.html").read_text(), "the run's curves"
    assert json.loads((run / "config.json").read_text())["seed"] == 0
    metadata = h5.metadata(home / "models" / "tiny.h5")
    assert metadata["data"]["name"].startswith("photos-") and metadata["epochs"] == 4
    assert len(metadata["data"]["train_sha256"]) % 12 == 0
    assert metadata["metrics"]["split"] == "validation" and metadata["metrics"]["mse_ab"] > 0
    assert metadata["cut"] == "squash" and metadata["image_size"] == 32


def test_the_exports_figures_are_those_of_the_last_epoch(undisturbed):
    """The export and the network in training are one function: float32, so to rounding."""
    home, _ = undisturbed
    metadata = h5.metadata(home / "models" / "tiny.h5")
    last = runs.progress(home)["history"][-1]
    assert metadata["metrics"]["mse_ab"] == pytest.approx(last["val_mse_ab"], rel=1e-4)


def test_finished_extended_and_claimed(home, capsys):
    first = runs.train(epochs=1)
    before = runs.state(home)
    again = runs.train(epochs=1)
    assert "is finished, 1 epochs" in capsys.readouterr().out
    assert first.trained and not again.trained and runs.state(home) == before
    assert (again.model, again.history, again.metrics) == (
        first.model,
        first.history,
        first.metrics,
    )
    assert len(runs.train(epochs=2).history) == 2
    capsys.readouterr()
    for flags, named in (
        (("--seed", "1"), "seed was 0, is 1"),
        (("--batch", "3"), "config.batch_size was 2"),
        (("--config", "decay"), "config_name was plain, is decay"),
        (("--rebalance",), "options was [], is ['rebalance']"),
        (("--steps", "7"), "config.steps was 19, is 7"),
    ):
        code, errors = runs.command(*flags), capsys.readouterr().err
        line = errors.strip().splitlines()[-1]
        assert code == 2 and line.startswith("error: ") and "Traceback" not in errors
        assert named in line and "RUN=name" in line
    assert runs.progress(home)["epoch"] == 2


def test_a_run_of_an_earlier_version_is_the_same_run(home):
    """Its config.json had the fields of the report's own config, and that config's `steps`."""
    runs.train(epochs=1)
    path = home / "runs" / "r" / "config.json"
    identity = seals.read_json(path)
    for field in ("fractions", "distance", "classes", "class_weight"):
        del identity["config"][field]
    identity["config"]["steps"] = 100
    path.write_text(json.dumps(identity))
    assert len(runs.train(epochs=2).history) == 2


@dataclasses.dataclass(frozen=True)
class Sharp(drawn.Config):
    """A report's config with a field, and a value, that its base does not have."""

    learning_rate: float = 2e-3
    sharpness: int = 1


def test_fields_that_were_not_written_had_the_defaults_of_the_reports_own_class(tmp_path):
    now = {"config": training.run.plain(Sharp(batch_size=3)), "seed": 0}
    was = {**now, "config": {"batch_size": 3}}
    (tmp_path / "config.json").write_text(json.dumps(was))
    training.run.refuse_another(tmp_path, now, Sharp)
    with pytest.raises(UserError, match=r"\(config.batch_size was 3, is 4\)"):
        training.run.refuse_another(
            tmp_path, {**now, "config": training.run.plain(Sharp(batch_size=4))}, Sharp
        )


def test_a_run_may_watch_more_from_some_epoch_on(home):
    config = drawn.Config(epochs=1, steps=1, batch_size=2)
    runs.train(config)
    watched = ("psnr_ab",)
    history = runs.train(dataclasses.replace(config, epochs=2, watched=watched)).history
    assert "val_psnr_ab" not in history[0] and history[1]["val_psnr_ab"] > 0
    read = training.logs.read_history(home / "runs" / "r")
    assert read[0]["val_psnr_ab"] is None and read[1]["val_psnr_ab"] == history[1]["val_psnr_ab"]


def test_extending_gives_what_one_run_would_have_given(undisturbed, home):
    """With a constant rate: two epochs and then two more are four."""
    runs.train(epochs=2)
    runs.train(epochs=4)
    assert runs.state(home) == runs.state(undisturbed[0])


def test_the_metadata_hold_the_effective_config(home):
    """One truth of steps and epochs, whatever the config's own are."""
    metadata = h5.metadata(runs.train(epochs=2, steps=3, batch=5).model)
    config = metadata["config"]
    assert (metadata["steps"], metadata["epochs"]) == (config["steps"], config["epochs"]) == (3, 2)
    assert config["batch_size"] == 5


def test_a_model_of_other_data_is_not_replaced(home, capsys):
    (home / "models").mkdir()
    path = home / "models" / "tiny.h5"
    drawn.exported(path, data="precious")
    before = path.read_bytes()
    run = runs.train(epochs=1, steps=1, published=True)
    assert "stays, since it was trained on precious" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert run.model == run.folder.relative_to(".") / "tiny.h5"
    run = runs.train(epochs=1, steps=1, published=True, overwrite=True)
    assert h5.metadata(path)["epochs"] == 1 and run.model.resolve() == path


def test_a_loss_that_is_no_number_stops_the_run(home):
    with pytest.raises(UserError, match="The loss is .* lower learning rate"):
        runs.train("wild", epochs=9)


def test_pictures_without_colour_are_an_error_before_the_training(home):
    for path in (home / "photos").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    for _ in range(2):  # the second time with finished shards
        with pytest.raises(UserError, match="no colour to learn from"):
            runs.train()
    assert not (home / "runs").exists()


def test_cosine_decay_ends_at_zero(home):
    rates = [row["learning_rate"] for row in runs.train("decay").history]
    assert rates[0] < 1e-3 and rates[-1] == pytest.approx(0, abs=1e-9) and rates[0] > rates[1]


def test_steps_may_pass_the_data_many_times(home):
    assert runs.train(epochs=1, steps=70).history[0]["steps"] == 70


def test_a_run_on_some_pictures_sees_these_alone_and_says_so(home, capsys):
    run = runs.train(epochs=2, pictures=5)
    count = run.dataset.count("train")
    assert f"pictures: 5 of {count} for training" in capsys.readouterr().out
    about = h5.metadata(run.model)
    assert about["config"]["pictures"] == 5 and about["steps"] == 3  # batches of two
    drawn = splits.drawn(count, 5, seed=0)
    digests = sorted(run.dataset.sha256("train")[position][:12] for position in drawn)
    assert about["data"]["train_sha256"] == "".join(digests)
    with pytest.raises(UserError, match="config.pictures was 5, is None"):
        runs.train(epochs=2)


@pytest.mark.parametrize("pictures", [0, -1, 39])
def test_more_pictures_than_there_are_is_one_line_before_the_run(home, pictures):
    with pytest.raises(UserError, match=r"has \d+ training pictures. Take 1 to \d+, or leave"):
        runs.train(pictures=pictures)
    assert not (home / "runs").exists()


def test_the_prior_is_that_of_the_pictures_in_training(home):
    whole, some = (
        h5.metadata(runs.train(epochs=1, steps=1, rebalance=True, pictures=n, run=f"{n}").model)
        for n in (None, 4)
    )
    assert np.count_nonzero(some["prior"]) < np.count_nonzero(whole["prior"])


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize("extras", [("bins",), ("rebalance",), ("bins", "rebalance")])
def test_options_give_models_of_their_own_that_end_in_ab(home, extras):
    """The export's figures are those of the run's last epoch, and Keras alone opens it."""
    run = runs.train(epochs=1, **dict.fromkeys(extras, True))
    assert run.model.name == f"{'-'.join(['tiny', *extras])}.h5"
    metadata = h5.metadata(run.model)
    assert metadata["options"] == list(extras)
    assert run.metrics["mse_ab"] == pytest.approx(run.history[-1]["val_mse_ab"], rel=1e-4)
    if "rebalance" in extras:
        prior = np.array(metadata["prior"])
        assert prior.shape == (313,) and prior.sum() == pytest.approx(1, abs=1e-4)
        assert 1 < np.count_nonzero(prior) < 313
    model = keras.models.load_model(run.model, compile=False)
    ab = model.predict({"l": np.full((1, 32, 32, 1), 50, "float32")}, verbose=0)
    assert ab.shape == (1, 32, 32, 2) and ab.dtype == np.float32


def test_both_ends_of_the_dial_are_exported_and_exported_anew_with_others(home):
    config = drawn.Config(epochs=1, steps=2, faithful=(1.0, 0.0), vivid=(0.38, 0.7))
    config = dataclasses.replace(config, export_both=True)
    options = {"bins": True, "rebalance": True, "published": True}
    run = runs.train(config, **options)
    assert run.model.name == "tiny-custom-bins-rebalance.h5"
    faithful, vivid = (
        h5.metadata(home / f"models/tiny-custom-bins-rebalance{end}.h5") for end in ("", "-vivid")
    )
    assert (faithful["dial"]["default"], vivid["dial"]["default"]) == (0, 1)
    assert vivid["title"] == "tiny-custom-bins-rebalance-vivid"
    assert faithful["metrics"] != vivid["metrics"]
    assert faithful["metrics"]["mse_ab"] == pytest.approx(run.history[-1]["val_mse_ab"], rel=1e-4)
    np.testing.assert_allclose(
        faithful["dial"]["rarity"], bins.rarity(np.array(faithful["prior"])), rtol=1e-4
    )
    other = dataclasses.replace(config, vivid=(0.5, 0.9))
    run = runs.train(other, overwrite=True, **options)
    assert h5.metadata(run.model)["dial"]["vivid"] == [0.5, 0.9]
    assert runs.train(config, **options).trained is False


def test_a_classifier_that_is_not_rebalanced_has_a_dial_too(home):
    metadata = h5.metadata(runs.train(epochs=1, steps=1, bins=True).model)
    assert metadata["dial"]["trained"] == metadata["dial"]["default"] == 0
    assert "dial" not in h5.metadata(runs.train(epochs=1, steps=1, run="ab").model)


def test_an_optioned_run_stopped_goes_on_to_the_same_bits(home):
    options = {"bins": True, "rebalance": True, "epochs": 2}
    runs.train(run="whole", **options)
    assert runs.train(callbacks=(runs.Stop(25),), **options).stopped_by == signal.SIGTERM
    runs.train(**options)
    assert runs.state(home) == runs.state(home, "whole")


def test_rebalancing_changes_the_loss_alone(home):
    """The same network, pictures and views: without a step of difference but in the weights."""
    plain = runs.train(epochs=1, steps=5).history[0]
    rebalanced = runs.train(epochs=1, steps=5, rebalance=True, run="b").history[0]
    assert rebalanced["loss"] != plain["loss"]
    assert rebalanced["mean_colour_mse_ab"] == plain["mean_colour_mse_ab"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--config", "none"),
        ("--epochs", "0"),
        ("--batch", "x"),
        ("--data", "nowhere"),
        ("--precision", "int8"),
        ("--init", "nowhere.h5"),
        ("--what",),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(home, flags, capsys):
    try:
        code = runs.command(*flags)
    except SystemExit as stop:
        code = stop.code
    errors = [line for line in capsys.readouterr().err.splitlines() if "picture" not in line]
    assert code == 2 and len(errors) == 1 and errors[0].startswith("error: ")


# --- from an exported model ----------------------------------------------------------------------


@pytest.mark.parametrize("extras", [{}, {"bins": True}])
def test_a_second_leg_begins_from_the_weights_of_the_first(home, extras):
    first = runs.train(epochs=1, **extras)
    begun = []

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            begun.append([variable.numpy() for variable in self.model.weights])

    second = runs.train(
        epochs=1, steps=1, run="leg2", init=first.model, callbacks=(Begin(),), **extras
    )
    (network,) = (x for x in h5.load(first.model).layers if isinstance(x, keras.Model))
    for ours, theirs in zip(begun[0], network.get_weights(), strict=True):
        assert (ours == theirs).all()
    metadata = h5.metadata(second.model)
    assert metadata["init"] == {
        "file": first.model.name,
        "sha256": hashlib.sha256(first.model.read_bytes()).hexdigest(),
        "title": first.model.stem,
    }


def test_a_leg_that_replaced_its_first_model_is_known_again(home):
    """Under the name that it began from, which is then its own export."""
    runs.train(epochs=1, steps=1, published=True)
    leg = {"run": "leg2", "init": "tiny", "steps": 1, "published": True}
    began = h5.metadata(runs.train(epochs=1, **leg).model)["init"]
    assert not runs.train(epochs=1, **leg).trained
    extended = runs.train(epochs=2, **leg)
    assert len(extended.history) == 2 and h5.metadata(extended.model)["init"] == began


def test_weights_of_another_network_are_refused(home):
    model = runs.train(epochs=1, steps=1).model
    for config, options, difference in (
        ("fused", {"embedding_weights": "random"}, "lack narrow/kernel"),
        ("plain", {"bins": True}, "lack ab_bins/kernel"),
        (drawn.Config(ab_scale=1 / 100), {}, "its layer ab scales by"),
    ):
        with pytest.raises(UserError, match=f"of another network: .*{difference}"):
            runs.train(config, run="leg2", init=model, **options)
    with pytest.raises(UserError, match="of another network: it holds tiny, not koala"):
        training.train(
            koala,
            data="photos",
            init=model,
            size=32,
            embedding="mobilenet_v2",
            embedding_weights="random",
        )


# --- in Python -----------------------------------------------------------------------------------


def test_the_script_in_the_readme_trains_and_colours(home):
    readme = (runs.ROOT / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(import cv2\n\nimport koala.*?)```", readme, re.DOTALL)
    assert len(script.strip().splitlines()) <= 12 and "epochs=4" in script
    small = "epochs=1, steps=1, batch=2, size=32, embedding='mobilenet_v2'"
    script = script.replace("epochs=4", f"{small}, embedding_weights='random'")
    cv2.imwrite("photo.jpg", drawn.picture(99, 50, 70))
    exec(compile(script, "README.md", "exec"), {})
    assert cv2.imread("coloured.png").shape == (50, 70, 3)
    assert h5.metadata("models/koala.h5")["embedding"]["weights"] == "random"


def test_a_config_of_ones_own_is_called_custom(home):
    run = runs.train(drawn.Config(epochs=1, steps=1, batch_size=2))
    assert run.model.name == "tiny-custom.h5"
    assert h5.metadata(run.model)["config_name"] == "custom"
    with pytest.raises(UserError, match="tiny has no config plian. Did you mean plain?"):
        training.train(tiny.REPORT, "plian", "photos")
