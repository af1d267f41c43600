"""A frozen VGG16, and a decoder of deconvolutions with skip connections from the encoder."""

from typing import Any

import keras
import numpy as np
from keras import layers

from common.color import lab
from common.networks import imagenet
from vgg_autoencoder.config import Config

# The last layer of each of the encoder's stages, from the picture to the code.
ENCODERS = {
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_pool"),
    "mobilenet_v2": (
        "block_1_expand_relu",
        "block_3_expand_relu",
        "block_6_expand_relu",
        "block_13_expand_relu",
        "out_relu",
    ),
}

# The grey value as a function of L* is linear up to 2.8, bends most from there to 8, and hardly
# above. Between these L* a straight line replaces it, with an error of at most 0.04 of 255.
KNOTS = np.concatenate([[0.0], np.arange(2.5, 8.0, 0.5), np.arange(8.0, 101.0, 4.0)])


def build_model(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1)} -> ab (N, S, S, 2), in the report's scaling.

    L* is in [0, 100], and the network makes the encoder's grey picture of it; without
    `config.preprocess` it is scaled, and the encoder receives it three times.

    S is `config.image_size`, a multiple of 32. As `zaman2020`, the encoder has the report's
    14,714,688 parameters and is frozen, with random weights until `train` loads others.
    """
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    tables: dict[str, list[np.ndarray]] = {}
    if config.preprocess:
        picture, tables = _grey(l, config)
    else:
        picture = layers.Concatenate(name="l_three_times")([l, l, l])
    encoder = _encoder(config)
    stages = encoder(picture, training=False)  # frozen, batch normalisation too

    x = _normalised(stages.pop(), "code")  # S/32 x S/32
    for number, filters in enumerate(config.decoder, start=1):
        x = layers.Conv2DTranspose(
            filters,
            4,
            2,
            "same",
            kernel_regularizer=_penalty(config),
            name=f"decoder_deconv{number}",
        )(x)
        if stages and stages[-1].shape[1] == x.shape[1]:
            stage = _normalised(stages.pop(), f"residual{number}")
            stage = layers.Conv2D(
                filters, 1, kernel_regularizer=_penalty(config), name=f"residual{number}_conv"
            )(stage)
            x = layers.Add(name=f"residual{number}_add")([x, stage])
        x = layers.ReLU(name=f"decoder_relu{number}")(x)
    # Zero kernels start from grey; random ones would start where tanh is saturated.
    a, b = (
        layers.Conv2DTranspose(
            1,
            3,
            1,
            "same",
            activation="tanh",
            kernel_initializer="zeros",
            kernel_regularizer=_penalty(config),
            name=name,
        )(x)
        for name in "ab"
    )  # S x S x 1 each
    ab = layers.Concatenate(name="ab")([a, b])

    network = keras.Model({"l": l}, ab, name="vgg_autoencoder")
    for name, values in tables.items():
        network.get_layer(name).set_weights(values)
    return network


def _grey(l: Any, config: Config) -> tuple[Any, dict[str, list[np.ndarray]]]:
    """L* -> the encoder's input for the grey picture, (N, S, S, 3); and {layer: its weights}.

    The grey value is a piecewise linear function of L* with bends at `KNOTS`: a sum of ReLUs. It
    takes two built-in layers of constant weights, which any Keras loads; L* x 2.55 would be off by
    up to 3.4 levels of 255.
    """
    preprocess = imagenet.NETWORKS[config.encoder].preprocess
    grey = 255 * lab.l_to_grey(KNOTS).astype(np.float64)
    bends = np.diff(np.diff(grey) / np.diff(KNOTS), prepend=0.0)
    knots = KNOTS[:-1]  # nothing bends at white
    tables = {
        "l_to_knots": [np.ones((1, 1, 1, len(knots))), -knots],
        "l_to_grey": [bends[None, None, :, None] * preprocess.scale, np.array(preprocess.offset)],
    }
    x = layers.Conv2D(len(knots), 1, activation="relu", trainable=False, name="l_to_knots")(l)
    return layers.Conv2D(3, 1, trainable=False, name="l_to_grey")(x), tables


def _encoder(config: Config) -> keras.Model:
    """The network up to its last stage, frozen: (N, S, S, 3) -> the feature maps of `ENCODERS`."""
    whole = imagenet.NETWORKS[config.encoder].build(
        include_top=False, weights=None, input_shape=(config.image_size, config.image_size, 3)
    )
    stages = [whole.get_layer(name).output for name in ENCODERS[config.encoder]]
    encoder = keras.Model(whole.input, stages, name=config.encoder)
    encoder.trainable = False
    return encoder


def _normalised(x: Any, name: str) -> Any:
    """The features at each position with mean 0 and deviation 1: VGG16's stages differ in scale."""
    return layers.LayerNormalization(
        epsilon=1e-6, center=False, scale=False, name=f"{name}_normalised"
    )(x)


def _penalty(config: Config) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L1L2(config.l1, config.l2) if config.l1 or config.l2 else None
