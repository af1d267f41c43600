"""The networks of the report and of the original, layer by layer as in their tables."""

import keras
from keras import layers

from common.networks.layers import convolutions, fuse, normalised
from iizuka.config import Config, Iizuka2016

FUSION = 256
HEAD = 256  # hidden layer of the classification head


def build_model(config: Config) -> keras.Model:
    """The network of a config, `jain` or `iizuka2016`, in the report's scaling."""
    return iizuka2016(config) if isinstance(config, Iizuka2016) else jain(config)


def jain(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1)} -> ab (N, S, S, 2); S is `config.image_size`, a multiple of 8.

    41,973,218 weights and biases at 224, and 18,816 of batch normalisation.
    """
    momentum = config.momentum
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    low = convolutions(l, config.low, "low", momentum=momentum)  # S/8 x S/8 x 512
    middle = convolutions(low, config.middle, "middle", momentum=momentum)  # S/8 x S/8 x 256
    x = convolutions(low, config.whole, "global", momentum=momentum)  # S/32 x S/32 x 512
    x = layers.Flatten(name="global_flatten")(x)
    for i, units in enumerate(config.dense, start=1):
        x = layers.Dense(units, activation="relu", name=f"global_dense{i}")(x)

    x = fuse(middle, x)  # S/8 x S/8 x 768
    x = layers.Conv2D(FUSION, 1, name="fusion_conv")(x)
    x = normalised(x, momentum, "fusion_conv")  # S/8 x S/8 x 256
    x = convolutions(x, config.colour, "colour", layer=layers.Conv2DTranspose, momentum=momentum)
    x = layers.Conv2DTranspose(2, 3, 2, "same", activation="tanh", name="colour_ab")(x)
    return keras.Model({"l": l}, x, name="jain")


def iizuka2016(config: Iizuka2016) -> keras.Model:
    """{"l": (N, H, W, 1), "l_global": (N, S, S, 1)} -> ab (N, H, W, 2), and logits of classes.

    H and W are any multiples of 8, S is `config.image_size`. The low-level layers are shared by
    both inputs. The output is {"ab": ..., "label": (N, config.classes)}, or ab alone where
    `config.classes` is 0, with 42,169,826 weights and biases.
    """
    momentum = config.momentum
    size = config.image_size
    inputs = {
        "l": keras.Input((None, None, 1), name="l"),
        "l_global": keras.Input((size, size, 1), name="l_global"),
    }
    x = keras.Input((None, None, 1))
    low = keras.Model(x, convolutions(x, config.low, "low", momentum=momentum), name="low")
    middle = convolutions(low(inputs["l"]), config.middle, "middle", momentum=momentum)

    x = convolutions(low(inputs["l_global"]), config.whole, "global", momentum=momentum)
    x = layers.Flatten(name="global_flatten")(x)
    dense = []
    for i, units in enumerate(config.dense, start=1):
        x = layers.Dense(units, activation="relu", name=f"global_dense{i}")(x)
        dense.append(x)

    # A 1x1 convolution of a concatenation is the sum of a 1x1 convolution of each part. The global
    # part is the same at all positions, and so needs no known height and width to be repeated to.
    x = layers.Dense(FUSION, use_bias=False, name="fusion_dense")(x)
    x = layers.Reshape((1, 1, FUSION), name="fusion_reshape")(x)
    x = layers.Add(name="fusion_add")([layers.Conv2D(FUSION, 1, name="fusion_conv")(middle), x])
    x = normalised(x, momentum, "fusion")
    x = convolutions(x, config.colour, "colour", momentum=momentum)
    x = layers.Conv2D(2, 3, padding="same", activation="sigmoid", name="colour_ab")(x)
    ab = layers.UpSampling2D(2, name="ab")(x)
    if not config.classes:
        return keras.Model(inputs, ab, name="iizuka2016")
    x = layers.Dense(HEAD, activation="relu", name="label_dense")(dense[-2])  # 512 units
    label = layers.Dense(config.classes, name="label")(x)
    return keras.Model(inputs, {"ab": ab, "label": label}, name="iizuka2016")
