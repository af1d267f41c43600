"""Fusion, convolutions and upsampling: functions that apply Keras's built-in layers.

A tensor is Keras's symbolic one, typed `Any` because Keras publishes no types.
"""

from collections.abc import Callable, Iterable
from typing import Any

from keras import layers


def fuse(features: Any, embedding: Any, name: str = "fusion") -> Any:
    """Concatenate the embedding to the features at every position (Baldassarre 2017, fig. 1).

    (N, H, W, C) and (N, E) -> (N, H, W, C + E), by RepeatVector, Reshape and Concatenate, named
    `<name>_repeat`, `<name>_reshape`, `<name>_concatenate`. H and W must be fixed, else
    `ValueError`.
    """
    _, height, width, _ = features.shape
    if height is None or width is None:
        raise ValueError(
            "fuse() needs a fixed height and width, because RepeatVector takes an int. "
            f"Received: features.shape={features.shape}. Set config.image_size."
        )
    x = layers.RepeatVector(height * width, name=f"{name}_repeat")(embedding)
    x = layers.Reshape((height, width, embedding.shape[-1]), name=f"{name}_reshape")(x)
    return layers.Concatenate(name=f"{name}_concatenate")([features, x])


def convolutions(
    x: Any,
    table: Iterable[int | tuple[int, int] | str],
    prefix: str,
    *,
    layer: Callable[..., Any] = layers.Conv2D,
    momentum: float | None = None,
) -> Any:
    """3x3 convolutions, each with a ReLU, and upsampling, in the order of the table's rows.

    A row is the number of filters, (filters, stride), or "up" for nearest upsampling by two.
    layer: Conv2D or Conv2DTranspose. momentum: that of batch normalisation between a convolution
    and its ReLU; None for no normalisation. Layers are named `<prefix>_conv1`, ... and
    `<prefix>_up1`, ...
    """
    convolution = upsampling = 0
    for row in table:
        if row == "up":
            upsampling += 1
            x = layers.UpSampling2D(2, name=f"{prefix}_up{upsampling}")(x)
        else:
            convolution += 1
            filters, stride = row if isinstance(row, tuple) else (row, 1)
            name = f"{prefix}_conv{convolution}"
            if momentum is None:
                x = layer(filters, 3, stride, "same", activation="relu", name=name)(x)
            else:
                x = layer(filters, 3, stride, "same", name=name)(x)
                x = normalised(x, momentum, name)
    return x


def normalised(x: Any, momentum: float | None, name: str) -> Any:
    """Batch normalisation (`<name>_norm`; none where momentum is None), then ReLU."""
    if momentum is not None:
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def padded_convolution(
    x: Any,
    filters: int,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    *,
    name: str,
    **options: Any,
) -> Any:
    """A convolution with equal padding on all sides, as PyTorch pads.

    Keras's `same` with a stride of two puts an odd padding only at the bottom and the right, so
    that for weights trained with PyTorch pictures would be shifted by a pixel. Where the two differ
    the padding is a layer `<name>_pad`. options: further arguments of `Conv2D`.
    """
    if stride == 1:
        padding = "same"
    else:
        padding = "valid"
        if kernel_size > 1:
            x = layers.ZeroPadding2D(dilation * (kernel_size // 2), name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters, kernel_size, stride, padding, dilation_rate=dilation, name=name, **options
    )(x)
