"""A decoder that is no convolutional network: a small transformer over the stride-16 positions."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from wombat.config import Config

STRIDE = 16  # pixels between two positions
SIDE = 4  # of the square of output positions that each of them gives


def decode(levels: Mapping[int, Any], picture: Any, config: Config) -> Any:
    """The encoder's maps -> features at stride 4, (N, S/4, S/4, C), from which the bins follow.

    levels: {stride: (N, S/stride, S/stride, channels)}. picture: (N, 1, 1, width), of the whole
    picture. Each position is told all that the encoder found in its 16 x 16 pixels, at every
    stride, so that the decoder knows no less than the convolutional one. A. Dosovitskiy et al.
    2020, with the normalisation first and a learned place of each position.
    """
    width, heads, blocks = config.transformer
    side = config.image_size // STRIDE
    x = layers.Concatenate(name="tokens")(
        [_at_stride(x, stride, side) for stride, x in levels.items()]
    )
    x = layers.EinsumDense(  # a bias of its own at each position tells the positions apart
        "nhwc,cd->nhwd",
        (side, side, width),
        bias_axes="hwd",
        bias_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="tokens_project",
    )(x)
    x = layers.Add(name="tokens_add")([x, picture])
    x = layers.Reshape((side * side, width), name="tokens_row")(x)
    for number in range(1, blocks + 1):
        x = _block(x, width, heads, config.dropout, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="tokens_norm")(x)
    channels = config.widths[-1]
    x = layers.Dense(SIDE * SIDE * channels, name="tokens_spread")(x)
    x = layers.Reshape((side, side, SIDE, SIDE, channels), name="tokens_squares")(x)
    x = layers.Permute((1, 3, 2, 4, 5), name="tokens_rows")(x)
    return layers.Reshape((side * SIDE, side * SIDE, channels), name="tokens_map")(x)


def _at_stride(x: Any, stride: int, side: int) -> Any:
    """A map at stride 16: a finer one's squares as channels, a coarser one's values repeated."""
    name = f"s{stride}"
    if stride >= STRIDE:
        return layers.UpSampling2D(stride // STRIDE, name=f"{name}_repeat")(x)
    part = STRIDE // stride
    x = layers.Reshape((side, part, side, part, x.shape[-1]), name=f"{name}_squares")(x)
    x = layers.Permute((1, 3, 2, 4, 5), name=f"{name}_tokens")(x)
    return layers.Reshape((side, side, part * part * x.shape[-1]), name=f"{name}_channels")(x)


def _block(x: Any, width: int, heads: int, dropout: float, name: str) -> Any:
    """Attention, then two dense layers, each added to its normalised input's source."""
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"{name}_attention")(
        y, y
    )
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = layers.Dense(2 * width, "relu", name=f"{name}_dense1")(y)
    y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = layers.Dense(width, name=f"{name}_dense2")(y)
    return layers.Add(name=f"{name}_add2")([x, y])
