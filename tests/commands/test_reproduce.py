"""Koala end to end by its commands, at full size: a step of training is all that is cut short."""

import json
from pathlib import Path

import cv2
import pytest

from common import cli
from common.commands import __main__, reproduce
from common.networks import h5
from tests import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def colorization(tmp_path, monkeypatch, capfd):
    """The command, called in `tmp_path`: what it and its processes write, to output or to error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the process that trains

    def call(*words, code=0):
        returned = cli.run(__main__.main, list(words))
        written = capfd.readouterr()
        assert returned == code, written.err
        return written.err if code else written.out

    return call


@pytest.mark.slow
def test_reproduce_eval_and_colorize(tmp_path, colorization):
    drawn.folder(tmp_path / "photos", 24, 100, ".jpg")
    quick = (
        "--steps=1",
        "--epochs=2",
        "--batch=1",
        "--embedding=mobilenet_v2",
        "--embedding-weights=random",
        "--precision=float32",
    )
    output = colorization("reproduce", "koala", "--data=photos", "--config=lee2021", *quick)
    assert "| lee2021 | parameters | 6,541,202 | 6,541,202 |" in output
    table = (tmp_path / "reports" / "reproduce" / "koala.md").read_text()
    assert table in output and " -> " in table and "mean colour" in table
    assert "`make train-koala CONFIG=lee2021 DATA=photos" in table

    metadata = h5.metadata(tmp_path / "models" / "koala.h5")
    assert metadata["embedding"]["weights"] == "random" and metadata["config_name"] == "lee2021"
    output = colorization("eval", "--data=photos")
    assert "koala" in output and "mean colour" in output and "RANDOM" in output
    report = json.loads((tmp_path / "reports" / "eval" / "metrics.json").read_text())
    assert [row["name"] for row in report["rows"]] == [
        "grey",
        "mean colour",
        "nearest neighbour",
        "koala",
        "wombat",
    ]
    assert (tmp_path / "reports" / "eval" / "index.html").exists()

    cv2.imwrite(str(tmp_path / "old.png"), drawn.picture(3, 80, 130)[..., 0])
    colorization("colorize", "--in=old.png", "--out=coloured", "--model=koala")
    assert cv2.imread(str(tmp_path / "coloured" / "old.png")).shape == (80, 130, 3)
    error = colorization("colorize", "--in=old.png", "--model=nothing", code=2)
    assert "There is no model nothing" in error


@pytest.mark.slow
def test_a_failing_recipe_is_one_line(colorization):
    error = colorization("reproduce", "koala", "--data=nowhere", code=2)
    assert error.strip().splitlines()[-1].startswith("error: The recipe lee2021 ended")


def test_the_parameters_are_those_of_the_network_at_its_size(colorization, monkeypatch):
    """Jain's Flatten makes the first dense layer grow with the size: 41,992,034 at 224."""

    def counted(report, name, passed, data, parameters):
        raise cli.UserError(f"{name}: {parameters}")

    monkeypatch.setattr(reproduce, "_run", counted)
    smaller = 41_992_034 - (7 * 7 - 2 * 2) * 512 * 1024  # S/32 positions a side
    error = colorization("reproduce", "iizuka", "--size=64", "--config=jain", code=2)
    assert error == f"error: jain: {smaller}\n"
    error = colorization("reproduce", "iizuka", "--config=jain", code=2)
    assert error == "error: jain: 41992034\n"


@pytest.mark.parametrize("command", ["reproduce", "study"])
def test_runs_that_are_named_already_take_no_name(colorization, command):
    error = colorization(command, "feup", "--run=mine", code=2)
    assert error == "error: --run: each config's run has a name of its own here. Leave it out.\n"


@pytest.mark.parametrize(
    ("losses", "text"),
    [([1], "1.00"), ([1, 2, 3], "1.00 -> 2.00 -> 3.00"), ([1, 2, 3, 4], "1.00 -> ... -> 4.00")],
)
def test_a_column_of_the_history_is_short(losses, text):
    history = [{"loss": loss} for loss in losses]
    result = reproduce.Result(Path("runs/x"), history, evaluation=None, peak_bytes=0, parameters=7)
    assert reproduce.by_epoch("loss", 2)(result) == text


def test_parameters_have_separators():
    result = reproduce.Result(Path("runs/x"), [], None, peak_bytes=0, parameters=6_541_202)
    assert reproduce.parameters(result) == "6,541,202"


def test_the_command_of_a_result_has_all_its_flags():
    flags = ["--data=my photos", "--size=32", "--embedding-weights", "a.h5", "--rebalance"]
    assert reproduce.as_make("train-koala", flags) == (
        "make train-koala DATA='my photos' SIZE=32 EMBEDDING_WEIGHTS=a.h5 REBALANCE=1"
    )
