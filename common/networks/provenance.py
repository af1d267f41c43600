"""What a figure or a model was made with: versions and commit."""

import platform
import subprocess
from pathlib import Path

import keras
import numpy as np


def versions():
    """The versions of Python, Keras, its backend and NumPy."""
    backend = keras.backend.backend()
    module = __import__(backend)
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: module.__version__,
        "numpy": np.__version__,
    }


def commit():
    """The commit of this code, with `+` if files were changed since; None outside Git."""

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
