"""An exported .h5 as a .tflite for LiteRT (TensorFlow Lite), with the metadata inside.

The file takes one picture at a time, has one signature with the names of `outputs`, and one entry
of metadata, `colorization`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import files
from common.cli import UserError
from common.exports import conversion
from common.networks.metadata import ATTRIBUTE

Batches = Callable[[], Iterable[Mapping[str, np.ndarray]]]


def write(
    network: keras.Model,
    target: str | Path,
    metadata: Mapping[str, Any],
    numbers: str = "float32",
    batches: Batches | None = None,
) -> None:
    """Write a network of `outputs` as a .tflite, whole or not at all.

    numbers: float32; float16, the weights alone; int8, weights and maps, whose ranges are those of
    the inputs by name that `batches` yields. `UserError` as of `conversion.convert`.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("A .tflite is written by Keras on TensorFlow: KERAS_BACKEND=tensorflow.")
    import tensorflow as tf

    options: dict[str, Any] = {}
    if numbers != "float32":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if numbers == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if batches:
        options["representative_dataset"] = batches
    with files.replacing(target) as temporary:
        conversion.convert(network, temporary, "litert", pictures=1, **options)
        _describe(temporary, json.dumps(metadata))


def metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a .tflite; {} for one without."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    for entry in model.metadata or []:
        if entry.name == ATTRIBUTE.encode():
            return json.loads(bytes(model.buffers[entry.buffer].data))
    return {}


def computed(path: str | Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """A .tflite as a function of one picture: inputs by name -> outputs by name."""
    import tensorflow as tf

    with conversion.quiet():  # a warning that this interpreter moves to a package of its own
        run = tf.lite.Interpreter(str(path)).get_signature_runner()
    return lambda inputs: run(**inputs)


def _describe(path, text):
    """Put the metadata into a .tflite."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    entry.name, entry.buffer = ATTRIBUTE.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    flatbuffer_utils.write_model(model, str(path))
