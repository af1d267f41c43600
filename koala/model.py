"""The network of the report's table, layer by layer."""

import keras
from keras import layers

from common.networks.layers import convolutions, fuse
from koala.config import Config

EMBEDDING = 1000
FUSION = 256


def build_model(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1), "embedding": (N, 1000)} -> ab (N, S, S, 2), in the report's scaling.

    S is `config.image_size`, a multiple of 8. 6,541,202 parameters as `lee2021`.
    """
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    embedding = keras.Input((EMBEDDING,), name="embedding")

    x = convolutions(l, config.encoder, "encoder")  # S/8 x S/8 x 256
    x = fuse(x, embedding)  # S/8 x S/8 x 1256
    x = layers.Conv2D(FUSION, 1, activation="relu", name="fusion_conv")(x)  # S/8 x S/8 x 256
    x = convolutions(x, config.decoder, "decoder")
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="decoder_ab")(x)
    x = layers.UpSampling2D(2, name="decoder_up3")(x)  # after the two channels: S x S x 2
    return keras.Model({"l": l, "embedding": embedding}, x, name="koala")
