"""FEUP: layers and counts by hand, weights by name against NumPy, and that the networks learn."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import feup
from common import cli, files, training
from common.cli import UserError
from common.color import bins
from common.commands import reproduce
from common.evaluation import rows as evaluated
from common.networks import h5, pretrained
from common.training import logs, losses
from feup import claims, densenet, resnet18, train
from tests import drawn, learning, stopping
from tests.networks.test_torch_files import saved

# Layer, output shape at 32 x 32, parameters: k * k * in * out (+ out) of a convolution, 4 * out of
# batch normalisation.
RESNET18 = [
    ("conv1", (16, 16, 64), 3_136),  # 7*7*1*64, no biases in ResNet
    ("bn1", (16, 16, 64), 256),
    ("maxpool", (8, 8, 64), 0),
    *[
        (f"layer1_{block}_{name}", (8, 8, 64), count)
        for block in range(2)
        for name, count in (("conv1", 36_864), ("bn1", 256), ("conv2", 36_864), ("bn2", 256))
    ],
    ("layer2_0_downsample_0", (4, 4, 128), 8_192),  # 1*1*64*128
    ("layer2_0_downsample_1", (4, 4, 128), 512),
    ("layer2_0_conv1", (4, 4, 128), 73_728),  # 3*3*64*128
    ("layer2_0_bn1", (4, 4, 128), 512),
    ("layer2_0_conv2", (4, 4, 128), 147_456),  # 3*3*128*128
    ("layer2_0_bn2", (4, 4, 128), 512),
    *[
        (f"layer2_1_{name}", (4, 4, 128), count)
        for name, count in (("conv1", 147_456), ("bn1", 512), ("conv2", 147_456), ("bn2", 512))
    ],
]
DENSE_BLOCKS = [(1, 64, 6, 8), (2, 128, 12, 4)]  # number, channels, layers, side of the map
DENSENET = [
    ("conv1_conv", (16, 16, 64), 3_136),
    ("conv1_bn", (16, 16, 64), 256),
    # In each layer 128 channels of 1 x 1, then 32 of 3 x 3, concatenated with its input.
    *[
        (f"conv{number + 1}_block{i + 1}_{part}", shape, count)
        for number, first, length, side in DENSE_BLOCKS
        for i in range(length)
        for part, shape, count in (
            ("0_bn", (side, side, first + 32 * i), 4 * (first + 32 * i)),
            ("1_conv", (side, side, 128), 128 * (first + 32 * i)),
            ("1_bn", (side, side, 128), 512),
            ("2_conv", (side, side, 32), 36_864),  # 3*3*128*32
            ("concat", (side, side, first + 32 * (i + 1)), 0),
        )
    ],
    ("pool2_bn", (8, 8, 256), 1_024),
    ("pool2_conv", (8, 8, 128), 32_768),  # 1*1*256*128
    ("pool3_bn", (4, 4, 512), 2_048),
    ("pool3_relu", (4, 4, 512), 0),
]


def decoder(channels):
    return [
        ("deconv1", (8, 8, 128), 2_048 * channels + 128),  # 4*4*channels*128 + 128
        ("deconv1_norm", (8, 8, 128), 512),
        ("deconv2", (8, 8, 64), 131_136),  # 4*4*128*64 + 64
        ("deconv2_norm", (8, 8, 64), 256),
        ("deconv3", (16, 16, 64), 65_600),  # 4*4*64*64 + 64
        ("deconv3_norm", (16, 16, 64), 256),
        ("deconv4", (16, 16, 32), 32_800),  # 4*4*64*32 + 32
        ("deconv4_norm", (16, 16, 32), 128),
        ("deconv5", (32, 32, 2), 1_026),  # 4*4*32*2 + 2
    ]


ECCV16 = [
    ("conv1_1", (32, 32, 64), 640),  # 3*3*1*64 + 64
    ("conv1_2", (16, 16, 64), 36_928),
    ("conv1_norm", (16, 16, 64), 256),
    ("conv2_1", (16, 16, 128), 73_856),
    ("conv2_2", (8, 8, 128), 147_584),
    ("conv2_norm", (8, 8, 128), 512),
    ("conv3_1", (8, 8, 256), 295_168),
    ("conv3_2", (8, 8, 256), 590_080),
    ("conv3_3", (4, 4, 256), 590_080),
    ("conv3_norm", (4, 4, 256), 1_024),
    ("conv4_1", (4, 4, 512), 1_180_160),
    *[
        (f"conv{i}_{j}", (4, 4, 512), 2_359_808)
        for i in range(4, 8)
        for j in range(1, 4)
        if (i, j) != (4, 1)
    ],  # 3*3*512*512 + 512
    *[(f"conv{i}_norm", (4, 4, 512), 2_048) for i in range(4, 8)],
    ("conv8_1", (8, 8, 256), 2_097_408),  # 4*4*512*256 + 256
    ("conv8_2", (8, 8, 256), 590_080),
    ("conv8_3", (8, 8, 256), 590_080),
    ("conv8_313", (8, 8, 313), 80_441),  # 256*313 + 313
]
TABLES = {
    "resnet18_mse": [*RESNET18, *decoder(128)],
    "densenet_mse": [*DENSENET, *decoder(512)],
    "eccv16_mse": [*ECCV16, ("class8_ab", (8, 8, 2), 626), ("ab_up", (32, 32, 2), 0)],
    "eccv16_rebalanced": ECCV16,
}
TABLES |= dict.fromkeys(("resnet18_lpips", "resnet18_mobilenet_v2"), TABLES["resnet18_mse"])
# All, and those that train: all but the two moving statistics of each normalised channel.
COUNTS = {
    "resnet18_mse": (1_172_706, 1_170_210),  # 2 * (64 + 4*64 + 5*128 + 128 + 64 + 64 + 32) = 2,496
    "densenet_mse": (2_588_002, 2_572_130),  # 2 * (64+864+768+256+3648+1536+512+288) = 15,872
    "eccv16_mse": (32_241_003, 32_236_011),  # 2 * (64 + 128 + 256 + 4*512) = 4,992
    "eccv16_rebalanced": (32_240_377, 32_235_385),  # less the 626 of the layer to ab
}
COUNTS |= dict.fromkeys(("resnet18_lpips", "resnet18_mobilenet_v2"), COUNTS["resnet18_mse"])


# One config of each network, since a loss of pictures leaves the network as it is.
DISTINCT = ("resnet18_mse", "densenet_mse", "eccv16_mse", "eccv16_rebalanced")


def narrow(name, **changes):
    """A config with an eighth of the width, where its network's width is a field, at 32 x 32."""
    config = feup.CONFIGS[name]
    blocks = tuple((count, filters // 8, *rest) for count, filters, *rest in config.blocks)
    narrower = {"decoder": ((16, 2), (8, 1), (8, 2), (8, 1), (2, 2)), "blocks": blocks}
    return dataclasses.replace(config, **{**narrower, "upsampled": 32, **changes})


def lightness(count=2, size=32, seed=0):
    return np.random.default_rng(seed).uniform(0, 100, (count, size, size, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def networks():
    """Every config's network at full width."""
    return {name: feup.build_model(config) for name, config in feup.CONFIGS.items()}


@pytest.fixture(scope="module")
def small_networks(networks):
    """The networks of `DISTINCT`, the ECCV ones narrow, with normalisation that has seen data."""
    keras.utils.set_random_seed(0)
    built = {
        name: feup.build_model(narrow(name)) if name.startswith("eccv16") else networks[name]
        for name in DISTINCT
    }
    rng = np.random.default_rng(0)
    for network in built.values():
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                gamma, beta, mean, variance = layer.get_weights()
                mean = mean + rng.normal(size=mean.shape)
                variance = variance * rng.uniform(0.5, 2, variance.shape)
                layer.set_weights([gamma, beta, mean, variance])
    return built


@pytest.fixture
def resnet(networks):
    """A colorizer with ResNet-18's encoder; each test that takes it puts weights into it."""
    return networks["resnet18_mse"]


# --- the networks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", feup.CONFIGS)
def test_the_layers_to_the_letter(networks, name):
    by_name = {layer.name: layer for layer in networks[name]._flatten_layers()}
    for layer, shape, parameters in TABLES[name]:
        assert by_name[layer].output.shape[1:] == shape, layer
        assert by_name[layer].count_params() == parameters, layer
    weighted = {
        layer.name
        for layer in by_name.values()
        if layer.weights and not isinstance(layer, keras.Model)
    }
    assert weighted <= {layer for layer, _, _ in TABLES[name]}


def test_every_config_has_a_pinned_count(networks):
    assert feup.CONFIGS.keys() == COUNTS.keys() == TABLES.keys()
    for name, (count, trained) in COUNTS.items():
        assert sum(parameters for _, _, parameters in TABLES[name]) == count, name
        assert networks[name].count_params() == count, name
        assert (
            sum(v.size for v in map(keras.ops.convert_to_numpy, networks[name].trainable_variables))
            == trained
        ), name


def test_the_whole_of_resnet18_is_the_reports_eleven_million():
    whole = resnet18.network(32, classes=1000)
    assert sum(keras.ops.size(v) for v in whole.trainable_variables) == 11_689_512


def test_the_deconvolutions(networks):
    for name in ("resnet18_mse", "densenet_mse"):
        rows = [
            layer
            for layer in networks[name].layers
            if isinstance(layer, keras.layers.Conv2DTranspose)
        ]
        assert [(row.filters, row.kernel_size, row.strides) for row in rows] == [
            (128, (4, 4), (2, 2)),
            (64, (4, 4), (1, 1)),
            (64, (4, 4), (2, 2)),
            (32, (4, 4), (1, 1)),
            (2, (4, 4), (2, 2)),
        ]
        assert rows[-1].activation is keras.activations.linear and rows[-1].output is (
            networks[name].output
        )


def test_dilations_and_what_follows_the_313_channels(small_networks):
    network = small_networks["eccv16_mse"]
    for i, dilation in enumerate([1, 1, 1, 1, 2, 2, 1], start=1):
        for j in (1, 2):
            layer = network.get_layer(f"conv{i}_{j}")
            assert layer.dilation_rate == (dilation, dilation) and layer.use_bias
    l = lightness() / 100 - 0.5
    logits = keras.Model(network.input, network.get_layer("conv8_313").output)
    logits = logits.predict_on_batch({"l": l}).astype(np.float64)
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    (kernel,) = network.get_layer("class8_ab").get_weights()  # no bias
    few = 110 * chances @ kernel[0, 0]
    ab = network.predict_on_batch({"l": l})
    # Bilinear upsampling by 4 weighs the two nearest places by 1/8 and 7/8, 3/8 and 5/8, ...
    between = few[:, 3, 3] * 5 / 8 + few[:, 3, 4] * 3 / 8
    next_row = few[:, 4, 3] * 5 / 8 + few[:, 4, 4] * 3 / 8
    assert ab[:, 15, 15] == pytest.approx(between * 5 / 8 + next_row * 3 / 8, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),  # DenseNet's is 40 in test_it_learns
    [("resnet18_mse", 88), ("eccv16_mse", 88), ("eccv16_rebalanced", 88)],
)
def test_cifars_size_and_any_multiple_of_8(networks, name, size):
    whole = 4 if name == "eccv16_rebalanced" else 1
    assert networks[name].output.shape[1:3] == (32 // whole, 32 // whole)
    network = feup.build_model(narrow(name, image_size=size))
    assert network.output.shape[1:3] == (size // whole, size // whole)


def test_the_reports_protocol():
    assert list(feup.CONFIGS)[0] == "resnet18_mse"
    for name, config in feup.CONFIGS.items():
        assert (config.learning_rate, config.decay, config.batch_size, config.epochs) == (
            1e-3,
            None,
            64,
            50,
        ), name
        assert (config.image_size, config.ab_scale, config.ab_offset) == (32, 1.0, 0.0), name
    assert (feup.CONFIGS["resnet18_mse"].l_scale, feup.CONFIGS["resnet18_mse"].l_offset) == (1, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        feup.CONFIGS["resnet18_mse"].epochs = 3


def test_the_losses(networks):
    for name in ("resnet18_mse", "densenet_mse", "eccv16_mse", "eccv16_rebalanced"):
        network = networks[name]
        training.compile_model(feup, network, feup.CONFIGS[name], steps=1)
        assert isinstance(network.optimizer, keras.optimizers.Adam)
        wanted = (
            losses.BinCrossEntropy if name == "eccv16_rebalanced" else keras.losses.MeanSquaredError
        )
        assert type(network.loss) is wanted
    given = keras.losses.MeanAbsoluteError()
    training.compile_model(
        feup, networks["resnet18_mse"], feup.CONFIGS["resnet18_mse"], 1, loss=given
    )
    assert networks["resnet18_mse"].loss is given


# --- weights ----------------------------------------------------------------------------------


def torch_state(stages=2, seed=0, channels=3):
    """A random state_dict of ResNet-18 by torchvision's names and shapes."""
    rng = np.random.default_rng(seed)
    state = {}

    def convolution(name, norm, inputs, outputs, side):
        limit = (2 / (inputs * side * side)) ** 0.5
        state[f"{name}.weight"] = rng.normal(0, limit, (outputs, inputs, side, side)).astype("f4")
        for part in ("weight", "running_var"):
            state[f"{norm}.{part}"] = rng.uniform(0.5, 1.5, outputs).astype("f4")
        for part in ("bias", "running_mean"):
            state[f"{norm}.{part}"] = rng.normal(0, 0.2, outputs).astype("f4")
        state[f"{norm}.num_batches_tracked"] = np.array(9, "i8")

    convolution("conv1", "bn1", channels, 64, 7)
    before = 64
    for stage in range(1, stages + 1):
        width = 32 << stage
        for block in range(2):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1", f"{name}.bn1", before, width, 3)
            convolution(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            if before != width:
                convolution(f"{name}.downsample.0", f"{name}.downsample.1", before, width, 1)
            before = width
    state["fc.weight"] = rng.normal(size=(10, before)).astype("f4")
    return state


def in_numpy(state, x):
    """ResNet-18 to its 128 channels as PyTorch computes it: (N, C, H, W) -> (N, 128, H/8, W/8)."""

    def convolution(x, name, stride, padding):
        kernel = state[f"{name}.weight"].astype(np.float64)
        side = kernel.shape[-1]
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (2, 3))
        return np.einsum(
            "nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], kernel, optimize=True
        )

    def norm(x, name):
        gamma, beta, mean, variance = (
            state[f"{name}.{part}"].astype(np.float64)[:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    x = np.maximum(norm(convolution(x, "conv1", 2, 3), "bn1"), 0)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((-1, -2))
    for stage in (1, 2):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if (stage, block) == (2, 0) else 1
            y = np.maximum(norm(convolution(x, f"{name}.conv1", stride, 1), f"{name}.bn1"), 0)
            y = norm(convolution(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
            if stride > 1:
                x = norm(convolution(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
    return x


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_pytorch_file_gives_the_outputs_that_pytorch_would(tmp_path, resnet, zip_format):
    """On a grey picture the one-channel encoder does what the network does to three channels."""
    state = torch_state()
    path = saved(tmp_path / "resnet18.pth", state, zip_format)
    about = resnet18.load(resnet, feup.CONFIGS["resnet18_mse"], str(path))
    assert (about["network"], about["weights"]) == ("resnet18", "resnet18.pth")
    assert about["sha256"] == pretrained.weights_sha256(resnet.get_layer("resnet18"))
    l = lightness()
    ours = keras.ops.convert_to_numpy(resnet.get_layer("resnet18").predict_on_batch(l))
    theirs = in_numpy(state, np.repeat(l.transpose(0, 3, 1, 2).astype(np.float64), 3, axis=1))
    assert np.abs(theirs).max() > 1
    assert ours == pytest.approx(theirs.transpose(0, 2, 3, 1), rel=1e-3, abs=1e-2)


def test_kernels_over_three_colours_are_kept_where_three_are_seen():
    state = torch_state()
    x = np.random.default_rng(1).normal(size=(1, 32, 32, 3)).astype(np.float32)
    ours = keras.ops.convert_to_numpy(resnet18.from_torch(state).predict_on_batch(x))
    assert ours.transpose(0, 3, 1, 2) == pytest.approx(
        in_numpy(state, x.transpose(0, 3, 1, 2).astype(np.float64)), rel=1e-3, abs=1e-3
    )


def test_names_of_a_parallel_training_and_one_channel_are_understood():
    state = torch_state(channels=1)
    network = resnet18.from_torch({f"module.{name}": value for name, value in state.items()})
    (kernel,) = network.get_layer("conv1").get_weights()
    assert (kernel == state["conv1.weight"].transpose(2, 3, 1, 0)).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("layer2.1.bn2.running_var"), r"layer2.1.bn2.running_var .* there is none"),
        (lambda s: s.update({"conv1.weight": s["conv1.weight"][:, :2]}), "conv1.weight must be of"),
        (lambda s: s.update({"layer1.0.conv1.weight": np.zeros((64, 64, 1, 1), "f4")}), "layer1.0"),
        (
            lambda s: s.update({"layer1.2.conv1.weight": np.zeros(1, "f4")}),
            "no layer1.2.conv1.weight",
        ),
        (lambda s: s.clear(), "conv1.weight must be of"),
    ],
)
def test_other_networks_weights_are_refused(tmp_path, change, match):
    state = torch_state()
    change(state)
    with pytest.raises(UserError, match=match) as caught:
        resnet18.from_torch(state, tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "whole"), [(1, {"stages": 2}), (3, {"stages": 2}), (3, {"classes": 1000})]
)
def test_a_keras_file_of_the_network_whole_or_cut(tmp_path, resnet, channels, whole):
    keras.utils.set_random_seed(3)
    source = resnet18.network(32, channels, **whole)
    source.save_weights(tmp_path / "a.weights.h5")
    about = resnet18.load(resnet, feup.CONFIGS["resnet18_mse"], str(tmp_path / "a.weights.h5"))
    assert about["weights"] == "a.weights.h5"
    for layer in filter(lambda layer: layer.weights, resnet.get_layer("resnet18").layers):
        for ours, theirs in zip(
            layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
        ):
            assert ours == pytest.approx(
                theirs.sum(2, keepdims=True) if layer.name == "conv1" else theirs, abs=1e-6
            )


def test_random_weights_say_so_and_are_the_same_each_time(networks):
    for module, name in ((resnet18, "resnet18"), (densenet, "densenet")):
        network = networks[f"{name}_mse"]
        hashes = {pretrained.weights_sha256(network.get_layer(name))}
        for seed in (1, 2):
            keras.utils.set_random_seed(seed)
            about = module.load(network, feup.CONFIGS[f"{name}_mse"], "random")
            assert (about["network"], about["weights"]) == (name, "random")
            hashes.add(about["sha256"])
        assert len(hashes) == 2  # what it was built with, and another


def test_no_network_and_no_file_are_one_line(tmp_path, resnet, monkeypatch, capsys):
    def fail(*_, **__):
        raise Exception("no network here")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    config, network = feup.CONFIGS["resnet18_mse"], resnet
    with pytest.raises(UserError, match="RESNET18_WEIGHTS=file"):
        resnet18.load(network, config, "imagenet")
    assert resnet18.load(network, config, "auto")["weights"] == "random"
    assert "RANDOM weights" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UserError, match="no weights file .*nothing.pth"):
        resnet18.load(network, config, str(tmp_path / "nothing.pth"))
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UserError, match="no file of torch.save"):
        resnet18.load(network, config, str(tmp_path / "text.pth"))


def test_a_download_is_checked_by_its_name(tmp_path, resnet, monkeypatch):
    path = saved(tmp_path / "resnet18.pth", torch_state())
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(path))
    config = feup.CONFIGS["resnet18_mse"]
    with pytest.raises(UserError, match="SHA-256"):
        resnet18.load(resnet, config, "imagenet")
    digest = files.sha256(path)
    monkeypatch.setattr(resnet18, "IMAGENET", f"resnet18-{digest[:8]}.pth")
    assert resnet18.load(resnet, config, "imagenet")["weights"] == "imagenet"


def test_densenets_first_kernel_is_summed_over_the_colours(tmp_path, small_networks):
    keras.utils.set_random_seed(4)
    whole = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(32, 32, 3))
    whole.save_weights(tmp_path / "densenet.weights.h5")
    network = small_networks["densenet_mse"]
    densenet.load(network, feup.CONFIGS["densenet_mse"], str(tmp_path / "densenet.weights.h5"))
    for layer in filter(lambda layer: layer.weights, network.get_layer("densenet").layers):
        for ours, theirs in zip(
            layer.get_weights(), whole.get_layer(layer.name).get_weights(), strict=True
        ):
            first = ours.shape != theirs.shape
            assert first == (layer.name == "conv1_conv")
            assert ours == pytest.approx(
                theirs.sum(2, keepdims=True) if first else theirs, abs=1e-6
            )


# --- learning, and what comes out -------------------------------------------------------------

# The error after all steps, as a share of the mean colour's, with the seeds 0, 1 and 2, on AVX2 in
# float32:
# resnet18_mse: 0.020, 0.019, 0.026. densenet_mse: 0.127, 0.152, 0.134.
# eccv16_mse: 0.013, 0.020, 0.055. eccv16_rebalanced: 0.008, 0.008, 0.008.
# resnet18_mobilenet_v2: 0.185, 0.104, 0.202.
# The distance of pictures is learned the same way with the features of VGG16 (`resnet18_lpips`).
# Narrow layers sum fewer weights to reach the same colours, hence the higher rates.
LEARNED = {  # steps, changes
    "resnet18_mse": (150, {"learning_rate": 1e-2}),
    "densenet_mse": (100, {"learning_rate": 1e-2, "image_size": 40}),  # any multiple of 8
    "eccv16_mse": (400, {"learning_rate": 3e-3}),
    "eccv16_rebalanced": (100, {}),
    "resnet18_mobilenet_v2": (130, {"learning_rate": 1e-2}),
}


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns(name, seed=0):
    steps, changes = LEARNED[name]
    config = narrow(name, **changes)
    share = learning.share_of_mean_colour(feup, config, steps, enough=0.5, seed=seed)
    assert share < 0.5


def expected(name, network, l):
    """The network's colours in Lab units, by NumPy from its last layers on."""
    config = feup.CONFIGS[name]
    out = keras.ops.convert_to_numpy(
        network.predict_on_batch({"l": l * config.l_scale + config.l_offset})
    )
    if name != "eccv16_rebalanced":
        return out
    sharp = np.exp(out.astype(np.float64) / 0.38)
    few = sharp / sharp.sum(-1, keepdims=True) @ bins.CENTRES
    return keras.ops.convert_to_numpy(
        keras.ops.image.resize(few.astype(np.float32), (32, 32), interpolation="bilinear")
    )


BARE = """
import sys
import keras, numpy as np
l = np.load("l.npy")
for name in sys.argv[1:]:
    model = keras.models.load_model(name + ".h5", compile=False)
    assert [tensor.name for tensor in model.inputs] == ["l"]
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    np.save(name + ".npy", model.predict_on_batch({"l": l}))
assert not any(name.split(".")[0] in ("common", "feup", "tests") for name in sys.modules)
"""


def test_exports_open_without_us_as_the_networks_in_lab_units(tmp_path, small_networks):
    """In another process, in another folder."""
    l, colours = lightness(), {}
    np.save(tmp_path / "l.npy", l)
    for name, network in small_networks.items():
        h5.export(h5.wrap(network, feup.CONFIGS[name]), tmp_path / f"{name}.h5", {})
        colours[name] = expected(name, network, l)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", BARE, *colours],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    for name, ab in colours.items():
        ours = np.load(tmp_path / f"{name}.npy")
        assert ours.shape == (2, 32, 32, 2)
        assert ours == pytest.approx(ab, rel=1e-3, abs=1e-2)  # float32 through 20 layers and more


# --- whole runs -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with drawn pictures."""
    drawn.folder(tmp_path / "photos", 12, 40)
    monkeypatch.chdir(tmp_path)
    for network in ("RESNET18", "VGG16", "MOBILENET_V2"):
        monkeypatch.setenv(f"{network}_WEIGHTS", "random")
    monkeypatch.setenv("LPIPS_WEIGHTS", "none")
    return tmp_path


def tiny(name, **changes):
    """A config of the ECCV network for runs of a few steps."""
    blocks = ((1, 8, 2, 1), (1, 8, 2, 1), (2, 8, 2, 1), (1, 8, 1, 2))
    short = {"batch_size": 2, "steps": 2, "epochs": 1}
    return narrow(name, **{"blocks": blocks, "upsampled": 8, **short, **changes})


def run(*arguments):
    return cli.run(
        train.main,
        ["--data", "photos", "--steps", "2", "--epochs", "1", "--batch", "2", *arguments],
    )


def test_a_stopped_run_goes_on_to_the_same_bits(folder):
    """With batch normalisation, and the prior of the colours in the loss."""
    config = tiny("eccv16_rebalanced", epochs=2)
    stopping.assert_goes_on_to_the_same_bits(feup, config, "photos", before=1, after=2)


def test_the_original_objective_needs_no_option(folder):
    """The prior is measured because the config asks for it."""
    made = training.train(feup, tiny("eccv16_rebalanced"), "photos")
    about = h5.metadata(made.model)
    assert len(about["prior"]) == 313 and sum(about["prior"]) == pytest.approx(1, abs=1e-4)
    assert about["options"] == [] and about["pretrained"] == {}
    assert about["config"]["rebalance"] is True
    assert h5.load(made.model).output_shape == (None, 32, 32, 2)


def test_bins_of_bins_are_refused(folder):
    with pytest.raises(UserError, match="classifies ab already"):
        training.train(feup, tiny("eccv16_rebalanced"), "photos", bins=True)


@pytest.mark.parametrize("name", ["resnet18_mse", "densenet_mse", "eccv16_mse"])
def test_bins_take_the_place_of_each_networks_last_layer(small_networks, name):
    network = bins.with_head(small_networks[name])
    assert network.output.shape[-1] == 313
    assert h5.wrap(network, feup.CONFIGS[name]).output.shape == (None, 32, 32, 2)


def test_the_options_of_training(folder):
    made = training.train(feup, tiny("eccv16_mse"), "photos", bins=True, rebalance=True)
    assert made.model.name.endswith("-bins-rebalance.h5")
    assert h5.load(made.model).output_shape == (None, 32, 32, 2)


@pytest.mark.parametrize("option", ["--bins", "--rebalance"])
def test_a_perceptual_loss_leaves_no_room_for_another(folder, capsys, option):
    assert run("--config", "resnet18_lpips", option) == 2
    assert "has a loss of whole pictures. Leave it out." in capsys.readouterr().err


def test_the_network_of_the_loss_is_in_the_model_and_another_is_another_run(folder, capsys):
    command = ["--config", "resnet18_mobilenet_v2", "--run", "r"]
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "loss: MobileNetV2 feature distance, RANDOM weights" in printed
    assert "loss MobileNetV2 feature distance, RANDOM weights" in printed.split("test split")[1]
    distance = h5.metadata(folder / "models/feup-resnet18_mobilenet_v2.h5")["distance"]
    assert (distance["network"], distance["weights"]) == ("mobilenet_v2", "random")

    application = keras.applications.MobileNetV2(include_top=False, weights=None)
    application.save_weights("other.weights.h5")
    assert run(*command, "--mobilenet-v2-weights", "other.weights.h5") == 2
    assert "distance.sha256 was" in capsys.readouterr().err


def test_figures_by_epoch_another_size_and_weights_of_a_file(folder):
    saved(folder / "resnet18.pth", torch_state())
    arguments = ("--size", "40", "--epochs", "2", "--resnet18-weights", "resnet18.pth")
    assert run(*arguments) == 0
    (out,) = (folder / "runs").iterdir()
    assert out.name.endswith("-40")
    known = json.loads((out / "config.json").read_text())["pretrained"]["resnet18"]
    assert known["weights"] == "resnet18.pth" and len(known["sha256"]) == 64
    with open(out / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        keys = ["loss", "val_loss", "val_psnr_rgb"]
        keys += [f"val_{key}" for key in feup.CONFIGS["resnet18_mse"].watched]
        assert np.isfinite([float(row[key]) for key in keys]).all()
        # The loss is the squared error in units of ab; the difference is bfloat16's, where a
        # processor has it.
        assert float(row["val_loss"]) == pytest.approx(float(row["val_mse_ab"]), rel=2e-2)
    evaluation = evaluated.read(out / "evaluation" / "metrics.json")
    result = reproduce.Result(out, logs.read_history(out), evaluation, 0, 0)
    table = {row.what: row for row in claims.ROWS["resnet18_mse"]}
    row = table["test PSNR on ab, range of the batch, dB"]
    assert row.reported == "21.212" and re.fullmatch(r"\d+\.\d\d \(grey .*\)", row.ours(result))
    about = h5.metadata(folder / "models/feup.h5")
    assert about["image_size"] == 40 and about["pretrained"]["resnet18"] == known
    assert about["metrics"]["ssim_ab"] == pytest.approx(float(rows[-1]["val_ssim_ab"]), abs=0.05)


def test_a_size_that_does_not_fit_is_refused_before_anything_begins(folder, capsys):
    assert run("--size", "36") == 2
    printed = capsys.readouterr()
    assert "cannot take 36 x 36" in printed.err and "precision" not in printed.out
