"""Embeddings are made from the photos, at their network's own size, or from the shards if asked."""

import dataclasses
import json
import shutil

import cv2
import keras
import numpy as np
import pytest
from keras import layers

from common import datasets, seals
from common.cli import UserError
from common.color import lab
from common.datasets import features
from common.networks import embeddings
from tests import drawn

SIDE, OWN = 16, 64  # of the shards' pictures, and of the embedding network's


def build(weights, classes, classifier_activation):
    """In place of an ImageNet network: quick, and it sees fine detail."""
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, activation="relu")(picture)
    return keras.Model(picture, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in, with 20 detailed photos of 96 x 72, and a small network."""
    network = dataclasses.replace(embeddings.NETWORKS["mobilenet_v2"], size=OWN, build=build)
    monkeypatch.setitem(embeddings.NETWORKS, "mobilenet_v2", network)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 10 + 2 * seed, (72, 96, 1))
        pixels = np.clip(drawn.picture(seed, 72, 96) + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{seed:02d}.png"), pixels)
    return tmp_path


def _prepare(home, cut="squash", **options):
    return datasets.prepare(
        home / "photos", SIDE, cut, "mobilenet_v2", "random", folder=home / cut, **options
    )


def _embeddings(dataset, split="train"):
    return dataset.read(split, range(dataset.count(split)), embedding=True)["embedding"]


@pytest.mark.parametrize("cut", ["squash", "centre"])
def test_they_are_those_of_the_photo_at_the_networks_own_size(home, cut):
    dataset = _prepare(home, cut)
    part = slice(12, 84) if cut == "centre" else slice(None)  # the middle 72 of 96 columns
    l = []
    for name in dataset.names("train"):
        bgr = np.ascontiguousarray(cv2.imread(str(home / "photos" / name))[:, part])
        small = cv2.resize(bgr, (OWN, OWN), interpolation=cv2.INTER_AREA)
        l.append(lab.rgb_to_l(small[..., ::-1])[..., None])
    expected = embeddings.load("mobilenet_v2", "random")(np.stack(l), pad=True)
    assert _embeddings(dataset) == pytest.approx(expected, abs=1e-6)
    of_shards = _embeddings(_prepare(home, cut, embed_from="shard"))
    assert np.abs(of_shards - expected).mean() > 100 * 1e-6  # times the tolerance above


def test_those_of_the_shards_are_of_the_stored_picture(home):
    dataset = _prepare(home, embed_from="shard")
    batch = dataset.read("train", range(3), embedding=True)
    l = np.stack([lab.rgb_to_l(rgb) for rgb in batch["rgb"]])[..., None]
    expected = embeddings.load("mobilenet_v2", "random")(l, pad=True)
    assert batch["embedding"] == pytest.approx(expected, abs=1e-6)


def test_added_later_they_are_the_same(home):
    at_once = _embeddings(_prepare(home))
    shutil.rmtree(home / "squash")
    datasets.prepare(home / "photos", SIDE, "squash", folder=home / "squash")
    assert (_embeddings(_prepare(home)) == at_once).all()


def test_embeddings_of_an_earlier_version_are_recognised_and_kept_if_asked(home, capsys):
    """Its manifest did not say what they were made from, which was the stored picture."""
    first = _prepare(home, embed_from="shard")
    path = first.folder / "manifest.json"
    manifest = seals.read_json(path)
    (key,) = manifest["embeddings"]
    del manifest["embeddings"][key]["from"]
    path.write_text(json.dumps(manifest))
    files = {file: file.stat().st_mtime_ns for file in first.folder.glob("*.npy")}
    capsys.readouterr()

    kept = _prepare(home, embed_from="shard")
    assert kept.embedding["from"] == "shard"
    assert (_embeddings(kept) == _embeddings(first)).all()
    assert {file: file.stat().st_mtime_ns for file in first.folder.glob("*.npy")} == files
    assert "EMBED_FROM" not in capsys.readouterr().out

    anew = _prepare(home)
    assert anew.embedding["from"] == "photo"
    assert "made from the stored pictures, as in earlier versions" in capsys.readouterr().out
    assert not np.allclose(_embeddings(anew), _embeddings(kept))
    entries = json.loads(path.read_text())["embeddings"]
    assert list(entries) == [key, f"{key}-photo"]


def test_a_damaged_row_is_refused_and_made_anew(home, capsys):
    stored = _embeddings(_prepare(home))
    (path, *_) = sorted((home / "squash").glob("train-*.npy"))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"is corrupt in row 0. Delete this file"):
        _embeddings(datasets.Dataset(home / "squash"))
    assert (_embeddings(_prepare(home)) == stored).all()
    assert f"{path} is corrupt: it is made anew" in capsys.readouterr().out


def test_those_of_an_earlier_version_have_no_checksums_and_are_read(home):
    stored = _embeddings(_prepare(home))
    for path in (home / "squash").glob("*.npy"):
        np.save(path, np.load(path))
    path = home / "squash" / "manifest.json"
    manifest = seals.read_json(path)
    for entry in manifest["embeddings"].values():
        for name in entry["bytes"]:
            (file,) = (home / "squash").glob(f"{name}.*.npy")
            entry["bytes"][name] = file.stat().st_size
    path.write_text(json.dumps(manifest))
    assert (_embeddings(datasets.Dataset(home / "squash")) == stored).all()


def test_without_the_photos_they_come_from_the_shards_or_not_at_all(home):
    datasets.prepare(home / "photos", SIDE, "squash", folder=home / "squash")
    (home / "photos").rename(home / "away")
    with pytest.raises(UserError, match=r"photos is gone. Bring it back, or EMBED_FROM=shard"):
        _prepare(home)
    assert _prepare(home, embed_from="shard").embedding["from"] == "shard"
    (home / "away").rename(home / "photos")
    stored = _embeddings(_prepare(home))
    (home / "photos").rename(home / "away")
    assert (_embeddings(_prepare(home)) == stored).all()  # what is stored needs no photo


def test_a_photo_that_is_another_is_named(home):
    dataset = datasets.prepare(home / "photos", SIDE, "squash", folder=home / "squash")
    path = home / "photos" / dataset.names("train")[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the same size
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{path.name} is not the photo that the shards were made"):
        _prepare(home)


def test_embedded_as_they_are_read_they_are_those_stored(home):
    stored = _prepare(home)
    live = features.Embedded(stored.folder, embeddings.load("mobilenet_v2", "random"))
    assert live.embedding == stored.embedding
    assert _embeddings(live, "test") == pytest.approx(_embeddings(stored, "test"), abs=1e-6)
