"""The network of Zhang, Isola, Efros 2016, "Colorful image colorization", as they released it."""

from typing import Any

from keras import layers

from common.color import bins
from common.networks.layers import padded_convolution
from feup.config import Config

EPSILON = 1e-5  # of batch normalisation, PyTorch's
AB = 110.0  # the authors divide ab by it


def outputs(l: Any, config: Config) -> Any:
    """L* (N, S, S, 1) in the network's scaling -> ab (N, S, S, 2) in Lab units, P9 to P11.

    With `config.classify` -> logits of the 313 bins, (N, S/4, S/4, 313).
    """
    x = l
    for i, (count, filters, stride, dilation) in enumerate(config.blocks, start=1):
        for j in range(1, count + 1):
            x = padded_convolution(
                x,
                filters,
                3,
                stride if j == count else 1,
                dilation,
                activation="relu",
                name=f"conv{i}_{j}",
            )
        x = layers.BatchNormalization(
            momentum=config.momentum, epsilon=EPSILON, name=f"conv{i}_norm"
        )(x)
    # S/8 x S/8 x 512
    x = layers.Conv2DTranspose(config.upsampled, 4, 2, "same", activation="relu", name="conv8_1")(x)
    for j in (2, 3):
        x = padded_convolution(x, config.upsampled, 3, activation="relu", name=f"conv8_{j}")
    x = layers.Conv2D(len(bins.CENTRES), 1, name="conv8_313")(x)  # S/4 x S/4 x 313
    if config.classify:
        return x
    x = layers.Softmax(name="class8_313_rh")(x)
    x = layers.Conv2D(2, 1, use_bias=False, name="class8_ab")(x)
    # P11: a step of 1e-3 on the weights above then moves ab by 0.1 Lab units, not by 0.001.
    x = layers.Rescaling(AB, name="ab_unit")(x)
    return layers.UpSampling2D(4, interpolation="bilinear", name="ab_up")(x)
