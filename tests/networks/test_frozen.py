"""A network cut behind its frozen layers: both parts together are the network."""

import keras
import numpy as np
import pytest
from keras import layers

from common.networks import frozen
from tests import drawn


def _encoder(outputs):
    """A frozen network of a map and a vector, as a dict or as a list."""
    picture = keras.Input((8, 8, 1))
    fine = layers.Conv2D(3, 3, 2, "same", name="fine")(picture)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(fine)
    named = {"pooled": pooled, "fine": fine}
    encoder = keras.Model(picture, named if outputs is dict else list(named.values()), name="first")
    encoder.trainable = False
    return encoder


def _network(outputs):
    """L* and an embedding -> the encoder, a frozen layer beside it, and what trains."""
    inputs = {
        "l": keras.Input((8, 8, 1), name="l"),
        "embedding": keras.Input((5,), name="embedding"),
    }
    values = _encoder(outputs)(inputs["l"])
    pooled, fine = (values["pooled"], values["fine"]) if outputs is dict else values
    beside = layers.Conv2D(2, 1, 2, name="second", trainable=False)(inputs["l"])
    vector = layers.Concatenate(name="vectors")([pooled, inputs["embedding"]])
    vector = layers.Reshape((1, 1, 2), name="square")(layers.Dense(2, name="narrow")(vector))
    x = layers.Add(name="sum")([layers.Conv2D(2, 1, name="conv")(fine), beside, vector])
    return keras.Model(inputs, layers.UpSampling2D(2, name="up")(x), name="whole")


@pytest.mark.parametrize("outputs", [dict, list])
def test_the_parts_together_are_the_network(outputs):
    keras.utils.set_random_seed(0)
    network, config = _network(outputs), drawn.Config()
    names = frozen.frozen_among(network, ["first", "second", "conv", "absent"])
    assert names == ["first", "second"]
    first, rest = frozen.cut(network, names)
    shapes = {"first_pooled": (3,), "first_fine": (4, 4, 3), "second_output": (4, 4, 2)}
    extractor = frozen.Frozen(first, config, {})
    assert extractor.shapes == shapes and extractor.size == 3 + 48 + 32
    rng = np.random.default_rng(0)
    l = rng.uniform(0, 100, (20, 8, 8, 1)).astype(np.float32)  # more than a batch
    inputs = {"l": l / 50 - 1, "embedding": rng.normal(size=(20, 5)).astype(np.float32)}
    maps = extractor.unpack(extractor(l))
    assert {name: values.shape[1:] for name, values in maps.items()} == shapes
    expected = network.predict_on_batch(inputs)
    assert rest.predict_on_batch(inputs | maps) == pytest.approx(expected, abs=5e-3)  # float16
    # What trains the rest trains the network.
    assert [id(v) for v in rest.trainable_variables] == [id(v) for v in network.trainable_variables]
    network.get_layer("conv").kernel.assign(np.ones((1, 1, 3, 2)))
    assert rest.predict_on_batch(inputs | maps) == pytest.approx(
        network.predict_on_batch(inputs), abs=5e-3
    )


def test_a_pictures_maps_depend_on_no_neighbour():
    first, _ = frozen.cut(_network(dict), ["first"])
    extractor = frozen.Frozen(first, drawn.Config(), {})
    l = np.random.default_rng(0).uniform(0, 100, (20, 8, 8, 1)).astype(np.float32)
    whole = extractor(l)
    assert (extractor(l[3:9]) == whole[3:9]).all()


def test_the_hash_is_of_weights_layers_and_scaling():
    """The same in a network built anew, whose automatic names have other numbers."""

    def digest(scale=1.0, config=None):
        l = keras.Input((8, 8, 1), name="l")
        x = layers.Conv2D(2, 1, kernel_initializer="ones", name="first")(layers.Rescaling(scale)(l))
        network = keras.Model({"l": l}, layers.ReLU()(x))
        return frozen.Frozen(frozen.cut(network, ["first"])[0], config or drawn.Config(), {}).sha256

    assert digest() == digest()
    others = [digest(2.0), digest(config=drawn.Config(l_scale=1 / 100))]
    assert len({digest(), *others}) == 3
