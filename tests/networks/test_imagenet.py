"""The table of keras.applications' networks against Keras itself."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from common.networks import imagenet


@pytest.mark.parametrize("network", imagenet.NETWORKS)
def test_preprocessing_is_that_of_training(network):
    of = imagenet.NETWORKS[network]
    module = importlib.import_module(f"keras.applications.{network.removesuffix('121')}")
    rgb = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    expected = module.preprocess_input(rgb.copy())
    assert of.preprocess(rgb) == pytest.approx(expected, abs=1e-3)
    tensor = of.preprocess(ops.convert_to_tensor(rgb))
    assert ops.convert_to_numpy(tensor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("mobilenet_v2", "RGB of 0 to 255 times 0.0078431 plus -1"),
        ("vgg16", "BGR of 0 to 255 times 1 plus -103.94/-116.78/-123.68"),
    ],
)
def test_preprocessing_as_text(network, words):  # which metrics.json records
    assert str(imagenet.NETWORKS[network].preprocess) == words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "top"),
    [  # as they are asked for
        ("vgg16", False),
        ("resnet50", True),
        ("densenet121", False),
        ("mobilenet_v2", True),
        ("mobilenet_v2", False),
        ("inception_v3", False),
        ("inception_resnet_v2", True),
    ],
)
def test_the_cached_file_is_the_one_that_keras_asks_for(network, top, monkeypatch):
    asked = []

    def get_file(name, *_, **__):
        asked.append(name)
        raise FileNotFoundError(name)

    file_utils = importlib.import_module("keras.src.utils.file_utils")
    monkeypatch.setattr(file_utils, "get_file", get_file)
    of = imagenet.NETWORKS[network]
    with pytest.raises(FileNotFoundError):
        of.build(weights="imagenet", include_top=top, input_shape=(of.size, of.size, 3))
    assert asked == [of.file(top)]
    assert getattr(keras.applications, of.build.__name__) is of.build
