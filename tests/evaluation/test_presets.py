"""Presets: which pictures they take, that nothing of them changes, and their errors."""

import dataclasses
import json

import cv2
import pytest

from common import cli, datasets
from common.cli import UserError
from common.commands import evaluate as evaluate_command
from common.evaluation import presets
from tests import drawn
from tests.evaluation.scoring import evaluated


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Seven pictures named as ImageNet's, in two class folders; the work is in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for at in range(7):
        path = tmp_path / "val" / f"n0{at % 2}" / f"ILSVRC2012_val_{at:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", drawn.picture(at, 24))[1].tobytes())
    return tmp_path / "val"


def small(name, **changes):
    return dataclasses.replace(presets.PRESETS[name], image_size=16, **changes)


def bases(dataset, split):
    return sorted(int(name[-7:-5]) for name in dataset.names(split))


def test_the_presets_are_the_published_protocols():
    protocols = {
        name: (preset.pictures, preset.image_size, preset.cut)
        for name, preset in presets.PRESETS.items()
    }
    assert protocols == {
        "imagenet-val5k-256": (5000, 256, "squash"),
        "imagenet-ctest10k-256": (10000, 256, "squash"),
        "cifar10": (10000, 32, "squash"),
        "stl10": (8000, 96, "squash"),
        "folder": (None, 256, "squash"),
    }
    known = datasets.catalogue.entries()
    assert all(preset.data is None or preset.data in known for preset in presets.PRESETS.values())


def test_the_first_are_by_file_name_whatever_the_folders(source):
    dataset = presets.dataset(small("imagenet-val5k-256", pictures=4), source)
    assert bases(dataset, "test") == [0, 1, 2, 3] and bases(dataset, "train") == [4, 5, 6]
    assert dataset.image_size == 16
    # the shards are enough, once they are made
    source.rename(source.with_name("gone"))
    assert presets.dataset(small("imagenet-val5k-256", pictures=4), source).count("test") == 4


def test_a_list_says_which(source):
    preset = small("imagenet-ctest10k-256", pictures=3)
    with pytest.raises(UserError, match="needs .*ctest10k.txt"):
        presets.dataset(preset, source)
    (source / "ctest10k.txt").write_text(
        "val/ILSVRC2012_val_00000005.JPEG\r\nILSVRC2012_val_00000001.JPEG\n\n"
        "ILSVRC2012_val_00000002.JPEG\n"
    )
    dataset = presets.dataset(preset, source)
    assert bases(dataset, "test") == [1, 2, 5] and bases(dataset, "train") == [0, 3, 4, 6]


def test_two_presets_of_one_folder_keep_apart(source):
    (source / "ctest10k.txt").write_text("ILSVRC2012_val_00000006.JPEG\n")
    first = presets.dataset(small("imagenet-val5k-256", pictures=2), source)
    listed = presets.dataset(small("imagenet-ctest10k-256", pictures=1), source)
    assert first.folder != listed.folder and bases(listed, "test") == [6]


def test_too_few_pictures_are_an_error(source):
    with pytest.raises(UserError, match="over 9 pictures, and .* has 7"):
        presets.dataset(small("imagenet-val5k-256", pictures=9), source)
    (picture,) = source.rglob("*_00000002.JPEG")
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(UserError):  # either as a damaged data set or as one that is too small
        presets.dataset(small("imagenet-val5k-256", pictures=4), source)


def test_without_other_pictures_there_is_no_mean_colour(source):
    dataset = presets.dataset(small("imagenet-val5k-256", pictures=7), source)
    assert dataset.count("train") == 0
    report = evaluated([], dataset, out=source.parent / "out")
    assert [row.name for row in report.rows] == ["grey"] and not report.pairs
    with pytest.raises(UserError, match="no training pictures"):
        evaluated([], dataset, rebalance=True)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.run(evaluate_command.main, list(map(str, arguments)))
        printed = capsys.readouterr()
        return code, printed.out, [line for line in printed.err.splitlines() if "error" in line]

    return run


def test_a_preset_stands_in_the_json_and_above_the_table(source, run, monkeypatch):
    monkeypatch.setitem(
        presets.PRESETS, "imagenet-val5k-256", small("imagenet-val5k-256", pictures=4)
    )
    code, out, errors = run("--preset", "imagenet-val5k-256", "--data", source)
    assert code == 0 and not errors and "imagenet-val5k-256: " in out
    report = json.loads((source.parent / "reports/eval/metrics.json").read_text())
    assert report["protocol"]["preset"]["name"] == "imagenet-val5k-256"
    assert report["protocol"]["preset"]["pictures"] == report["data"]["pictures"] == 4
    page = (source.parent / "reports/eval/index.html").read_text(encoding="utf-8")
    assert "the first 5,000 by file name" in page
    code, _, errors = run(
        "--preset",
        "imagenet-val5k-256",
        "--data",
        next((source.parent / "data/tfrecords").iterdir()),
    )
    assert code == 2 and "makes its own shards" in errors[0]


def test_the_folder_preset_takes_any_folder(source, run):
    code, out, _ = run("--preset", "folder", "--data", source)
    assert code == 0 and "256 x 256" in out


@pytest.mark.parametrize(
    "change",
    [
        ("--size", 64),
        ("--cut", "centre"),
        ("--split", "test"),
        ("--split-by", "folder"),
        ("--limit", 3),
    ],
)
def test_nothing_of_a_preset_can_be_changed(source, run, change):
    code, out, errors = run("--preset", "folder", "--data", source, *change)
    assert code == 2 and not out and len(errors) == 1
    assert change[0][2:].upper().replace("-", "_") in errors[0]


def test_missing_pictures_are_one_line(source, run):
    code, _, errors = run("--preset", "cifar10")
    assert code == 2 and len(errors) == 1 and "raw/cifar10" in errors[0] and "train/" in errors[0]
