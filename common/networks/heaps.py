"""The heaps in which HDF5 keeps texts of any length, walked before HDF5 walks them.

HDF5 adds up the sizes of a heap's objects without an end to them: one object whose size is damaged,
or crafted, keeps it in a loop that nothing but the end of the process stops. A heap begins with a
signature, without which HDF5 refuses it: so all of a file's are found by that.
"""

import mmap
import struct
from pathlib import Path

SIGNATURE = b"GCOL\x01"
_HEADER = 16  # bytes, of a heap and of an object
_LENGTH = struct.Struct("<Q")  # at byte 8 of both


class BrokenHeapError(ValueError):
    """The objects of a heap do not follow one another up to its end."""


def check(path: str | Path) -> None:
    """`BrokenHeapError` where HDF5 might not come to the end of a heap of this HDF5 file.

    The layout is version 1 of "Global Heap" in the HDF5 File Format Specification, with lengths of
    8 bytes, as every HDF5 library writes them unless it is told otherwise.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(SIGNATURE)
        while at >= 0:
            _walk(data, at)
            at = data.find(SIGNATURE, at + 1)


def _walk(data, at):
    if at + _HEADER > len(data):
        return
    end = min(at + _LENGTH.unpack_from(data, at + 8)[0], len(data))
    at += _HEADER
    while at + _HEADER <= end:
        (length,) = _LENGTH.unpack_from(data, at + 8)
        # Object 0 is the free room, whose length counts its header.
        free = data[at : at + 2] == b"\0\0"
        step = length if free else _HEADER + (length + 7) // 8 * 8
        if not 0 < step <= end - at:
            raise BrokenHeapError(f"an object of {length} bytes in a heap with room for {end - at}")
        at += step
