"""The versions and the commit that a model or a figure was made with."""

import platform
import subprocess
from pathlib import Path

import keras
import numpy as np


def versions() -> dict[str, str]:
    """{name: version} of Python, Keras, its backend and NumPy."""
    backend = keras.backend.backend()
    module = __import__(backend)
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: module.__version__,
        "numpy": np.__version__,
    }


def commit() -> str | None:
    """The commit of this code, 12 hex digits, with `+` if files have changed since.

    None without Git, and where this file is not in a repository, as when pip installed it.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # may lie in another's repository
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
