"""LPIPS and the feature distances: against plain NumPy, their names, their weights, as a loss."""

import dataclasses
import types

import keras
import numpy as np
import pytest
from keras import ops

from common import files
from common.cli import UserError
from common.color import lab
from common.networks import perceptual, pretrained
from common.training import losses
from tests.networks.test_torch_files import saved

CONVOLUTIONS = {  # torchvision's: kernel size, channels in, channels out
    "alexnet": {
        0: (11, 3, 64),
        3: (5, 64, 192),
        6: (3, 192, 384),
        8: (3, 384, 256),
        10: (3, 256, 256),
    },
    "vgg16": {
        0: (3, 3, 64),
        2: (3, 64, 64),
        5: (3, 64, 128),
        7: (3, 128, 128),
        10: (3, 128, 256),
        12: (3, 256, 256),
        14: (3, 256, 256),
        17: (3, 256, 512),
        19: (3, 512, 512),
        21: (3, 512, 512),
        24: (3, 512, 512),
        26: (3, 512, 512),
        28: (3, 512, 512),
    },
}
WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


def state_of(network):
    """Tensors with torchvision's names and shapes, of a size that keeps the maps about 1."""
    rng = np.random.default_rng(0)
    state = {}
    for number, (size, channels, filters) in CONVOLUTIONS[network].items():
        deviation = np.sqrt(2 / (size * size * channels))
        state[f"features.{number}.weight"] = rng.normal(
            0, deviation, (filters, channels, size, size)
        ).astype("f4")
        state[f"features.{number}.bias"] = rng.normal(0, 0.1, filters).astype("f4")
    return state


def linear_of(network):
    rng = np.random.default_rng(1)
    return [rng.uniform(0, 1, width).astype("f4") for width in WIDTHS[network]]


def pictures(count=2, size=35, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, size, size, 3)).astype("f4")


def call(distance, *rgb):
    return ops.convert_to_numpy(distance(*map(ops.convert_to_tensor, rgb)))


# --- the figure -------------------------------------------------------------------------------


def convolve(x, kernel, bias, stride=1, padding=0):
    """ReLU of a convolution of (H, W, C) by (out, in, h, w), as PyTorch defines it."""
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (0, 1))
    y = np.einsum("xychw,ochw->xyo", windows[::stride, ::stride], kernel, optimize=True) + bias
    return np.maximum(y, 0)


def pool(x, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
    return windows[::stride, ::stride].max((-2, -1))


def maps_of_alexnet(x, state):
    maps = []
    for number, stride, padding, pooled in (
        (0, 4, 2, False),
        (3, 1, 2, True),
        (6, 1, 1, True),
        (8, 1, 1, False),
        (10, 1, 1, False),
    ):
        if pooled:
            x = pool(x, 3, 2)
        x = convolve(
            x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], stride, padding
        )
        maps.append(x)
    return maps


def maps_of_vgg16(x, state):
    maps = []
    for i, block in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))):
        if i:
            x = pool(x, 2, 2)
        for number in block:
            x = convolve(
                x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1
            )
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    "network, maps_of, size", [("alexnet", maps_of_alexnet, 67), ("vgg16", maps_of_vgg16, 35)]
)
def test_lpips_equals_its_definition_in_plain_numpy(network, maps_of, size):
    state, linear = state_of(network), linear_of(network)
    rgb, other = pictures(1, size), pictures(1, size, seed=1)

    def unit_maps(picture):
        x = 2.0 * picture - 1
        x = (x - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        return [m / np.sqrt((m * m).sum(-1, keepdims=True)) for m in maps_of(x, state)]

    expected = sum(
        ((first - second) ** 2 * weight).sum(-1).mean()
        for first, second, weight in zip(
            unit_maps(rgb[0]), unit_maps(other[0]), linear, strict=True
        )
    )
    ours = call(perceptual.published(network, state, linear), rgb, other)
    assert ours == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("network", perceptual.FEATURES)
def test_a_distance_is_zero_of_equals_symmetric_and_a_number_a_picture(network):
    distance = perceptual.features(network, "random")
    rgb, other = pictures(3), pictures(3, seed=1)
    assert call(distance, rgb, rgb) == pytest.approx([0, 0, 0], abs=1e-6)
    assert (call(distance, rgb, other) > 1e-3).all()
    assert call(distance, rgb, other) == pytest.approx(call(distance, other, rgb), rel=1e-5)
    assert call(distance, rgb, other)[1:] == pytest.approx(
        call(distance, rgb[1:], other[1:]), rel=1e-4
    )


def test_a_small_picture_has_a_distance():
    state, linear = state_of("alexnet"), linear_of("alexnet")
    rgb, other = pictures(1, 32), pictures(1, 32, seed=1)
    assert np.isfinite(call(perceptual.published("alexnet", state, linear), rgb, other)).all()


# --- names and weights ------------------------------------------------------------------------


@pytest.fixture
def lpips_files(tmp_path, monkeypatch):
    """A folder of files that pass for the published ones, and an empty cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    of, linear = perceptual.LPIPS["alexnet"], linear_of("alexnet")
    numbers = b"".join(weight.tobytes() for weight in linear)
    network = perceptual.published("alexnet", state_of("alexnet"), linear).metadata["sha256"]
    of = dataclasses.replace(of, network_sha256=network, linear_sha256=files.sha256(numbers))
    monkeypatch.setitem(perceptual.LPIPS, "alexnet", of)
    (tmp_path / "lpips").mkdir()
    saved(tmp_path / "lpips" / of.network, state_of("alexnet"))
    saved(tmp_path / "lpips" / of.linear, linear_state(linear))
    return tmp_path / "lpips"


def linear_state(linear):
    return {f"lin{i}.model.1.weight": value[None, :, None, None] for i, value in enumerate(linear)}


def as_packaged(folder):
    """The same tensors in the one file that `make weights` writes."""
    path = folder / perceptual.LPIPS["alexnet"].packaged
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **state_of("alexnet"), **linear_state(linear_of("alexnet")))
    return path


@pytest.mark.parametrize("source", ["published", "packaged", "cache"])
def test_lpips_is_known_by_its_tensors_whichever_file_brings_them(lpips_files, tmp_path, source):
    folder = lpips_files
    if source != "published":
        folder = pretrained.cache() if source == "cache" else tmp_path / "other"
        as_packaged(folder)
    distance = perceptual.lpips("alexnet", "auto" if source == "cache" else folder)
    rgb, other = pictures(1), pictures(1, seed=1)
    same = perceptual.published("alexnet", state_of("alexnet"), linear_of("alexnet"))
    assert call(distance, rgb, other) == pytest.approx(call(same, rgb, other), rel=1e-6)
    assert distance.title == "LPIPS (AlexNet)"
    assert distance.metadata["weights"] == "imagenet"


def test_other_linear_weights_are_not_lpips(lpips_files):
    linear = [2 * weight for weight in linear_of("alexnet")]
    saved(lpips_files / "alex.pth", linear_state(linear))
    with pytest.raises(UserError, match="other values than the linear weights of LPIPS 0.1"):
        perceptual.lpips("alexnet", lpips_files)


def test_another_network_under_its_name_is_not_lpips(lpips_files):
    name = perceptual.LPIPS["alexnet"].network
    state = {key: 2 * value for key, value in state_of("alexnet").items()}
    saved(lpips_files / name, state)
    with pytest.raises(UserError, match="other values than the network of torchvision's AlexNet"):
        perceptual.lpips("alexnet", lpips_files)
    saved(lpips_files / name, {"features.0.weight": np.ones((64, 3, 11, 11), "f4")})
    with pytest.raises(UserError, match="features.0 is missing or of another shape"):
        perceptual.lpips("alexnet", lpips_files)


def test_a_damaged_file_names_the_way_out(lpips_files):
    path = as_packaged(lpips_files)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="lpips_alexnet.npz is damaged .* run `make weights`"):
        perceptual.lpips("alexnet", lpips_files)


@pytest.mark.parametrize("name", ["alex.pth", "network"])
def test_a_missing_file_is_named(lpips_files, name):
    of = perceptual.LPIPS["alexnet"]
    (lpips_files / (of.linear if name == "alex.pth" else of.network)).unlink()
    with pytest.raises(UserError, match="There is no .*LPIPS_WEIGHTS is auto, none, or a folder"):
        perceptual.lpips("alexnet", lpips_files)


def test_without_its_weights_it_is_a_feature_distance_by_name(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*_, **__):
        raise Exception("no route to host")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    with pytest.raises(UserError, match=r"no route to host.*make weights.*LPIPS_WEIGHTS=folder"):
        perceptual.lpips("vgg16")
    distance = perceptual.load("vgg16", "random")
    assert distance.title == "VGG16 feature distance, RANDOM weights"
    assert "Going on with the features alone, unweighted" in capsys.readouterr().out
    assert "LPIPS" not in perceptual.load("vgg16", "random", "none").title
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="There is no"):  # a folder named is never passed over
        perceptual.load("vgg16", "random", "nowhere")


def test_weights_of_a_file_are_not_called_random(tmp_path):
    application = keras.applications.MobileNetV2(include_top=False, weights=None)
    pretrained.randomise(application).save_weights(tmp_path / "m.weights.h5")
    distance = perceptual.features("mobilenet_v2", str(tmp_path / "m.weights.h5"))
    assert distance.title == "MobileNetV2 feature distance"
    assert distance.metadata["weights"] == "m.weights.h5"


# --- as a loss --------------------------------------------------------------------------------


SCALING = types.SimpleNamespace(l_scale=1 / 100, l_offset=-0.5, ab_scale=1 / 110, ab_offset=0.0)


def test_the_loss_is_the_distance_of_the_coloured_pictures():
    distance = perceptual.features("mobilenet_v2", "random")
    colours = lab.rgb_to_lab(pictures(2, 32))
    y_true = colours / [100, 110, 110] - [0.5, 0, 0]
    ab = np.float32(colours[..., 1:] * 0.5)
    loss = losses.PerceptualLoss(distance, SCALING)(y_true, ab / 110)
    rgb = lab.lab_to_rgb(np.concatenate([colours[..., :1], ab], -1))
    assert float(loss) == pytest.approx(
        call(distance, lab.lab_to_rgb(colours), rgb).mean(), rel=1e-3
    )
    assert float(losses.PerceptualLoss(distance, SCALING)(y_true, y_true[..., 1:])) < 1e-6


def test_its_gradient_is_finite_and_decreases_it():
    """Also where the picture is black or white, and where the prediction equals the truth."""
    distance = perceptual.features("mobilenet_v2", "random")
    colours = lab.rgb_to_lab(pictures(1, 32))
    colours[0, :4, :, 0], colours[0, 4:8, :, 0] = 0, 100
    y_true = colours / [100, 110, 110] - [0.5, 0, 0]
    loss = losses.PerceptualLoss(distance, SCALING)
    inputs = keras.Input((32, 32, 1))
    bias = keras.layers.Conv2D(2, 1, kernel_initializer="zeros", bias_initializer="zeros")
    model = keras.Model(inputs, bias(inputs))
    model.compile(keras.optimizers.SGD(1e-2), loss, jit_compile=False)
    shifted = y_true.copy()
    shifted[..., 1:] = 0.2  # all of one strong colour
    before = model.train_on_batch(y_true[..., :1], shifted)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    for _ in range(20):
        after = model.train_on_batch(y_true[..., :1], shifted)
    assert after < before
