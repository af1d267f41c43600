"""The inputs and the output of every colorizer: L* by name; ab, or logits of the bins of ab."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from common.color import bins


def views(network: keras.Model) -> dict[str, tuple[int, int]]:
    """{name: (height, width)} of the inputs beside `l` that take L* at a size of their own."""
    return {
        name: tensor.shape[1:3]
        for name, tensor in network.input.items()
        if name != "l" and len(tensor.shape) == 4
    }


def classifies(network: keras.Model) -> bool:
    """Whether the network's ab output holds logits of the 313 bins of `common.color.bins`."""
    return ab_of(network.output).shape[-1] == len(bins.CENTRES)


def ab_of(outputs: Any) -> Any:
    """The ab among a network's outputs: the entry `ab` of a dict, or the only output."""
    return outputs["ab"] if isinstance(outputs, dict) else outputs


def predict(model: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Apply an exported model to a batch: arrays by input's name -> ab (N, H, W, 2) in Lab units.

    The result is float32. Arrays for inputs that the model does not have are ignored.
    """
    wanted = {name: inputs[name] for name in input_names(model)}
    ab = model.predict_on_batch(wanted)
    return keras.ops.convert_to_numpy(ab_of(ab))


def input_names(model: keras.Model) -> list[str]:
    """The names of a model's inputs, in the model's order."""
    return [tensor.name for tensor in model.inputs]
