"""What runs in a worker of Ray: a stage, loaded once, for pieces of the items.

Nothing else of the library is imported before the worker has the settings of the process that it
works for.
"""

import contextlib
import functools
import importlib.metadata
import os
import pickle
import platform
import sys
import traceback
from pathlib import Path
from typing import Any

from common import files
from common.cli import UserError

# The environment that results depend on, beside variables of weights.
_PREFIXES = ("KERAS_", "TF_", "XLA_", "ONEDNN_", "JAX_")
_NAMES = ("PRECISION", "RUNTIME")
_SUFFIX = "_WEIGHTS"
# What decodes and computes: with another version results are not the same bytes.
_PACKAGES = ("numpy", "opencv-python", "opencv-python-headless", "pillow", "imagecodecs")
_NETWORKS = ("keras", "tensorflow", "jax", "onnxruntime")


def surroundings() -> dict[str, Any]:
    """What a worker takes over from the process that it works for."""
    return {
        "folder": os.getcwd(),
        "path": [os.path.abspath(each) for each in sys.path],
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_PREFIXES) or name in _NAMES or name.endswith(_SUFFIX)
        },
        "versions": _versions(),
    }


@functools.cache
def _versions():
    versions = {"Python": platform.python_version()}
    for name in (*_PACKAGES, *_NETWORKS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    home = Path(__file__).parents[1]
    digests = [files.sha256(path) for path in sorted(home.rglob("*.py"))]
    return versions | {"this library": files.sha256("".join(digests).encode())[:12]}


class Worker:
    """A stage in a process of its own: `worker({"piece": pickle})` -> {"answer": pickle}.

    Of pickles: given of (surroundings, cores), start and load of those of the stage. An answer is
    ("results", list), ("error", an exception that is the user's to resolve) or ("defect",
    traceback).
    """

    def __init__(self, given: bytes, start: bytes, load: bytes) -> None:
        (self._given, self._cores), self._start, self._load = pickle.loads(given), start, load
        self._stage: Any = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        answer: tuple[str, Any]
        try:
            if self._stage is None:
                _take_over(self._given)
                if start := pickle.loads(self._start):
                    start()
                self._stage = pickle.loads(self._load)(self._cores)
            answer = "results", list(self._stage(pickle.loads(row["piece"])))
        except (UserError, OSError) as error:
            answer = "error", error
        except Exception:
            answer = "defect", traceback.format_exc()
        return {"answer": pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)}


def _take_over(given):
    """Work in the same folder, with the same settings and versions; `UserError` if that fails."""
    host = platform.node()
    try:
        os.chdir(given["folder"])
    except OSError:
        raise UserError(
            f"The machine {host} of the Ray cluster has no folder {given['folder']}. All of its "
            "machines must have the same folders under the same paths: a network file system."
        ) from None
    sys.path += [each for each in given["path"] if each not in sys.path]
    os.environ.update(given["environment"])
    ours = _versions()
    for name, version in given["versions"].items():
        if ours.get(name) != version:
            raise UserError(
                f"The machine {host} of the Ray cluster has {name} {ours.get(name, 'not at all')}, "
                f"this one {version}: their results would differ. Install the same on both."
            )
