"""An exported .h5 as an .onnx: written by Keras's own export, with the metadata inside.

The file has the arrays of `outputs` as its outputs, and one text of metadata, `colorization`: that
of the .h5, with `export`: the format, the SHA-256 of the .h5 and how its numbers are stored.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from common import files
from common.cli import UserError, first_line
from common.exports import extras, onnx_checks, outputs
from common.networks import backend
from common.networks.embeddings import Embedder
from common.networks.metadata import ATTRIBUTE

KERAS = "3.8"  # the first that exports to ONNX


def write(network: keras.Model, target: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a network of `outputs` as an .onnx of float32, whole or not at all.

    `UserError` where a package is missing, on a backend that cannot be converted, and for a network
    with an operator that ONNX lacks.
    """
    onnx = extras.module("onnx")
    with files.replacing(target) as temporary:
        _convert(network, temporary)
        model = onnx.load(temporary, load_external_data=False)
        onnx.helper.set_model_props(model, {ATTRIBUTE: json.dumps(metadata)})
        onnx_checks.check_graph(model, target)
        onnx.save(model, temporary)


def write_embedder(embedder: Embedder, target: str | Path) -> None:
    """Write an embedding network: grey values at its own size -> logits; its metadata inside."""
    write(outputs.of_embedder(embedder), target, {"embedding": embedder.metadata})


def _convert(network, target):
    """Keras's export, silently; its errors in one line."""
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"An .onnx is written by Keras on TensorFlow, and this is Keras on "
            f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow."
        )
    extras.module("tf2onnx")
    try:
        with _quiet():
            network.export(
                str(target),
                format="onnx",
                verbose=False,
                input_signature=outputs.signature(network),
            )
    except (ValueError, TypeError) as error:
        if "format" in str(error):  # Keras before 3.8
            raise UserError(
                f"FORMAT=onnx needs Keras {KERAS} or newer; this is {keras.__version__}. "
                "`pip install --upgrade keras`."
            ) from None
        raise UserError(f"The model cannot be written as ONNX ({first_line(error)}).") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's lines about its progress, and NumPy's about its age."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            backend.quiet(),
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        logger.setLevel(level)
