"""Keras with its backend, imported quietly and set as the library needs it."""

import contextlib
import importlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from common.cli import UserError, first_line, silence


def imported(module: str) -> ModuleType:
    """A command's module, imported after `start`."""
    start()
    return importlib.import_module(module)


def start() -> None:
    """Import Keras and its backend, without TensorFlow's greetings; `UserError` if that fails.

    TensorFlow writes lines about oneDNN and CUDA while it is imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence(), _passed_over(_unneeded()):
        try:
            importlib.import_module("keras")
        except Exception as error:  # whatever a backend or keras.json makes Keras raise
            raise UserError(f"Keras does not start ({first_line(error)}). {_way_out()}") from error
    importlib.import_module("common.networks.precision").set_defaults()
    # TensorFlow warns of new picture sizes, which are intended here and cost little.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _way_out():
    """What to do where the backend does not start, by what names it."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return (
            f"KERAS_BACKEND={backend} is set in the environment: install that backend, or set "
            "KERAS_BACKEND=tensorflow or jax."
        )
    return (
        f"Its backend and its settings are in {_settings_file()}, which may be of another project: "
        "correct it, or set KERAS_BACKEND=tensorflow."
    )


def _settings_file():
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"


def _unneeded():
    """What Keras and TensorFlow import for conversions and plots alone, a third of their time."""
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        try:
            backend = json.loads(_settings_file().read_text(encoding="utf-8"))["backend"]
        except (OSError, ValueError, KeyError, TypeError):
            backend = "tensorflow"
    return ("matplotlib", "scipy", "jax") if backend == "tensorflow" else ("matplotlib",)


@contextlib.contextmanager
def _passed_over(modules: Iterable[str]) -> Iterator[None]:
    """Let modules that are not yet imported seem to be missing; afterwards they are there."""
    absent = [name for name in modules if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # as Python's import system has it
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def accelerated() -> bool:
    """Whether Keras computes on a GPU, or on another device than the processor."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return False
