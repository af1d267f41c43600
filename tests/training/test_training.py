"""Runs: killed and resumed bit by bit, finished, extended, refused; what they leave behind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import cli, datasets, training
from common.color import lab
from common.networks import embeddings, h5
from common.training.options import configured
from tests import drawn, tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in, with 40 drawn pictures in photos/."""
    drawn.folder(tmp_path / "photos", 40, 40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _command(*flags):
    return [
        sys.executable,
        "-m",
        "tests.tiny",
        "--data",
        "photos",
        "--precision",
        "float32",
        "--run",
        "r",
        *flags,
    ]


def _start(home, *flags):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        _command(*flags),
        cwd=home,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _progress(home, name="r"):
    try:
        with np.load(home / "runs" / name / "checkpoint.npz") as stored:
            return json.loads(str(stored["progress"]))
    except FileNotFoundError:
        return {"epoch": 0, "step": 0, "history": []}


def _state(home, name="r"):
    with np.load(home / "runs" / name / "checkpoint.npz") as stored:
        return {key: stored[key] for key in stored.files if key != "progress"}


def _train(home, *flags):
    """The command in this process; returns its exit code."""
    assert Path.cwd() == home
    return cli.run(tiny.main, _command(*flags)[3:])


def _without_time(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    drawn.folder(home / "photos", 40, 40)
    run = _start(home)
    out, err = run.communicate()
    assert run.returncode == 0, err
    return home, out


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_goes_on_to_the_same_bits(undisturbed, tmp_path, kill):
    """In mid-epoch, with shuffling, augmentation, dropout and Adam."""
    shutil.copytree(undisturbed[0] / "photos", tmp_path / "photos")
    # A checkpoint after each step, so that SIGKILL too is survived in mid-epoch.
    seconds = "0" if kill == signal.SIGKILL else "300"
    run = _start(tmp_path, "--checkpoint-seconds", "0")
    while run.poll() is None and (p := _progress(tmp_path))["epoch"] < 1 or p["step"] < 3:
        time.sleep(0.005)
    run.send_signal(kill)
    out, err = run.communicate(timeout=120)
    stopped = _progress(tmp_path)
    assert 1 <= stopped["epoch"] < 4 and stopped["step"] > 0, "was not stopped in mid-epoch"
    assert run.returncode == (-9 if kill == signal.SIGKILL else 128 + kill), err
    if kill != signal.SIGKILL:
        assert "the same command goes on from there" in out and "Traceback" not in err

    run = _start(tmp_path, "--checkpoint-seconds", seconds)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert f"goes on after {stopped['epoch']} epochs" in out
    ours, theirs = _state(tmp_path), _state(undisturbed[0])
    assert ours.keys() == theirs.keys() and len(ours) > 10
    assert all(ours[key].tobytes() == theirs[key].tobytes() for key in theirs)
    assert _without_time(_progress(tmp_path)["history"]) == _without_time(
        _progress(undisturbed[0])["history"]
    )


def test_what_a_run_leaves_behind(undisturbed):
    home, out = undisturbed
    assert out.startswith("precision: float32 (as asked)")
    run = home / "runs" / "r"
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {"loss", "val_loss", "val_psnr_rgb", "mean_colour_psnr_rgb"} <= rows[0].keys()
    assert list((run / "tensorboard").iterdir())
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
    last = _progress(home)["history"][-1]
    assert metadata["metrics"]["mse_ab"] == pytest.approx(last["val_mse_ab"], rel=1e-4)


def test_finished_extended_and_claimed(home, capsys):
    assert _train(home, "--epochs", "1") == 0
    before = _state(home)
    assert _train(home, "--epochs", "1") == 0
    assert "is finished, 1 epochs" in capsys.readouterr().out
    assert all((before[key] == value).all() for key, value in _state(home).items())
    assert _train(home, "--epochs", "2") == 0
    assert _progress(home)["epoch"] == 2
    capsys.readouterr()
    for flags, named in (
        (("--seed", "1"), "seed was 0, is 1"),
        (("--batch", "3"), "config.batch_size was 2"),
        (("--config", "decay"), "config_name was plain, is decay"),
    ):
        code, said = _train(home, *flags), capsys.readouterr().err
        line = said.strip().splitlines()[-1]
        assert code == 2 and line.startswith("error: ") and "Traceback" not in said
        assert named in line and "RUN=name" in line
    assert _progress(home)["epoch"] == 2


def test_extending_gives_what_one_run_would_have_given(undisturbed, home):
    """With a constant rate: two epochs and then two more are four."""
    _train(home, "--epochs", "2")
    _train(home, "--epochs", "4")
    theirs = _state(undisturbed[0])
    assert all(theirs[key].tobytes() == value.tobytes() for key, value in _state(home).items())


def test_a_model_of_other_data_is_not_replaced(home, capsys):
    (home / "models").mkdir()
    drawn.exported(home / "models" / "tiny.h5", data="precious")
    before = (home / "models" / "tiny.h5").read_bytes()
    assert _train(home, "--epochs", "1") == 0
    assert "stays, since it was trained on precious" in capsys.readouterr().out
    assert (home / "models" / "tiny.h5").read_bytes() == before
    assert h5.metadata(home / "runs" / "r" / "tiny.h5")["epochs"] == 1
    assert _train(home, "--epochs", "1", "--overwrite") == 0
    assert h5.metadata(home / "models" / "tiny.h5")["epochs"] == 1


def test_a_damaged_checkpoint_is_refused_and_kept(home, capsys):
    _train(home, "--epochs", "1")
    path = home / "runs" / "r" / "checkpoint.npz"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for at in range(middle, middle + 256):  # more than the zip file's own headers and padding
        data[at] ^= 0xFF
    path.write_bytes(data)
    capsys.readouterr()
    assert _train(home, "--epochs", "2") == 2
    assert "checkpoint.npz is corrupt. Delete it" in capsys.readouterr().err
    assert path.read_bytes() == bytes(data)


def test_a_loss_that_is_no_number_stops_the_run(home, capsys):
    assert cli.run(tiny.main, ["--data", "photos", "--config", "wild", "--epochs", "9"]) == 2
    said = capsys.readouterr().err
    assert "The loss is " in said and "lower learning rate" in said and "Traceback" not in said


@pytest.mark.parametrize(
    "flags",
    [
        ("--config", "none"),
        ("--epochs", "0"),
        ("--batch", "x"),
        ("--data", "nowhere"),
        ("--precision", "int8"),
        ("--what",),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(home, flags, capsys):
    try:
        code = cli.run(tiny.main, [*flags])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err.strip()
    assert code == 2 and len(said.splitlines()) == 1 and said.startswith("error: ")


def test_cosine_decay_ends_at_zero(home):
    cli.run(tiny.main, ["--data", "photos", "--config", "decay", "--run", "d"])
    rates = [row["learning_rate"] for row in _progress(home, "d")["history"]]
    assert rates[0] < 1e-3 and rates[-1] == pytest.approx(0, abs=1e-9) and rates[0] > rates[1]


def test_steps_may_pass_the_data_many_times(home):
    _train(home, "--epochs", "1", "--steps", "70")
    assert _progress(home)["history"][0]["steps"] == 70


def test_a_full_disk_leaves_no_half_checkpoint(home, monkeypatch, capsys):
    _train(home, "--epochs", "1")
    before = (home / "runs" / "r" / "checkpoint.npz").read_bytes()

    def full(path, **arrays):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    capsys.readouterr()
    assert _train(home, "--epochs", "2") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert (home / "runs" / "r" / "checkpoint.npz").read_bytes() == before
    assert not list((home / "runs" / "r").glob(".*"))


def test_each_pass_shows_every_picture_once_in_an_order_of_its_own(home):
    dataset = datasets.prepare("photos", 32, "squash", folder=home / "shards")
    config = tiny.CONFIGS["plain"]
    batches = training.Batches(drawn.build_model(config), config, dataset)
    count = dataset.count("train")
    passes = [[int(batches.position(turn * count + i)) for i in range(count)] for turn in range(3)]
    assert all(sorted(order) == list(range(count)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


# --- options of training ---


@pytest.mark.parametrize(
    ("flags", "title"),
    [
        (("--bins",), "tiny-bins"),
        (("--rebalance",), "tiny-rebalance"),
        (("--bins", "--rebalance"), "tiny-bins-rebalance"),
    ],
)
def test_options_give_models_of_their_own_that_end_in_ab(home, flags, title):
    """The export's figures are those of the run's last epoch, and a model opens bare."""
    assert _train(home, *flags, "--epochs", "2") == 0
    last = _progress(home)["history"][-1]
    path = home / "models" / f"{title}.h5"
    metadata = h5.metadata(path)
    assert metadata["options"] == [flag.strip("-") for flag in flags]
    assert metadata["metrics"]["mse_ab"] == pytest.approx(last["val_mse_ab"], rel=1e-4)
    if "--rebalance" in flags:
        prior = np.array(metadata["prior"])
        assert prior.shape == (313,) and prior.sum() == pytest.approx(1, abs=1e-4)
        assert 1 < np.count_nonzero(prior) < 313
    bare = (
        "import keras, numpy as np, sys; m = keras.models.load_model(sys.argv[1], "
        "compile=False); l = np.full((1, 32, 32, 1), 50, 'float32'); "
        "print(m.predict({'l': l}, verbose=0).shape, m.output.dtype)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", bare, str(path)],
        text=True,
        capture_output=True,
        cwd=home / "photos",
        env=environment,
    )
    assert done.stdout.strip() == "(1, 32, 32, 2) float32", done.stderr


def test_an_optioned_run_stopped_goes_on_to_the_same_bits(home):
    flags = ("--bins", "--rebalance")
    assert _train(home, *flags, "--epochs", "2") == 0
    whole = _state(home)
    shutil.rmtree(home / "runs")
    assert _train(home, *flags, "--epochs", "1") == 0
    assert _train(home, *flags, "--epochs", "2") == 0
    assert all(whole[key].tobytes() == value.tobytes() for key, value in _state(home).items())


def test_an_option_is_another_run(home, capsys):
    assert _train(home, "--epochs", "1") == 0
    capsys.readouterr()
    assert _train(home, "--epochs", "1", "--rebalance") == 2
    assert "options was [], is ['rebalance']" in capsys.readouterr().err


def test_rebalancing_changes_the_loss_alone(home):
    """The same network, pictures and views: without a step of difference but in the weights."""
    assert _train(home, "--epochs", "1") == 0
    plain = _progress(home)["history"][0]
    assert _train(home, "--epochs", "1", "--rebalance", "--run", "b") == 0
    rebalanced = _progress(home, "b")["history"][0]
    assert rebalanced["loss"] != plain["loss"]
    assert rebalanced["mean_colour_mse_ab"] == plain["mean_colour_mse_ab"]


def test_embedding_each_view_needs_views_and_an_embedding(home, capsys):
    assert _train(home, "--embed-views") == 2
    assert "the config plain does not both fuse an embedding and" in capsys.readouterr().err


def test_views_are_embedded_anew(home):
    """The first batch's embeddings are those of its augmented L*, not the stored ones."""
    config = tiny.CONFIGS["views"]
    dataset = datasets.prepare("photos", 32, "squash", "mobilenet_v2", "random")
    network = drawn.build_model(config)
    embedder = embeddings.load("mobilenet_v2", "random")
    stored, live = (
        training.Batches(network, config, dataset, embedder=each)(3)[0] for each in (None, embedder)
    )
    assert (stored["l"] == live["l"]).all()
    expected = embedder(lab.unscale_l(live["l"], config), pad=True)
    assert live["embedding"] == pytest.approx(expected, abs=1e-3)  # L* through float32 and back
    assert np.abs(stored["embedding"] - live["embedding"]).max() > 0.01 * np.abs(expected).max()


def _configured(config, data, **options):
    return configured(tiny.REPORT, "plain", config, data, training.Options(**options))


def test_the_samples_recipe_goes_before_the_config_and_options_before_it():
    config = drawn.Config(epochs=200)
    assert _configured(config, "samples").epochs == 2
    assert _configured(config, "samples", epochs=5).epochs == 5
    assert _configured(config, "photos").epochs == 200


def test_a_recipe_without_steps_is_once_through_whatever_the_config_says():
    config = drawn.Config(steps=100)
    assert _configured(config, "samples").steps is None
    assert _configured(config, "samples", steps=7).steps == 7
    assert _configured(config, "photos").steps == 100


@pytest.mark.slow
def test_mixed_bfloat16_resumes_to_the_same_bits(tmp_path):
    drawn.folder(tmp_path / "photos", 20, 40)
    for name, epochs in (("a", ("2",)), ("b", ("1", "2"))):
        for number in epochs:
            command = _command("--epochs", number)
            command[command.index("float32")] = "mixed_bfloat16"
            command[command.index("r")] = name
            subprocess.run(
                command,
                cwd=tmp_path,
                check=True,
                capture_output=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
    a, b = _state(tmp_path, "a"), _state(tmp_path, "b")
    assert all(a[key].tobytes() == b[key].tobytes() for key in a)
