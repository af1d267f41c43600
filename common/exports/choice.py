"""Which runtime colours: RUNTIME=, and the .onnx that is written once for an .h5.

Keras takes seconds to start, ONNX Runtime does not. `auto` takes ONNX Runtime where it is
installed, for networks in float32 on the processor. Its .onnx lies in a folder `.onnx` beside the
.h5, or for a shipped model in `models/`, and is named by the SHA-256 of the .h5: a model trained
anew has another.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from common import cli, files
from common.cli import UserError
from common.exports import extras
from common.networks import backend, model_names

RUNTIMES = ("auto", "keras", "onnx")
VARIABLE = "RUNTIME"
NVIDIA = Path("/proc/driver/nvidia/version")  # exists where there is a GPU that TensorFlow may use


@dataclasses.dataclass(frozen=True)
class Choice:
    """The file that colours, an .h5 by Keras or an .onnx; why, where the reason is worth a line."""

    path: Path
    note: str = ""


def choose(
    path: Path,
    runtime: str | None = None,
    precision: str = "float32",
    weights: str | Path | None = None,
) -> Choice:
    """The file that colours for a model's file. weights: as a `Colorizer` takes them.

    runtime: one of `RUNTIMES`, or None, which is RUNTIME in the environment or else auto. `auto` is
    ONNX Runtime where it is installed and its .onnx is there or can be written, else Keras.
    `UserError` where what is asked for cannot be had.
    """
    if path.suffix.lower() == ".onnx":
        if runtime == "keras":
            raise UserError(f"{path} is computed by ONNX Runtime: RUNTIME=keras needs the .h5.")
        return Choice(path)
    if runtime is None:
        runtime = os.environ.get(VARIABLE) or "auto"
        if runtime not in RUNTIMES:
            raise UserError(
                f"{VARIABLE} in the environment must be one of {', '.join(RUNTIMES)}. "
                f"Received: {runtime}."
            )
    if runtime == "keras":
        return Choice(path)
    if runtime == "onnx":
        if precision == "mixed_bfloat16":
            raise UserError("RUNTIME=onnx computes in float32: leave PRECISION= out.")
        extras.module("onnx"), extras.module("onnxruntime")
        return Choice(_written(path, weights))
    other_backend = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    if precision != "float32" or other_backend or NVIDIA.exists():
        return Choice(path)
    if not extras.has("onnx", "onnxruntime"):
        return Choice(path)
    target = _place(path)
    if target.is_file():
        return Choice(target)
    if not target.parent.parent.is_dir() or not extras.has("tf2onnx"):
        return Choice(path)
    failed = target.with_suffix(".txt")  # why it could not be written: not tried every time
    if failed.is_file():
        return Choice(path, failed.read_text(encoding="utf-8"))
    try:
        return Choice(_written(path, weights))
    except UserError as error:
        with contextlib.suppress(OSError):
            files.write_text(failed, str(error))
        return Choice(path, str(error))
    except OSError as error:
        return Choice(path, f"its .onnx cannot be written: {cli.reason(error)}")


def _place(path: Path) -> Path:
    """Where the .onnx of an .h5 lies."""
    home = path.parent
    if home.resolve() == model_names.shipped().resolve():
        home = Path("models")
    return home / ".onnx" / f"{path.stem}-{files.sha256(path)[:12]}.onnx"


def _written(path: Path, weights: str | Path | None) -> Path:
    """The .onnx of an .h5, written if it is not there; of several processes one writes it."""
    target = _place(path)
    if target.is_file():
        return target
    with _alone(target.parent):
        if not target.is_file():
            print(
                f"writing {target}, once: later starts need no Keras (RUNTIME=keras: no file)",
                file=sys.stderr,
                flush=True,
            )
            backend.start()
            from common.exports import export

            export.to_onnx(export.Source.of(path, weights), target)
            for old in target.parent.glob(f"{path.stem}-{'[0-9a-f]' * 12}.*"):
                if old.stem != target.stem:  # of the model that had this name before
                    old.unlink(missing_ok=True)
    return target


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, where the file system has locks; the folder is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(files.locked(folder, wait=True))
        yield
