"""Many pictures' names, sizes and hashes in little memory, for planning a data set.

A name takes its own bytes and 8 more, a picture 40 beside its name; a tuple of Python objects takes
some 400.
"""

import array
import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

DIGEST = 32  # bytes of SHA-256
_SIZE = np.dtype([("key", "u8"), ("bytes", "i8")])


class File(NamedTuple):
    """A picture file: its path within the source folder, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str


class Names:
    """Names by number, to which others may be added."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._text, self._ends = bytearray(), array.array("q", [0])
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Add a name."""
        self._text += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        text = self._text[self._ends[number] : self._ends[number + 1]]
        return text.decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))


class Pictures:
    """Picture files by number: `File`s to which others may be added."""

    def __init__(self, files: Iterable[File] = ()) -> None:
        self.names = Names()
        self._bytes, self._digests = array.array("q"), bytearray()
        for file in files:
            self.append(file)

    def append(self, file: File) -> None:
        """Add a picture."""
        self.names.append(file.name)
        self._bytes.append(file.bytes)
        self._digests += bytes.fromhex(file.sha256)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> File:
        digest = self._digests[DIGEST * number : DIGEST * (number + 1)]
        return File(self.names[number], self._bytes[number], digest.hex())

    def digests(self) -> np.ndarray:
        """The SHA-256 of each, (N,) of 32 bytes, which sort as their hexadecimal digits do."""
        return np.array(self._digests, np.uint8).view(f"S{DIGEST}")

    def by_content(self) -> np.ndarray:
        """Their numbers, (N,), sorted by SHA-256, and copies by name."""
        digests = self.digests()
        order = np.argsort(digests, kind="stable")
        ordered = digests[order]
        for start in np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():
            if start and ordered[start - 1] == ordered[start]:
                continue  # in the midst of copies
            stop = start + int(np.searchsorted(ordered[start:], ordered[start], "right"))
            order[start:stop] = sorted(order[start:stop].tolist(), key=self.names.__getitem__)
        return order


def key(name: str) -> int:
    """64 bits of a hash of a name: among a million the chance that two share one is 1 in 10⁷."""
    data = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def keys(names: Iterable[str]) -> np.ndarray:
    """The key of each name, (N,) uint64."""
    return np.fromiter(map(key, names), np.uint64)


def sizes(files: Iterable[tuple[str, int]]) -> np.ndarray:
    """(name, bytes) of each file -> {"key", "bytes"}, a structured array sorted by key."""
    found = np.fromiter(((key(name), size) for name, size in files), _SIZE)
    return np.sort(found, order="key")


class Listed:
    """Values by name, `listed[name]`, as a dict has them, where there are many names."""

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        self._names, self._values = Names(), array.array("b")
        for name, value in entries:
            self._names.append(name)
            self._values.append(value)
        hashed = keys(self._names)
        self._order = np.argsort(hashed, kind="stable")
        self._keys = hashed[self._order]

    def get(self, name: str, default: int) -> int:
        """The value of a name, from -128 to 127; of one that is there twice, the last."""
        wanted = key(name)
        at = np.searchsorted(self._keys, np.uint64(wanted), "right") - 1
        while at >= 0 and self._keys[at] == wanted:
            number = int(self._order[at])
            if self._names[number] == name:
                return self._values[number]
            at -= 1
        return default
