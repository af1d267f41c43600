"""Optional packages, or the one line that says how to get them."""

import importlib
import importlib.util
import os
from typing import Any

from common.cli import UserError

TITLES = {"onnx": "onnx", "onnxruntime": "ONNX Runtime", "tf2onnx": "tf2onnx"}
GET = "`make setup` in a clone, else `pip install 'colorization[onnx]'`"


def module(name: str) -> Any:
    """An optional package; `UserError` says how to install it.

    ONNX Runtime's official builds report their use to its maker, unless told not to before they
    are imported.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"This needs {TITLES[name]}, which is not installed: {GET}.") from None


def has(*names: str) -> bool:
    """Whether optional packages are installed; nothing is imported."""
    return all(importlib.util.find_spec(name) for name in names)
