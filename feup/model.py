"""The networks of the report: an encoder and five deconvolutions, or the ECCV network."""

from typing import Any

import keras
from keras import layers

from feup import densenet, eccv16, resnet18
from feup.config import Config

ENCODERS = {"resnet18": resnet18.encoder, "densenet": densenet.encoder}
EPSILON = 1e-5  # of batch normalisation, PyTorch's


def build_model(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1)} -> ab (N, S, S, 2); with `config.classify`, logits (N, S/4, S/4, 313).

    S is `config.image_size`, a multiple of 8. 1,172,706 parameters as `resnet18_mse`, 2,588,002 as
    `densenet_mse`, 32,241,003 as `eccv16_mse`.
    """
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    if config.network == "eccv16":
        return keras.Model({"l": l}, eccv16.outputs(l, config), name="eccv16")
    encoder = ENCODERS[config.network](config)
    return keras.Model({"l": l}, _decoder(encoder(l), config), name=f"{config.network}_colorizer")


def build_classifier(config: Config, classes: int) -> keras.Model:
    """{"l": (N, S, S, 1)} -> logits (N, classes): ResNet's encoder, global average, dense. P17.

    680,010 parameters for ten classes: the encoder's 678,720 and 1,290.
    """
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    x = layers.GlobalAveragePooling2D(name="pool")(resnet18.encoder(config)(l))
    return keras.Model({"l": l}, layers.Dense(classes, name="label")(x), name="classifier")


def _decoder(x: Any, config: Config) -> Any:
    """The encoder's features (N, S/8, S/8, C) -> ab (N, S, S, 2), by 4x4 deconvolutions. P6."""
    for i, (filters, stride) in enumerate(config.decoder, start=1):
        x = layers.Conv2DTranspose(filters, 4, stride, "same", name=f"deconv{i}")(x)
        if i < len(config.decoder):
            x = layers.BatchNormalization(
                momentum=config.momentum, epsilon=EPSILON, name=f"deconv{i}_norm"
            )(x)
            x = layers.ReLU(name=f"deconv{i}_relu")(x)
    return x
