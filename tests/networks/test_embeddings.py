"""Embeddings: of L* alone, stored and live the same, only ever with the weights of training."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from common import datasets
from common.cli import UserError
from common.color import lab
from common.networks import embeddings, pretrained
from tests import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def embedder():
    return embeddings.load("mobilenet_v2", "random")


def _rms(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def _l(seed, size=64):
    return lab.rgb_to_l(drawn.picture(seed, size))[None, ..., None]


def test_a_colour_photo_and_its_grey_version_get_the_same_one(embedder):
    l = np.concatenate([_l(seed) for seed in range(4)])
    grey = np.rint(255 * lab.l_to_grey(l)).astype(np.uint8)
    of_grey = embedder(lab.grey_to_l(grey))
    of_colour = embedder(l)
    # Rounding the grey values to 8 bit is all that differs. Against it: what another picture does.
    assert _rms(of_colour, of_grey) < 0.05 * _rms(of_colour, np.roll(of_colour, 1, 0))


def test_stored_and_live_ones_agree(tmp_path, embedder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = datasets.prepare(
        drawn.folder(tmp_path / "photos", 20, 40),
        48,
        "squash",
        "mobilenet_v2",
        "random",
        folder=tmp_path / "shards",
    )
    batch = next(dataset.batches("train", 20, embedding=True))
    assert batch["embedding"].shape == (len(batch["rgb"]), 1000)
    for rgb, stored in zip(batch["rgb"][:5], batch["embedding"][:5], strict=True):
        live = embedder(lab.rgb_to_l(rgb)[None, ..., None])[0]
        assert _rms(live, stored) < 1e-3
    assert dataset.embedding["sha256"] == embedder.sha256
    assert dataset.embedding["weights"] == "random"


def test_an_embedding_is_added_without_touching_the_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = drawn.folder(tmp_path / "photos", 12, 40)
    plain = datasets.prepare(source, 32, "squash", folder=tmp_path / "shards")
    assert plain.embedding is None
    before = {path: path.stat().st_mtime_ns for path in plain.folder.glob("*.tfrecord")}
    added = datasets.prepare(
        source, 32, "squash", "mobilenet_v2", "random", folder=tmp_path / "shards"
    )
    assert before == {path: path.stat().st_mtime_ns for path in plain.folder.glob("*.tfrecord")}
    assert next(added.batches("train", 3, embedding=True))["embedding"].shape == (3, 1000)
    target = next(plain.folder.glob("train*.npy"))
    good = target.read_bytes()
    target.write_bytes(b"short")
    datasets.prepare(source, 32, "squash", "mobilenet_v2", "random", folder=tmp_path / "shards")
    assert target.read_bytes() == good


def test_position_in_the_batch_does_not_matter(embedder):
    l = np.concatenate([_l(seed) for seed in range(20)])
    together = embedder(l, pad=True)
    assert (embedder(l[3:9], pad=True) == together[3:9]).all()


def test_random_weights_are_the_same_in_another_process_and_backend(embedder):
    code = (
        "from common.networks import embeddings\n"
        "print(embeddings.load('mobilenet_v2', 'random').sha256)"
    )
    backend = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert process.stdout.split()[-1] == embedder.sha256


def test_a_network_is_the_same_whatever_keras_is_set_to(embedder):
    keras.config.set_image_data_format("channels_first")
    try:
        other = embeddings.load("mobilenet_v2", "random")
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(other(_l(1)), embedder(_l(1)))


def test_a_weights_file_with_a_background_class(tmp_path, embedder):
    wide = embeddings._build("mobilenet_v2", 1001)
    narrow = embedder._classifier
    *values, kernel, bias = narrow.get_weights()
    first = np.full((kernel.shape[0], 1), 9, np.float32)
    wide.set_weights([*values, np.hstack([first, kernel]), np.append(np.float32(9), bias)])
    wide.save_weights(tmp_path / "wide.weights.h5")
    loaded = embeddings.load("mobilenet_v2", str(tmp_path / "wide.weights.h5"))
    assert loaded.sha256 == embedder.sha256 and loaded.weights == "wide.weights.h5"
    assert loaded(_l(1)) == pytest.approx(embedder(_l(1)), abs=1e-5)


def test_weights_are_found_again_by_their_hash(tmp_path, embedder, monkeypatch):
    path = tmp_path / "own.weights.h5"
    embedder._classifier.save_weights(path)
    loaded = embeddings.load("mobilenet_v2", str(path))
    with monkeypatch.context() as home:
        home.setenv("HOME", str(tmp_path))
        home.setenv("EMBEDDING_WEIGHTS", "~/own.weights.h5")
        assert embeddings.find(loaded.metadata, folder=tmp_path).sha256 == embedder.sha256
    loaded.keep(tmp_path / "models")
    path.unlink()
    assert embeddings.find(loaded.metadata, folder=tmp_path / "models").sha256 == embedder.sha256
    with pytest.raises(UserError, match="not at hand. Name their file: EMBEDDING_WEIGHTS=file"):
        embeddings.find(loaded.metadata, folder=tmp_path / "elsewhere")
    with pytest.raises(UserError, match="hash 000000000000"):
        embeddings.find({**embedder.metadata, "sha256": "0" * 64}, folder=tmp_path / "models")


@pytest.mark.parametrize(
    ("network", "weights", "message"),
    [
        ("vgg99", "random", "no embedding network vgg99. Choose one of"),
        ("mobilenet_v2", "nowhere.h5", "no weights file nowhere.h5"),
        ("mobilenet_v2", __file__, "does not hold weights of mobilenet_v2"),
    ],
)
def test_wrong_names_are_one_line(network, weights, message):
    with pytest.raises(UserError, match=message):
        embeddings.load(network, weights)


def test_without_weights_auto_warns_and_imagenet_refuses(monkeypatch, capsys):
    def offline(network):
        raise Exception("URL fetch failure on https://example.org: None")

    monkeypatch.setattr(embeddings, "_imagenet", offline)
    assert embeddings.load("mobilenet_v2").weights == "random"
    warning = capsys.readouterr().err
    assert "RANDOM" in warning and warning.count("!") > 80
    with pytest.raises(UserError, match="neither in Keras's cache nor to be downloaded"):
        embeddings.load("mobilenet_v2", "imagenet")


def test_weights_in_the_cache_are_taken_without_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert pretrained.fetch(lambda: "built", "x", "x.h5") == "built"
    assert "Fetching the ImageNet weights of x" in capsys.readouterr().err
    (tmp_path / "models" / "x.h5").touch()
    assert pretrained.fetch(lambda: "built", "x", "x.h5") == "built"
    assert not capsys.readouterr().err


@pytest.mark.imagenet
@pytest.mark.parametrize("network", embeddings.APPLICATIONS)
def test_imagenet_logits_classify_a_cat(network):
    if not (pretrained.cache() / embeddings.APPLICATIONS[network].file()).exists():
        pytest.skip(f"the ImageNet weights of {network} are not in Keras's cache")
    skimage = pytest.importorskip("skimage.data")
    cat = embeddings.load(network, "imagenet")(lab.rgb_to_l(skimage.chelsea())[None, ..., None])
    assert cat.argmax() in range(281, 288)  # ImageNet's cats
