"""CIFAR-10 and STL-10 from their arrays to folders, and how the catalogue splits them."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest

from common import datasets
from common.cli import UserError
from common.datasets import arrays
from common.datasets.listing import File
from tests import drawn
from tests.datasets.splitting import assigned


def small(count, seed, size=32):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.fixture
def cifar(monkeypatch):
    """A CIFAR-10 of 40 + 10 pictures in Keras's cache."""
    train, test = small(40, 0), small(10, 1)
    parts = ((train, np.arange(40)[:, None] % 10), (test, np.arange(10)[:, None]))
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: parts)
    return parts


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def test_cifar10_becomes_class_folders_bit_by_bit(tmp_path, cifar):
    arrays.cifar10(tmp_path / "cifar10")
    files = sorted(
        path.relative_to(tmp_path / "cifar10").as_posix()
        for path in (tmp_path / "cifar10").rglob("*.png")
    )
    assert len(files) == 50 and "test/truck/00009.png" in files
    assert (read(tmp_path / "cifar10/train/automobile/00031.png") == cifar[0][0][31]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10"]


def test_the_catalogue_holds_out_so_many_for_validation(tmp_path, cifar, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = dataclasses.replace(datasets.source_of("cifar10"), validation=5)
    dataset = datasets.prepare(source, 32, "squash")
    assert [dataset.count(split) for split in datasets.SPLITS] == [35, 5, 10]
    assert dataset.labels == sorted(arrays.CIFAR10)
    assert all(name.startswith("train/") for name in dataset.names("validation"))
    assert max(dataset.sha256("validation")) < min(dataset.sha256("train"))
    batch = dataset.read("test", range(10))
    for name, rgb, label in zip(batch["name"], batch["rgb"], batch["label"], strict=True):
        assert (rgb == read(tmp_path / "data/raw/cifar10" / name)).all(), "32 stay 32"
        assert dataset.labels[label] == name.split("/")[1]


def test_copies_are_held_out_together_and_the_number_is_kept():
    pictures = [File(f"train/{i}", 1, digest * 64) for i, digest in enumerate("aabccdef")]
    test = File("test/0", 1, "0" * 64)
    by_name = assigned([*pictures, test], "folder", datasets.FRACTIONS, validation=4)
    held = [file.sha256[0] for file in pictures if by_name[file.name] == "validation"]
    assert held == ["a", "a", "b", "d"]  # two of "c" would be five
    assert by_name["test/0"] == "test"


def test_the_numbers_of_the_report():
    cifar10, stl10 = datasets.source_of("cifar10"), datasets.source_of("stl10")
    assert cifar10.validation == 5000 == 50_000 - 45_000
    assert (cifar10.size, stl10.size) == (32, 96)


def test_a_folder_that_is_there_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: pytest.fail("asked for"))
    source = dataclasses.replace(datasets.source_of("cifar10"), validation=2)
    for seed, folder in enumerate(("train/cat", "train/dog", "test/cat")):
        drawn.folder(tmp_path / "data/raw/cifar10" / folder, 4, 20 + seed)
    dataset = datasets.prepare(source, 32, "squash")
    assert [dataset.count(split) for split in datasets.SPLITS] == [6, 2, 4]
    drawn.folder(tmp_path / "data/raw/cifar10/cat", 1, 30)
    with pytest.raises(UserError, match="cat/picture-000.png is in neither"):
        datasets.prepare(source, 16, "squash")


def test_without_cache_or_network_there_is_one_line(tmp_path, monkeypatch):
    def fail():
        raise Exception("URL fetch failure\non https://example.org")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail)
    with pytest.raises(UserError, match="nor to be downloaded .*train/<class>") as caught:
        arrays.cifar10(tmp_path / "cifar10")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def stl10(folder, counts):
    """An unpacked archive; returns the pictures as they should come out."""
    folder.mkdir()
    out = {}
    for split, count in counts.items():
        rgb = small(count, count, 96)
        rgb.transpose(0, 3, 2, 1).tofile(folder / f"{split}_X.bin")  # (N, 3, columns, rows)
        (np.arange(count) % 10 + 1).astype(np.uint8).tofile(folder / f"{split}_y.bin")
        out[split] = rgb
    return out


def test_stl10_is_read_column_by_column(tmp_path):
    pictures = stl10(tmp_path / "stl10_binary", {"train": 11, "test": 3})
    arrays.stl10(tmp_path / "stl10")
    assert len(list((tmp_path / "stl10").rglob("*.png"))) == 14
    assert (read(tmp_path / "stl10/train/bird/00001.png") == pictures["train"][1]).all()
    assert (read(tmp_path / "stl10/test/car/00002.png") == pictures["test"][2]).all()


def test_without_the_archive_the_way_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="stl10_binary.tar.gz"):
        datasets.prepare("stl10", 96, "squash")


@pytest.mark.parametrize("damage", ["train_X.bin", "test_y.bin"])
def test_half_an_archive_is_an_error(tmp_path, damage):
    stl10(tmp_path / "stl10_binary", {"train": 4, "test": 3})
    path = tmp_path / "stl10_binary" / damage
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="not whole"):
        arrays.stl10(tmp_path / "stl10")
    assert not (tmp_path / "stl10").exists()
