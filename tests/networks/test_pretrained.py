"""Weights of a keras.applications network: `auto`, `imagenet`, `random` and files, and errors."""

import socket

import keras
import numpy as np
import pytest
from keras import layers

from common import cli
from common.cli import UserError
from common.networks import downloads, imagenet, pretrained
from common.networks.flags import add_weights


def application(include_top=True, weights=None, input_shape=None, classes=1000):
    """A network with the arguments of keras.applications."""
    if weights == "imagenet":
        raise Exception("URL fetch failure on https://example.org: None")
    x = picture = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, 4, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Conv2D(6, 3, 4, name="conv2")(x)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(classes, name="predictions")(x)
    return keras.Model(picture, x)


def other(**arguments):
    """Another network, for files that do not fit."""
    picture = keras.Input((8, 8, 3))
    return keras.Model(picture, layers.Conv2D(5, 3, name="conv1")(picture))


def encoder():
    """Two stages of `application`, at another size."""
    whole = application(include_top=False, input_shape=(32, 32, 3))
    return keras.Model(whole.input, [whole.get_layer("conv1").output, whole.output], name="tiny")


def fill(network, weights, application=application):
    unchanged = imagenet.Preprocessing((1.0,) * 3, (0.0,) * 3)
    of = imagenet.Application("Tiny", application, 8, unchanged, "tiny")
    return pretrained.fill(network, weights, application=of, variable="TINY_WEIGHTS")


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
@pytest.mark.parametrize("top", pretrained.TOPS)
def test_a_file_with_or_without_its_top_fills_an_encoder(tmp_path, top, suffix):
    keras.utils.set_random_seed(1)
    whole = application(input_shape=(224, 224, 3), **top)
    path = tmp_path / f"tiny{suffix}"
    whole.save(path) if suffix == ".h5" else whole.save_weights(path)
    network = encoder()
    about = fill(network, str(path))
    for name in ("conv1", "bn1", "conv2"):
        for ours, theirs in zip(
            network.get_layer(name).get_weights(), whole.get_layer(name).get_weights(), strict=True
        ):
            assert (ours == theirs).all(), name
    assert about == {
        "network": "tiny",
        "weights": path.name,
        "sha256": pretrained.weights_sha256(network),
    }


def test_random_weights_are_drawn_by_seed_and_unlike_zero():
    first, second = encoder(), encoder()
    assert fill(first, "random") == fill(second, "random")
    kernel = first.get_layer("conv2").kernel.numpy()
    limit = np.sqrt(6 / (9 * (4 + 6)))  # Glorot's, 3 x 3
    assert 0.8 * limit < np.abs(kernel).max() <= limit
    assert fill(first, "random")["weights"] == "random"


def test_the_hash_is_of_values_and_shapes_not_of_automatic_names():
    network, twin = encoder(), encoder()
    twin.set_weights(network.get_weights())
    assert pretrained.weights_sha256(network) == pretrained.weights_sha256(twin)
    values = network.get_weights()
    values[0].flat[0] += 1e-3
    twin.set_weights(values)
    assert pretrained.weights_sha256(network) != pretrained.weights_sha256(twin)


def test_without_weights_auto_warns_and_imagenet_refuses(capsys):
    assert fill(encoder(), "auto")["weights"] == "random"
    warning = " ".join(capsys.readouterr().err.split())
    assert "Fetching the ImageNet weights of tiny" in warning and warning.count("!") > 80
    for word in ("RANDOM", "TINY_WEIGHTS=file", "URL fetch failure"):
        assert word in warning
    with pytest.raises(UserError, match=r"tiny are neither .* \(URL fetch failure.*TINY_WEIGHTS="):
        fill(encoder(), "imagenet")


def test_imagenet_weights_are_taken_where_they_are(monkeypatch, capsys):
    def at_hand(weights=None, **arguments):
        network = application(**arguments)
        network.set_weights([np.full(value.shape, 0.5) for value in network.get_weights()])
        return network

    network = encoder()
    assert fill(network, "auto", at_hand)["weights"] == "imagenet"
    assert all((value == 0.5).all() for value in network.get_weights())
    assert "RANDOM" not in capsys.readouterr().err


def test_a_download_has_a_short_time_out_and_leaves_none_behind():
    timeouts = []
    before = socket.getdefaulttimeout()
    pretrained.fetch(lambda: timeouts.append(socket.getdefaulttimeout()), "tiny", "tiny.h5")
    assert timeouts == [downloads.TIMEOUT] and socket.getdefaulttimeout() == before


def test_networks_are_built_in_float32_whatever_the_policy(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pretrained.in_float32():
            assert keras.config.dtype_policy().name == "float32"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)


def test_a_wrong_file_is_one_line_with_the_way_out(tmp_path):
    strange, text = tmp_path / "other.weights.h5", tmp_path / "text.weights.h5"
    other().save_weights(strange)
    text.write_text("no weights")
    for path in (strange, text):
        with pytest.raises(UserError, match="does not hold weights of tiny") as error:
            fill(encoder(), str(path))
        assert "\n" not in str(error.value) and "TINY_WEIGHTS is auto" in str(error.value)
    with pytest.raises(UserError, match="no weights file nowhere.h5. TINY_WEIGHTS is auto"):
        fill(encoder(), "nowhere.h5")


@pytest.mark.parametrize(
    ("environment", "words", "expected"),
    [
        (None, [], "auto"),
        ("random", [], "random"),
        ("random", ["--tiny-net-weights=imagenet"], "imagenet"),
        ("~/tiny.h5", [], "/a/home/tiny.h5"),
    ],
)
def test_the_flag_defaults_to_the_variable(monkeypatch, environment, words, expected):
    monkeypatch.setenv("HOME", "/a/home")
    monkeypatch.delenv("TINY_NET_WEIGHTS", raising=False)
    if environment:
        monkeypatch.setenv("TINY_NET_WEIGHTS", environment)
    parser = cli.Parser()
    add_weights(parser, "tiny_net")
    assert parser.parse_args(words).tiny_net_weights == expected
