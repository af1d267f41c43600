"""An encoder trained on ImageNet, and a decoder with lateral connections, for the 313 bins."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from common.color import bins
from common.networks import efficientnet_lite
from wombat import transformer
from wombat.config import Config

# The encoder's outputs, from the code to the finest, and factors that bring each to a deviation of
# about 1: those of ImageNet's weights on photos are 2.5, 6, 8 and 9.
LEVELS = {"s32": 1 / 2.5, "s16": 1 / 6, "s8": 1 / 8, "s4": 1 / 8}
POOL = 1 / 0.35  # the same of the picture's features


def build_model(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1)}, preprocessed -> logits of the bins of ab, (N, S/4, S/4, 313).

    S is `config.image_size`, a multiple of 32. The encoder has random weights until `train` loads
    others, and is frozen until `config.unfreeze_after`.
    """
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    encoder = efficientnet_lite.encoder(config.encoder, config.image_size)
    encoder.trainable = False
    features = encoder(l)

    width = config.transformer[0] if config.transformer else config.widths[0]
    picture = layers.Rescaling(POOL, name="picture_scale")(features["pool"])
    picture = layers.Dropout(config.dropout, name="picture_dropout")(picture)
    picture = layers.Dense(width, name="picture_dense")(picture)
    picture = layers.Reshape((1, 1, width), name="picture_reshape")(picture)
    levels = {
        level: layers.Rescaling(scale, name=f"{level}_scale")(features[level])
        for level, scale in LEVELS.items()
    }
    if config.transformer:
        strides = {int(level.removeprefix("s")): x for level, x in levels.items()}
        x = transformer.decode(strides, picture, config)
    else:
        x = _decode(levels, picture, config)
    x = layers.ReLU(name="ab_relu")(x)
    logits = layers.Conv2D(len(bins.CENTRES), 1, name="ab_bins")(x)
    return keras.Model({"l": l}, logits, name="wombat")


def _decode(levels: Mapping[str, Any], picture: Any, config: Config) -> Any:
    """The encoder's maps, coarsest first, and the picture's features -> features at stride 4."""
    x = picture
    for (level, features), width in zip(levels.items(), config.widths, strict=True):
        lateral = layers.Conv2D(width, 1, name=f"{level}_lateral")(features)
        if level != "s32":  # there x is still one position, which is added to all
            x = layers.Conv2D(width, 1, name=f"{level}_project")(x)
            x = layers.UpSampling2D(2, interpolation="bilinear", name=f"{level}_up")(x)
        x = layers.Add(name=f"{level}_add")([lateral, x])
        x = _residual(x, config, level)
    return x


def _residual(x: Any, config: Config, name: str) -> Any:
    """Two 3x3 convolutions of the same width, added to their input.

    The second one starts from zero, so that the decoder starts as a sum of its laterals and needs
    no normalisation.
    """
    y = layers.ReLU(name=f"{name}_relu1")(x)
    y = layers.SpatialDropout2D(config.dropout, name=f"{name}_dropout")(y)
    y = layers.Conv2D(
        x.shape[-1], 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv1"
    )(y)
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = layers.Conv2D(
        x.shape[-1], 3, padding="same", kernel_initializer="zeros", name=f"{name}_conv2"
    )(y)
    return layers.Add(name=f"{name}_sum")([x, y])
