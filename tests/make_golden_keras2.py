"""Make tests/golden-keras2.h5: a plain colorizer as Keras 2 saves it, with what it answers.

It needs an environment of its own, since tf_keras, Keras 2 under another name, wants a TensorFlow
of its version: `pip install tensorflow==2.18.0 tf_keras==2.18.0`, then, in the project's folder,
`python tests/make_golden_keras2.py`.
"""

import json
from pathlib import Path

import h5py
import numpy as np

GOLDEN = Path(__file__).parent / "golden-keras2.h5"
SIZE = 16


def network(keras):
    """A network of the layers that Keras 2 writes otherwise than Keras 3, of tf_keras."""
    layers = keras.layers
    picture = layers.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(
        4,
        3,
        2,
        "same",
        activation="relu",
        kernel_regularizer=keras.regularizers.l2(1e-4),
        kernel_constraint=keras.constraints.MaxNorm(3),
    )(picture)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", activation="swish")(x)
    x = layers.LayerNormalization()(x)
    short = layers.LeakyReLU(0.2)(x)
    x = layers.PReLU(shared_axes=[1, 2])(short)
    x = layers.Add()([x, short])
    x = layers.Conv2DTranspose(4, 3, 2, "same")(x)
    x = layers.UpSampling2D(interpolation="bilinear")(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.1)(layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x)))
    return keras.Model(picture, layers.Conv2D(2, 3, padding="same", activation="tanh")(x))


if __name__ == "__main__":
    import tf_keras as keras  # which the project's environment lacks
    from tf_keras import layers

    keras.utils.set_random_seed(0)
    lightness = layers.Input((SIZE, SIZE, 1), name="l")
    ab = layers.Rescaling(110.0)(network(keras)(layers.Rescaling(1 / 100)(lightness)))
    model = keras.Model({"l": lightness}, ab)
    model.compile("adam", "mse")
    model.save(GOLDEN)
    l = np.linspace(0, 100, SIZE**2, dtype=np.float32).reshape(1, SIZE, SIZE, 1)
    with h5py.File(GOLDEN, "r+") as file:
        file.attrs["expected"] = json.dumps(model.predict({"l": l})[0, ::5, ::5].tolist())
