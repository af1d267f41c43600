"""Fusion and upsampling blocks: plain functions over built-in layers."""

from keras import layers


def fuse(features, embedding, name="fusion"):
    """Put the embedding behind the features at every place (Baldassarre et al. 2017, fig. 1).

    (N, H, W, C) and (N, E) -> (N, H, W, C + E), by RepeatVector, Reshape and Concatenate.
    """
    _, height, width, _ = features.shape
    if height is None or width is None:
        raise ValueError(
            "fuse() needs a fixed height and width, because RepeatVector takes an int. "
            f"Received: features.shape={features.shape}. Set config.image_size.")
    x = layers.RepeatVector(height * width, name=f"{name}_repeat")(embedding)
    x = layers.Reshape((height, width, embedding.shape[-1]), name=f"{name}_reshape")(x)
    return layers.Concatenate(name=f"{name}_concatenate")([features, x])


def convolutions(x, table, prefix, activation="relu"):
    """3 x 3 convolutions and upsampling, one row of the table after the other.

    A row is the number of filters, (filters, stride), or "up" for nearest upsampling by two.
    Layers are named `<prefix>_conv1`, ... and `<prefix>_up1`, ...
    """
    convolution = upsampling = 0
    for row in table:
        if row == "up":
            upsampling += 1
            x = layers.UpSampling2D(2, name=f"{prefix}_up{upsampling}")(x)
        else:
            convolution += 1
            filters, stride = row if isinstance(row, tuple) else (row, 1)
            x = layers.Conv2D(filters, 3, stride, "same", activation=activation,
                              name=f"{prefix}_conv{convolution}")(x)
    return x
