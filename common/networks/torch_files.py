"""Tensors from a file of torch.save, without PyTorch and without running code from the file.

Such a file is a pickle and raw numbers: in a ZIP archive, or, before PyTorch 1.6, five pickles one
after another followed by the numbers. The functions that the pickles may call record what a tensor
consists of.
"""

import collections
import io
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import keras
import numpy as np

from common import files
from common.cli import UserError, first_line
from common.networks import pretrained, unpickling

TORCHVISION = "https://download.pytorch.org/models/"
MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older format
PROTOCOL = 1001  # the second one
LARGEST_PICKLE = 1 << 26  # bytes; that of ResNet-152 has 60,000

# NumPy has no bfloat16, whose bits are the upper half of a float32's.
KINDS = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Storage(NamedTuple):
    """A row of numbers in the file, which tensors are views of."""

    kind: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """The storage, offset, shape and strides of a tensor, in numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """{name: array} of the tensors in a state_dict, C-contiguous, bfloat16 as float32.

    The state_dict may also be the entry "state_dict" or "model" of a checkpoint. Raises `UserError`
    for a file that cannot be read, is damaged, is of another kind, or holds anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\3\4"
            file.seek(0)
            contents, numbers = (_from_zip if zipped else _from_pickles)(file)
            return {name: _array(tensor, numbers) for name, tensor in _tensors(contents).items()}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except unpickling.Refused as error:
        raise UserError(
            f"{path} holds {error}, which could run code of its own, and is refused. "
            "Save a state_dict: tensors by name."
        ) from None
    except unpickling.DAMAGED as error:
        raise UserError(
            f"{path} is no file of torch.save, or is damaged ({first_line(error)})."
        ) from None


def torchvision(name: str, title: str) -> dict[str, np.ndarray]:
    """`read` one of torchvision's weights files, from Keras's cache or downloaded into it.

    name: the file's, which ends in the first digits of its SHA-256; they are checked. title: the
    network's, for the line that announces a download. Raises `UserError`, or what Keras raises
    when the file cannot be downloaded.
    """
    return pretrained.fetch(lambda: _checked(name), title, name)


def _checked(name: str) -> dict[str, np.ndarray]:
    path = Path(keras.utils.get_file(name, TORCHVISION + name, cache_subdir="models"))
    check_name(path, name)
    return read(path)


def check_name(path: str | Path, name: str) -> None:
    """`UserError` unless a file's SHA-256 begins with the digits that end torchvision's name."""
    if not files.sha256(path).startswith(Path(name).stem.rpartition("-")[2]):
        raise UserError(
            f"the SHA-256 of {path} is not that in its name. Delete it, or name the right one."
        )


def _tensors(contents: Any) -> dict[str, _Tensor]:
    """The tensors by name of a state_dict, or of one in a checkpoint."""
    for key in ("state_dict", "model"):
        if isinstance(contents, dict) and isinstance(contents.get(key), dict):
            contents = contents[key]
    if not isinstance(contents, dict):
        raise ValueError("no tensors by name")
    tensors = {name: value for name, value in contents.items() if isinstance(value, _Tensor)}
    if not tensors:
        raise ValueError("no tensors by name")
    return tensors


def _from_zip(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """(contents, {key: bytes}) of a ZIP archive: data.pkl and data/<key> in one folder."""
    archive = zipfile.ZipFile(file)
    (pickled,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
    folder = pickled.removesuffix("data.pkl")
    if archive.getinfo(pickled).file_size > LARGEST_PICKLE:
        raise ValueError("its pickle is too large")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its numbers are big-endian")
    storages: dict[str, _Storage] = {}
    contents = _unpickle(io.BytesIO(archive.read(pickled)), storages)
    numbers = {}
    for key, storage in storages.items():
        member = archive.getinfo(f"{folder}data/{key}")
        if member.file_size < _bytes(storage):  # checked before it is unpacked
            raise ValueError(f"storage {key} is too short")
        numbers[key] = archive.read(member)
    return contents, numbers


def _from_pickles(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """(contents, {key: bytes}) of the older format: five pickles, then the numbers."""
    if _unpickle(file) != MAGIC or _unpickle(file) != PROTOCOL:
        raise ValueError("it does not begin as one")
    system = _unpickle(file)
    storages: dict[str, _Storage] = {}
    if not system["little_endian"]:
        raise ValueError("its numbers are big-endian")
    contents = _unpickle(file, storages)
    keys = _unpickle(file)
    if sorted(keys) != sorted(storages):
        raise ValueError("its storages are not those that its tensors name")
    start = file.tell()
    left = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if sum(map(_bytes, storages.values())) > left:  # checked before memory is allocated
        raise ValueError("it is too short")
    numbers = {}
    for key in keys:
        length = int.from_bytes(file.read(8), "little")
        if length != storages[key].length:
            raise ValueError(f"storage {key} is of another size")
        numbers[key] = file.read(_bytes(storages[key]))
    return contents, numbers


def _bytes(storage: _Storage) -> int:
    return storage.length * np.dtype(KINDS[storage.kind]).itemsize


def _array(tensor: _Tensor, numbers: Mapping[str, bytes]) -> np.ndarray:
    """A tensor as an array, after a check that all its numbers lie in its storage."""
    storage, offset, shape, strides = tensor
    sizes = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in sizes):
        raise ValueError("a tensor has no valid shape")
    dtype = np.dtype(KINDS[storage.kind])
    if 0 in shape:
        return np.zeros(shape, dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if last >= storage.length or math.prod(shape) > storage.length:
        raise ValueError("a tensor reaches beyond its storage")
    flat = np.frombuffer(numbers[storage.key], dtype.newbyteorder("<"), storage.length)
    view = np.lib.stride_tricks.as_strided(
        flat[offset:], shape, [stride * dtype.itemsize for stride in strides], writeable=False
    )
    array = np.array(view, dtype, order="C")
    if storage.kind == "BFloat16Storage":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _unpickle(file: BinaryIO, storages: dict[str, _Storage] | None = None) -> Any:
    """The next pickle of a file; the storages that its tensors refer to are put into `storages`."""

    # Defined anew for each pickle, since a pickle can modify the functions that it gets.
    def rebuild(
        storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without storage")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))

    known = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor"): rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        ("torch", "Size"): lambda sizes=(): tuple(sizes),
        **{("torch", kind): kind for kind in KINDS},  # a storage's kind needs no class
    }

    class Unpickler(unpickling.Unpickler):
        def persistent_load(self, reference: Any) -> _Storage:
            word, kind, key, _, length, *view = reference
            if storages is None or word != "storage" or kind not in KINDS or any(view):
                raise ValueError("a reference to something else than numbers")
            if not isinstance(key, str) or type(length) is not int or length < 0:
                raise ValueError("a storage has no valid size")
            storage = _Storage(kind, key, length)
            if storages.setdefault(key, storage) != storage:
                raise ValueError(f"storage {key} is of two kinds")
            return storage

    return Unpickler(file, known).load()
