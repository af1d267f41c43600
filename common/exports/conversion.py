"""Keras's own export to other formats, silent, and its errors in one line."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from common.cli import UserError, first_line, silence
from common.exports import extras, outputs

KERAS = {"onnx": "3.8", "litert": "3.13"}  # the first versions that export so


def convert(
    network: keras.Model, target: Path, form: str, pictures: int | None = None, **options: Any
) -> None:
    """Write a network of `outputs` in a form of `KERAS`; pictures: at a time, None for any number.

    `UserError` where a package is missing, for a version or a backend of Keras that cannot, and
    for a network that cannot be converted.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Keras exports on TensorFlow, and this is Keras on {keras.backend.backend()}: set "
            "KERAS_BACKEND=tensorflow."
        )
    if form == "onnx":
        extras.module("tf2onnx")
    try:
        with quiet():
            network.export(
                str(target),
                format=form,
                verbose=False,
                input_signature=outputs.signature(network, pictures),
                **options,
            )
    except UserError:
        raise
    except Exception as error:  # whatever converters raise of a network
        if "format" in str(error) and form in str(error):
            raise UserError(
                f"This format needs Keras {KERAS[form]} or newer, and this is {keras.__version__}: "
                "`pip install --upgrade keras`."
            ) from None
        raise UserError(f"The model cannot be converted ({first_line(error)}).") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without converters' lines about their progress, and NumPy's about their age."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            silence(),
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
