"""The pretext task: what differs between its classifiers, the report on them, what is kept."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

import feup
from common import cli, datasets
from feup.experiments import classifiers, pretext, pretext_report
from feup.experiments.classifiers import Cell, Task
from tests.feup.test_feup import torch_state
from tests.networks.test_torch_files import saved

ACROSS, DOWN = "across", "down"
SETTLING = 2  # batches: too few for good statistics, enough for every rule


def stripes(seed, label, size=32):
    """A picture of coloured stripes that run across or down."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(size) * rng.uniform(0.6, 1.6) + rng.uniform(0, 6))
    field = np.broadcast_to(wave[:, None] if label == ACROSS else wave, (size, size))
    noise = rng.normal(0, 10, (size, size, 3))
    return np.clip(128 + 80 * field[..., None] * rng.uniform(0.3, 1, 3) + noise, 0, 255)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with 80 pictures of two classes, and a narrow decoder."""
    for number in range(80):
        label = (ACROSS, DOWN)[number % 2]
        path = tmp_path / "photos" / ("test" if number < 20 else "train") / label
        path.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path / f"{number}.png"), stripes(number, label))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET18_WEIGHTS", "random")
    narrow = {
        "resnet18_mse": dataclasses.replace(
            feup.CONFIGS["resnet18_mse"], decoder=((8, 2), (8, 1), (8, 2), (8, 1), (2, 2))
        )
    }
    monkeypatch.setattr("feup.CONFIGS", narrow)
    monkeypatch.setattr("feup.experiments.pretext.CONFIGS", narrow)
    return tmp_path


def run(*arguments):
    return cli.run(
        lambda argv: pretext.main(argv, SETTLING),
        [
            "--data=photos",
            "--split-by=folder",
            "--colorizer-epochs=1",
            "--epochs=2",
            "--batch=16",
            "--precision=float32",
            "--labels=100",
            "--seeds=1",
            *arguments,
        ],
    )


@pytest.fixture
def dataset(folder):
    return datasets.prepare("photos", 32, "squash", split_by="folder")


def config(**changes):
    return dataclasses.replace(feup.CONFIGS["resnet18_mse"], batch_size=16, **changes)


# --- what differs -----------------------------------------------------------------------------


def test_the_encoders_weights_are_all_that_differs(dataset):
    """A classifier from the random encoder's own weights, given as another's, is the same one."""
    import keras

    keras.utils.set_random_seed(3)
    drawn = classifiers.build_classifier(config(), 2).get_layer("resnet18").get_weights()
    task = Task(dataset, config(), {"copy": drawn}, 1, "float32", SETTLING)
    for tuning in classifiers.TUNINGS:
        random = task.train(Cell("random", tuning, 50, 3))
        assert task.train(Cell("copy", tuning, 50, 3)) == random
        assert task.train(Cell("copy", tuning, 50, 4)) != random


def test_labels_are_a_share_of_each_class_and_smaller_shares_lie_in_larger_ones(dataset):
    labels = dataset.labels_of("train")
    assert classifiers.labelled(dataset, 100, 0).tolist() == list(range(len(labels)))
    shares = [set(classifiers.labelled(dataset, percent, 0)) for percent in (1, 10, 50)]
    assert shares[0] < shares[1] < shares[2]
    assert sorted(labels[sorted(shares[0])]) == [0, 1]  # one of each, though 1 % is none
    assert np.bincount(labels[sorted(shares[2])]).tolist() == [
        round(count / 2) for count in np.bincount(labels)
    ]
    assert shares[1] != set(classifiers.labelled(dataset, 10, 1))


def test_a_frozen_encoder_stays_as_it_was_and_the_other_does_not(dataset, monkeypatch):
    seen = []
    build = classifiers.build_classifier

    def noted(*arguments):
        seen.append(build(*arguments))
        return seen[-1]

    monkeypatch.setattr(classifiers, "build_classifier", noted)
    task = Task(dataset, config(), {}, 3, "float32", SETTLING)
    frozen = task.train(Cell("random", "frozen", 100, 0))["history"]
    tuned = task.train(Cell("random", "fine-tuned", 100, 0))["history"]
    assert frozen[-1]["loss"] < frozen[0]["loss"] and tuned[-1]["loss"] < tuned[0]["loss"]
    features = task._features("random", 0)("train", np.arange(4))[0]
    assert (
        features.shape == (4, 128)
        and (features == task._features("random", 0)("train", np.arange(4))[0]).all()
    )


def test_it_learns_to_tell_the_classes(dataset):
    task = Task(dataset, config(), {}, 10, "float32", SETTLING)
    result = task.train(Cell("random", "fine-tuned", 100, 0))
    assert result["pictures"] == dataset.count("train")
    assert result["test"]["accuracy"] >= 0.9
    assert result["history"][-1]["accuracy"] > result["history"][0]["accuracy"]


# --- the report -------------------------------------------------------------------------------


def test_the_interval_is_students():
    """t at 97.5 % of 2 degrees of freedom is 4.3027 (any table)."""
    mean, half = pretext_report.interval([1.0, 2.0, 3.0])
    assert (mean, half) == pytest.approx((2.0, 4.3027 / np.sqrt(3)), rel=1e-4)
    assert pretext_report.interval([5.0]) == (5.0, None)


def results(*accuracies, tuning="frozen"):
    """{cell: result} of a random and a colorization encoder, an accuracy a seed each."""
    return {
        Cell(name, tuning, 10.0, seed): {"test": {"accuracy": value, "loss": 1.0}}
        for name, values in zip(("random", "colorization"), accuracies, strict=True)
        for seed, value in enumerate(values)
    }


def test_gaps_are_taken_seed_by_seed():
    two_encoders = results((0.2, 0.5, 0.8), (0.3, 0.6, 0.9))
    assert pretext_report.gaps(two_encoders, "colorization", "frozen", 10.0) == pytest.approx(
        [0.1] * 3
    )


@pytest.mark.parametrize(
    ("theirs", "word"),
    [
        ((0.30, 0.61, 0.90), "better than"),
        ((0.10, 0.41, 0.70), "worse than"),
        ((0.10, 0.61, 0.80), "not distinct from"),
    ],
)
def test_better_stands_where_the_interval_leaves_out_zero(theirs, word):
    (line,) = pretext_report.verdict(results((0.2, 0.5, 0.8), theirs))
    assert line.startswith(f"colorization, frozen, 10 % of the labels: {word} random, ")


def test_one_seed_tells_nothing():
    assert "SEEDS=5" in pretext_report.verdict(results((0.2,), (0.9,)))[0]


# --- the command ------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_pictures_to_the_table_and_on_after_a_stop(folder, capsys, monkeypatch):
    command = ("--labels=10,100", "--seeds=2", "--run=r")
    assert run(*command) == 0
    output = capsys.readouterr().out
    assert "no rows for imagenet and pretrained: RESNET18_WEIGHTS=random." in output
    out = next((folder / "reports/pretext").iterdir())
    assert {path.name for path in out.iterdir()} == {
        "pretext.md",
        "curves.png",
        "results.json",
    }
    table = json.loads((out / "results.json").read_text())
    assert len(table) == 2 * 2 * 2 * 2
    assert {cell["percent"] for cell in table if cell["pictures"] < 10} == {10.0}
    assert not (folder / "models").exists()  # what is there stays as it is
    text = (out / "pretext.md").read_text()
    assert "| 100 % (" in text and "| colorization |" in text and "imagenet |" not in text
    assert "- colorization: of a colorizer, 1 epochs from random weights" in text

    # Again: nothing is trained; without one result, that one alone, to the same figures.
    kept = next((folder / "runs/r/classifiers").glob("colorization-fine-tuned-100-1.json"))
    before, trained = kept.read_text(), []
    kept.unlink()
    train = Task.train
    monkeypatch.setattr(Task, "train", lambda self, cell: trained.append(cell) or train(self, cell))
    assert run(*command) == 0
    assert trained == [Cell("colorization", "fine-tuned", 100.0, 1)]
    assert kept.read_text() == before
    capsys.readouterr()
    assert run(*command, "--epochs=3") == 2
    assert "classifier_epochs was 2, is 3" in capsys.readouterr().err


@pytest.mark.slow
def test_imagenets_weights_make_two_more_encoders(folder):
    saved(folder / "resnet18.pth", torch_state())
    assert run("--resnet18-weights=resnet18.pth", "--epochs=1") == 0
    out = next((folder / "reports/pretext").iterdir())
    cells = json.loads((out / "results.json").read_text())
    assert [cell["encoder"] for cell in cells[::2]] == list(classifiers.ENCODERS)
    text = (out / "pretext.md").read_text()
    assert "- imagenet: resnet18.pth weights" in text
    assert "- pretrained: of a colorizer, 1 epochs from resnet18.pth weights" in text
    assert "- colorization: of a colorizer, 1 epochs from random weights" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels=0,10",), "invalid list of percents from 0 to 100 value: '0,10'"),
        (("--labels=10,10",), "invalid list of percents"),
        (("--labels=many",), "invalid list of"),
        (("--seeds=0",), "at least 1"),
        (("--size=36",), "cannot take 36 x 36"),
        (("--resnet18-weights=nowhere.pth",), "There is no weights file nowhere.pth"),
        (("--data=nowhere",), "There is no folder nowhere"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, arguments, message):
    try:
        code = run(*arguments)
    except SystemExit as end:  # of argparse
        code = end.code
    errors = capsys.readouterr().err
    assert code == 2 and message in errors
    assert [line for line in errors.splitlines() if "error" in line] == errors.splitlines()[-1:]
    assert not (folder / "reports").exists()


def test_without_data_it_is_the_reports(folder, monkeypatch, capsys):
    def none(_):
        raise cli.UserError("CIFAR-10 cannot be had")

    monkeypatch.setitem(datasets.arrays.MAKERS, "cifar10", none)
    assert cli.run(pretext.main, []) == 2
    assert capsys.readouterr().err == "error: CIFAR-10 cannot be had\n"


def test_pictures_without_classes_cannot_be_told_apart(folder, capsys):
    for number, path in enumerate(sorted((folder / "photos").rglob("*.png"))):
        path.rename(folder / "photos" / f"{number}.png")
    assert cli.run(pretext.main, ["--data=photos"]) == 2
    assert "has no class folders" in capsys.readouterr().err


def test_a_split_without_pictures_is_named(folder, capsys):
    names = [
        path.relative_to(folder / "photos").as_posix()
        for path in sorted((folder / "photos").rglob("*.png"))
    ]
    (folder / "split.csv").write_text(
        "".join(f"{name},{'validation' if i % 5 else 'train'}\n" for i, name in enumerate(names))
    )
    assert run("--split-by=split.csv") == 2
    assert "has no test pictures with a class" in capsys.readouterr().err


def test_the_labels_of_a_split_are_those_of_its_pictures(dataset):
    for split in datasets.SPLITS:
        labels = dataset.read(split, np.arange(dataset.count(split)))["label"]
        assert dataset.labels_of(split).tolist() == labels.tolist()
