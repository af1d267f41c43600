"""What a file for another runtime returns, as a Keras network that is then converted.

ab       (N, H, W, 2) float32 in Lab units, as the .h5 gives it
small    ab before the last layer, where that enlarges it: (N, h, w, 2)
logits   of the 313 bins, (N, h, w, 313), where ab is decoded from them: by these the dial from
         faithful to vivid is turned outside (`common.color.bins.shares_of`)
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from common.exports import resampling
from common.networks import h5
from common.networks.embeddings import Embedder


def of_colorizer(model: keras.Model) -> keras.Model:
    """An exported colorizer, whose output is a dict of the arrays above."""
    if any(isinstance(layer, layers.Resizing) for layer in model.layers):
        model = keras.models.clone_model(model, clone_function=_convertible)
    (ab,) = keras.tree.flatten(model.output)
    outputs = {"ab": ab}
    (small,) = keras.tree.flatten(h5.without_upsampling(model).output)
    if small is not ab:
        outputs["small"] = small
    if h5.is_decoded(model):
        outputs["logits"] = model.get_layer("ab_temperature").input
    inputs = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model(inputs, outputs, name=model.name)


def of_embedder(embedder: Embedder) -> keras.Model:
    """An embedding network: `grey` (N, S, S, 1) in [0, 255], S its own size -> `embedding`."""
    grey = keras.Input((embedder.size, embedder.size, 1), name="grey", dtype="float32")
    return keras.Model({"grey": grey}, {"embedding": embedder.logits(grey)}, name=embedder.network)


def signature(model: keras.Model, pictures: int | None) -> list[dict[str, keras.InputSpec]]:
    """The inputs as Keras's `export` takes them; pictures: at a time, None for any number."""
    return [
        {
            tensor.name: keras.InputSpec(
                shape=(pictures, *tensor.shape[1:]), dtype="float32", name=tensor.name
            )
            for tensor in model.inputs
        }
    ]


class _Resampling(layers.Layer):
    """`Resizing` of a picture of fixed size, by matrices."""

    def __init__(self, size: tuple[int, int], to: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        self._rows, self._columns = (
            resampling.weights(before, after) for before, after in zip(size, to, strict=True)
        )

    def call(self, x: Any) -> Any:
        x = ops.matmul(self._rows, x[..., 0])
        return ops.matmul(x, np.ascontiguousarray(self._columns.T))[..., None]


def _convertible(layer):
    """A layer in a form that every runtime has: those that resize L* become matrices."""
    if not isinstance(layer, layers.Resizing) or None in layer.input.shape[1:3]:
        return layer
    to = (layer.height, layer.width)
    return _Resampling(layer.input.shape[1:3], to, name=layer.name, dtype="float32")
