"""The study: the report's table anew, in miniature, and what it states of the figures."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import feup
from common import cli
from feup.experiments import study
from tests import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with drawn pictures, and narrow networks."""
    drawn.folder(tmp_path / "photos", 60, 32)
    monkeypatch.chdir(tmp_path)
    for network in ("RESNET18", "DENSENET", "VGG16", "MOBILENET_V2"):
        monkeypatch.setenv(f"{network}_WEIGHTS", "random")
    monkeypatch.setenv("LPIPS_WEIGHTS", "none")
    narrow = {
        name: dataclasses.replace(
            config,
            batch_size=2,
            decoder=((8, 2), (8, 1), (8, 2), (8, 1), (2, 2)),
            blocks=((1, 8, 2, 1), (1, 8, 2, 1), (2, 8, 2, 1), (1, 8, 1, 2)),
            upsampled=8,
        )
        for name, config in feup.CONFIGS.items()
    }
    monkeypatch.setattr("feup.CONFIGS", narrow)
    return tmp_path


def run(*arguments):
    return cli.run(study.main, ["--data=photos", "--steps=2", "--epochs=2", *arguments])


def test_table_curves_and_reasons(folder, capsys):
    names = ("resnet18_mse", "resnet18_lpips", "eccv16_rebalanced")
    assert run(f"--config={','.join(names)}") == 0
    out = next((folder / "reports/study").iterdir())
    assert {path.name for path in out.iterdir()} == {
        "study.md",
        "curves.png",
        "epochs.csv",
        "evaluation",
    }
    text = (out / "study.md").read_text()
    assert text in capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    firsts = [row[0].removeprefix("| ") for row in rows]
    for name in ("grey", "mean colour", "true pictures", *names, *study.REPORTED):
        assert name in firsts, name
    losses = {
        row[0].removeprefix("| "): (row[3], float(row[4]))
        for row in rows
        if row[0].removeprefix("| ") in names and len(row) > 7
    }
    assert losses["resnet18_lpips"][0] == "VGG16 feature distance, RANDOM weights"
    assert losses["eccv16_rebalanced"][0] == "cross-entropy over 313 bins"
    # One network computes every row's: the perceptual model's is its own loss.
    header = next(row for row in rows if row[-1].startswith("Colourfulness"))
    at = header.index("VGG16 feature distance, RANDOM weights")
    seen = {
        row[0].removeprefix("| "): float(row[at])
        for row in rows
        if row[0].removeprefix("| ") in (*names, "grey") and len(row) > 7
    }
    assert seen.keys() == {*names, "grey"}
    assert seen["resnet18_lpips"] == pytest.approx(losses["resnet18_lpips"][1], rel=5e-2)
    beside = {row[0].removeprefix("| "): row[1:] for row in rows if len(row) == 7}
    assert beside["resnet18_mse"][::2] == ["147.256", "0.227", "21.212"]
    assert float(beside["resnet18_mse"][1]) == pytest.approx(losses["resnet18_mse"][1])
    assert [cell.strip(" |") for cell in beside["densenet_mse"][1::2]] == ["", "", ""]
    report = json.loads((out / "evaluation/metrics.json").read_text())
    figures = {row["name"]: row["metrics"] for row in report["rows"]}["feup"]
    for cell, key in zip(beside["resnet18_mse"][3::2], study.OF_BATCHES, strict=True):
        assert float(cell.strip(" |")) == pytest.approx(figures[key]["mean"], abs=5e-3)
    mse = {row["name"]: row["metrics"]["mse_ab"]["mean"] for row in report["rows"]}
    assert losses["resnet18_mse"] == ("squared error of ab", pytest.approx(mse["feup"], rel=2e-2))
    for reason in (
        "figures of ab by the range of the batch",
        "these are of photos-",
        "these models for 2.",
        "marked RANDOM",
        "its values are not LPIPS",
    ):
        assert reason in text, reason
    assert "resnet18_lpips against resnet18_mse: " in text and "JPEG" not in text
    with open(out / "epochs.csv", newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    assert [(row["config"], row["epoch"]) for row in epochs] == [
        (name, epoch) for name in names for epoch in "12"
    ]
    assert all(float(row[f"val_{key}"]) for row in epochs for key in study.CURVES)
    assert not (folder / "models").exists()  # what is there stays as it is

    # Again: the runs are taken as they are.
    capsys.readouterr()
    assert run(f"--config={','.join(names)}") == 0
    output = capsys.readouterr().out
    assert output.count("is finished") == 3 and text in output


def test_stl10s_size_is_for_resnet_alone(folder, capsys):
    for path in (folder / "photos").iterdir():
        path.unlink()
    drawn.folder(folder / "photos", 60, 96, ".jpg")
    assert run("--size=96", "--epochs=1") == 0
    text = (next((folder / "reports/study").iterdir()) / "study.md").read_text()
    assert "These pictures are JPEG" in text
    assert "96 x 96" in text and "One against the other" not in text
    assert [path.name for path in (folder / "runs").iterdir()] == ["study-resnet18_mse-photos-96"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config=resnet50",), "invalid list of configs (resnet18_mse, "),
        (("--config=resnet18_mse,resnet18_mse",), "invalid list of configs"),
        (("--size=36",), "cannot take 36 x 36"),
        (("--data=nowhere",), "There is no folder nowhere"),
        (("--nonsense=1",), "unknown argument --nonsense=1"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, arguments, message):
    try:
        code = run(*arguments)
    except SystemExit as end:  # of argparse
        code = end.code
    errors = capsys.readouterr().err
    assert code == 2 and message in errors and len(errors.splitlines()) == 1
    assert not (folder / "reports").exists()


@pytest.mark.slow
def test_the_whole_study_in_miniature(tmp_path):
    """Every config at full width over 300 pictures, then the pretext task, in a bare process."""
    for split, count in (("train", 240), ("test", 60)):
        for label in ("one", "two"):
            drawn.folder(tmp_path / "photos" / split / label, count // 2, 32)
    weights = [
        f"--{name}-weights=random" for name in ("resnet18", "densenet", "vgg16", "mobilenet-v2")
    ]
    commands = (
        ["feup.experiments.study", "--epochs=1", "--steps=2", "--lpips-weights=none", *weights],
        [
            "feup.experiments.pretext",
            "--epochs=1",
            "--colorizer-epochs=1",
            "--labels=100",
            "--seeds=1",
            "--resnet18-weights=random",
        ],
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command, "--data=photos", "--split-by=folder"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
    text = (next((tmp_path / "reports/study").iterdir()) / "study.md").read_text()
    assert all(f"| {name} | 1 |" in text for name in feup.CONFIGS)
    assert len(list((tmp_path / "runs").glob("pretext-*/classifiers/*.json"))) == 4
