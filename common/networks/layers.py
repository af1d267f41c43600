"""Fusion, convolutions and upsampling: plain functions over built-in layers."""

from keras import layers


def fuse(features, embedding, name="fusion"):
    """Put the embedding behind the features at every place (Baldassarre et al. 2017, fig. 1).

    (N, H, W, C) and (N, E) -> (N, H, W, C + E), by RepeatVector, Reshape and Concatenate.
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


def convolutions(x, table, prefix, *, layer=layers.Conv2D, momentum=None):
    """3 x 3 convolutions, ReLU and upsampling, one row of the table after the other.

    A row is the number of filters, (filters, stride), or "up" for nearest upsampling by two.
    layer: Conv2D or Conv2DTranspose. momentum: of batch normalisation between each convolution
    and its ReLU; None for none. Layers are named `<prefix>_conv1`, ... and `<prefix>_up1`, ...
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


def normalised(x, momentum, name):
    """Batch normalisation (none where momentum is None), then ReLU."""
    if momentum is not None:
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def padded_convolution(x, filters, kernel_size, stride=1, dilation=1, *, name, **options):
    """A convolution with as much padding before as behind, as PyTorch pads.

    Keras's own `same` puts what a stride of two leaves over behind alone, so that weights trained
    with the one see pictures moved by a pixel with the other. The padding is a layer named
    `<name>_pad` where the two differ.
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
