"""A network in two parts: the maps that its frozen layers give, and the rest, which trains."""

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from common.cli import UserError
from common.color import lab
from common.config import Config
from common.networks import pretrained
from common.networks.precision import choose_jit, rebuilt

BATCH = 16  # one size, so that a picture's maps have the same bits at any position


def frozen_among(network: keras.Model, names: Collection[str]) -> list[str]:
    """Those of the layers `names` that are in a network and have weights, none of which trains."""
    return [
        layer.name
        for layer in network.layers
        if layer.name in names and layer.weights and not layer.trainable_variables
    ]


def cut(network: keras.Model, names: Collection[str]) -> tuple[keras.Model, keras.Model]:
    """(frozen, rest) of a functional network, cut behind the layers `names`.

    frozen: {"l"} -> {"<layer>_<output>": map}; the layers must depend on no other input. rest: the
    network's inputs and these maps, by name -> the network's output; inputs that it does not use
    are ignored. Both consist of the network's own layers: what trains the rest trains the network.
    """
    maps: dict[str, Any] = {}

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if layer.name in names:
            named = outputs
            if not isinstance(outputs, dict):
                inner = layer.output_names if isinstance(layer, keras.Model) else ["output"]
                named = dict(zip(inner, keras.tree.flatten(outputs), strict=True))
            maps.update({f"{layer.name}_{name}": tensor for name, tensor in named.items()})
        return outputs

    def same(layer):
        return layer

    whole = keras.models.clone_model(network, clone_function=same, call_function=call)
    # A model that begins at tensors inside another names its inputs itself. Those of the rest are
    # named here, and its layers applied to them.
    tensors = {**whole.input, **maps}
    behind = keras.Model(list(tensors.values()), whole.output)
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in tensors.items()
    }
    for tensor in inputs.values():  # Keras 3.10 refuses an input to which nothing is applied
        keras.layers.Identity()(tensor)
    rest = keras.models.clone_model(
        behind, input_tensors=list(inputs.values()), clone_function=same
    )
    return (
        keras.Model({"l": whole.input["l"]}, maps, name=f"{network.name}_frozen"),
        keras.Model(inputs, rest.output, name=network.name),
    )


class Frozen:
    """The frozen part of a network as a function of L*, in float32.

    `frozen(l)`: (N, S, S, 1) float32 L* in [0, 100] -> (N, `size`) float16, the maps of each
    picture one after the other; `unpack` takes them apart. `shapes`: {name: (height, width,
    channels)}. `metadata`: the layers, what `sources` says of their weights, the shapes, and
    `sha256`, over the weights, the layers' settings and whatever else the maps depend on.
    """

    def __init__(
        self, model: keras.Model, config: Config, sources: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._config, self._sources = config, sources
        self._model = choose_jit(rebuilt(model, "float32"))
        self.shapes = {
            name: tuple(map(int, tensor.shape[1:])) for name, tensor in self._model.output.items()
        }
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        depends = {
            "shapes": self.shapes,
            "l": [config.l_scale, config.l_offset],
            "layers": list(_settings(self._model)),
            "weights": pretrained.weights_sha256(self._model),
        }
        self.sha256 = hashlib.sha256(json.dumps(depends, default=str).encode()).hexdigest()
        self.title = ", ".join(sources)
        self.metadata = {
            "networks": dict(sources),
            "shapes": self.shapes,
            "sha256": self.sha256,
            "precision": "float32",
        }

    def __reduce__(self):
        return type(self), (self._model, self._config, self._sources)

    def __call__(self, l: np.ndarray) -> np.ndarray:
        rows = np.empty((len(l), self.size), np.float16)
        for start in range(0, len(l), BATCH):
            part = lab.scale_l(l[start : start + BATCH], self._config)
            count = len(part)
            part = np.concatenate([part, np.repeat(part[-1:], BATCH - count, 0)])
            maps = self._model.predict_on_batch({"l": part})
            flat = [keras.ops.convert_to_numpy(maps[name]).reshape(BATCH, -1) for name in maps]
            with np.errstate(over="ignore"):  # what is too large becomes infinite, see below
                rows[start : start + count] = np.concatenate(flat, 1)[:count]
        if not np.isfinite(rows).all():
            raise UserError(
                f"The maps of {self.title} exceed what float16 holds. MAPS=no computes them as "
                "the training goes."
            )
        return rows

    def unpack(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """(N, `size`) -> {name: (N, height, width, channels)}."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])
        parts = np.split(rows, ends[:-1], axis=1)
        return {
            name: part.reshape(-1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def _settings(model: keras.Model) -> Iterator[tuple[str, dict[str, Any]]]:
    """(class, settings) of each layer, nested ones included, without names, which Keras numbers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _settings(layer)
        else:
            settings = layer.get_config()
            plain = {key: x for key, x in settings.items() if not isinstance(x, dict)}
            yield type(layer).__name__, plain | {"name": None}
