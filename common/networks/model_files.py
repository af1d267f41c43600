"""Opening an HDF5 file, or saying what the file is instead and what to do with it."""

import functools
import re
import zipfile
from pathlib import Path

import h5py

from common import seals
from common.cli import UserError, first_line
from common.networks import heaps

SAVE = "A model here is the .h5 file of Keras's `model.save('name.h5')`."
HEAD = 512  # bytes that tell a format
KINDS = (  # (what the file begins with, what it is, the way out)
    (rb"\Z", "empty", "Copy or download it again."),
    (
        rb"version https://git-lfs\.github\.com/",
        "a Git LFS pointer, not the model itself",
        "Fetch the model: `git lfs pull`.",
    ),
    (rb"\s*<(!doctype|html|\?xml)", "a web page", "Download the file itself."),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf", "compressed", "Unpack it."),
    (rb"\x80[\x02-\x05]", "a file of PyTorch or another Python pickle", SAVE),
    (rb".{4}TFL3", "a TensorFlow Lite model", SAVE),
    (rb".{8}\{\"", "weights in safetensors format, without a network", SAVE),
    (rb"\x08[\x01-\x20][\x12\x3a]", "an ONNX model", SAVE),
    (rb"\s*[{\[]", "JSON text, perhaps of a network without its weights", SAVE),
)
SUFFIXES = {
    ".onnx": "an ONNX model",
    ".pb": "a TensorFlow graph",
    ".pt": "a file of PyTorch",
    ".pth": "a file of PyTorch",
    ".safetensors": "weights in safetensors format, without a network",
    ".tflite": "a TensorFlow Lite model",
}


def opened(path: str | Path) -> h5py.File:
    """An HDF5 file, to read, which is as it was written where it is sealed (`common.seals`).

    `UserError` says why it cannot be opened; `PermissionError` passes.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is {kind_of_folder(path) or 'a folder'}. {SAVE}")
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise UserError(f"There is no model {path}. Train one: `make train-koala`.") from None
    except PermissionError:
        raise
    except OSError as error:
        raise UserError(f"{path} {_reason(path, error)}") from None
    stat = path.stat()
    try:
        _check(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except (seals.BrokenSealError, heaps.BrokenHeapError):
        file.close()
        raise UserError(
            f"{path} is damaged: it is not what was exported. Copy or export it again."
        ) from None
    return file


@functools.lru_cache  # a model's metadata are read more than once
def _check(path, *_version):
    seals.check(path)
    heaps.check(path)


def kind_of_folder(path: Path) -> str | None:
    """What a folder is that TensorFlow or Keras wrote a model to; None for any other."""
    if (path / "saved_model.pb").exists():
        return "a SavedModel folder of TensorFlow, which Keras 3 does not load as a network"
    if (path / "config.json").exists() and (path / "metadata.json").exists():
        return "an unpacked .keras file"
    return None


def without_network(file: h5py.File) -> str:
    """What an HDF5 file without a model's configuration is, and the way out."""
    weights = {"layers", "_layer_checkpoint_dependencies", "top_level_model_weights"}
    if "layer_names" in file.attrs or weights & set(file) or "model_weights" in file:
        return f"holds weights without their network. {SAVE} `save_weights` leaves the network out."
    return f"is an HDF5 file of another kind: it holds no Keras model. {SAVE}"


def _reason(path, error):
    words = str(error)
    if "unable to lock" in words:
        return (
            "is locked: another process has it open for writing. Wait until that has finished, or, "
            "on a file system without locks, set HDF5_USE_FILE_LOCKING=FALSE."
        )
    if h5py.is_hdf5(path):
        if "truncated" in words:
            return "is incomplete: its end is missing. Copy or download it again."
        return f"is damaged ({first_line(error)}). Copy or export it again."
    if zipfile.is_zipfile(path):
        return _archive(path)
    with open(path, "rb") as file:
        head = file.read(HEAD)
    for begin, kind, way_out in KINDS:
        if re.match(begin, head, re.IGNORECASE | re.DOTALL):
            return f"is {kind}. {way_out}"
    if path.suffix.lower() in SUFFIXES:
        return f"is {SUFFIXES[path.suffix.lower()]}. {SAVE}"
    return f"is no HDF5 file or is damaged. {SAVE}"


def _archive(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "config.json" in names:
        return (
            "is in Keras's .keras format. If you trust its source, convert it: "
            f"keras.models.load_model('x.keras').save('{path.stem}.h5')."
        )
    if any(name.endswith("data.pkl") for name in names):
        return f"is a file of PyTorch. {SAVE}"
    return "is a ZIP archive. Unpack it."
