"""Keras with its backend, imported quietly and set as the library needs it."""

import importlib
import logging
import os
import tempfile
from pathlib import Path
from types import ModuleType

from common.cli import UserError, first_line


def imported(module: str) -> ModuleType:
    """A command's module, imported after `start`."""
    start()
    return importlib.import_module(module)


def start() -> None:
    """Import Keras and its backend, without TensorFlow's greetings; `UserError` if that fails.

    TensorFlow writes lines about oneDNN and CUDA to standard error while it is imported, whatever
    its settings, which is therefore redirected meanwhile.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            importlib.import_module("keras")
        except Exception as error:  # whatever a backend or keras.json makes Keras raise
            folder = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
            raise UserError(
                f"Keras does not start ({first_line(error)}). Its backend and its settings are in "
                f"{folder / 'keras.json'}, which may be of another project: correct it, or set "
                "KERAS_BACKEND=tensorflow."
            ) from error
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    importlib.import_module("common.networks.precision").set_defaults()
    # TensorFlow warns of new picture sizes, which are intended here and cost little.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
