"""The report's two networks: convolutions alone, or with a classifier's prediction fused in."""

import keras
from keras import layers

from common.networks.layers import convolutions, fuse
from cs230.config import Config

EMBEDDING = 1000


def build_model(config: Config) -> keras.Model:
    """{"l": (N, S, S, 1)[, "embedding": (N, 1000)]} -> ab (N, S, S, 2), in the report's scaling.

    S is `config.image_size`, a multiple of 8. `fusion` has 6,970,786 parameters, `plain` 3,892,194.
    """
    inputs = {"l": keras.Input((config.image_size, config.image_size, 1), name="l")}
    x = convolutions(inputs["l"], config.encoder, "encoder")  # S/8 x S/8 x 256
    if config.embedding:
        inputs["embedding"] = keras.Input((EMBEDDING,), name="embedding")
        # The embedding holds logits; the report fuses the classifier's prediction.
        prediction = layers.Softmax(name="prediction")(inputs["embedding"])
        x = fuse(x, prediction)  # S/8 x S/8 x 1256
    x = convolutions(x, config.decoder, "decoder")  # S/2 x S/2 x 32
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="decoder_ab")(x)
    x = layers.UpSampling2D(2, name="decoder_up3")(x)  # after the two channels: S x S x 2
    return keras.Model(inputs, x, name="cs230")
