"""Features beside a shard: a NumPy file of a row a picture, and a checksum of each row at its end.

`numpy.load` reads it as it does any .npy, and passes over the checksums: one of the header and one
of each row, CRC-32C as in TFRecord, uint32, little-endian. A file without them is of an earlier
version.
"""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np

from common import files
from common.cli import UserError

CHECKSUM = np.dtype("<u4")


class DamagedError(UserError):
    """A file beside the shards, or a shard, is not what was written."""


@contextlib.contextmanager
def writing(
    path: str | Path, shape: tuple[int, int], dtype: str
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield append(rows), to be called until all `shape[0]` rows are written; whole or not at all.

    dtype: as "<f4".
    """
    header = _header(shape, dtype)
    checksums = [google_crc32c.value(header)]
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(header)

        def append(rows: np.ndarray) -> None:
            rows = np.ascontiguousarray(rows, np.dtype(dtype))
            checksums.extend(google_crc32c.value(row.tobytes()) for row in rows)
            file.write(rows.tobytes())

        yield append
        if len(checksums) != shape[0] + 1:
            raise ValueError(
                f"writing() needs as many rows as its shape says. Received: {len(checksums) - 1} "
                f"rows, shape={shape}. Append the others."
            )
        file.write(np.array(checksums, CHECKSUM).tobytes())


class Rows:
    """The rows of a file, each compared with its checksum when it is read: `rows[number]`.

    shape, dtype: what is expected. Raises `DamagedError` where the file has not that form, and
    FileNotFoundError.
    """

    def __init__(self, path: str | Path, shape: tuple[int, int], dtype: str) -> None:
        self.path = Path(path)
        try:
            self.array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise self._damaged("in its header") from error
        sizes = footer(shape[0]), 0  # with checksums, and of an earlier version
        if (self.array.shape, self.array.dtype) != (shape, np.dtype(dtype)) or (
            self._size() - self._content() not in sizes
        ):
            raise self._damaged("in its header or its size")
        self._checksums = None
        if self._size() > self._content():
            with open(self.path, "rb") as file:
                header = file.read(self.array.offset)
                file.seek(self._content())
                self._checksums = np.frombuffer(file.read(), CHECKSUM)
            if google_crc32c.value(header) != self._checksums[0]:
                raise self._damaged("in its header")

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, number: int) -> np.ndarray:
        (row,) = self._read(number, number + 1)
        return row

    def _read(self, start, stop):
        """Yield some rows, one after the other.

        Not from the memory map: where a network folder goes away, that ends the process.
        """
        size = self.array.strides[0]
        with opened(self.path) as file:
            file.seek(self.array.offset + start * size)
            for number in range(start, stop):
                yield self._compared(number, file.read(size), size)

    def _compared(self, number, data, size):
        if len(data) != size or (
            self._checksums is not None and google_crc32c.value(data) != self._checksums[number + 1]
        ):
            raise self._damaged(f"in row {number}")
        return np.frombuffer(data, self.array.dtype)

    def whole(self) -> np.memmap:
        """All rows, once all are compared."""
        for _ in self._read(0, len(self)):
            pass
        return self.array

    def _content(self):
        """Bytes of the file before the checksums."""
        return self.array.offset + math.prod(self.array.shape) * self.array.dtype.itemsize

    def _size(self):
        return self.path.stat().st_size

    def _damaged(self, where):
        return DamagedError(
            f"{self.path} is corrupt {where}. Delete this file and run the same command again: "
            "only it is made anew."
        )


def opened(path: str | Path) -> BinaryIO:
    """A file of a data set, to read; `UserError` where it was there and is gone."""
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise UserError(
            f"{path} is gone: a drive taken off? Bring it back and run the same command again."
        ) from None


def footer(rows: int) -> int:
    """Bytes behind so many rows."""
    return (rows + 1) * CHECKSUM.itemsize


def _header(shape, dtype):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()
