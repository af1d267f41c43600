"""Directories of EXIF and TIFF, with every entry's type: made true of a result, written again.

An EXIF block is changed in place, since a MakerNote may hold offsets within it. Those of a TIFF are
appended to the result.
"""

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

ORIENTATION = 274
_WORDS = {False: ("I", "H"), True: ("Q", "Q")}  # layouts of offsets and of the number of entries
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # of a value of each type, in bytes  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
_INNER = {0: (EXIF, GPS), EXIF: (INTEROPERABILITY,)}  # directories within each directory
COLOR_SPACE, PROFILE = 0xA001, 34675
_RESOLUTIONS = (282, 283), (0xA20E, 0xA20F)  # of the picture, of the sensor
_SIZE = (256, 0xA002), (257, 0xA003)  # tags of width, of height
# White point, primaries, transfer function, how YCbCr is meant, profile: of the pixels as stored.
_OF_COLOURS = (301, 318, 319, 529, 532, PROFILE)
_OF_PLACES = (0x9214, 0xA214)  # where the subject is, in pixels


class Entry(NamedTuple):
    """An entry of a directory: the number of its type, its values, where in the file they are."""

    kind: int
    data: bytes
    at: int = 0


class Directory:
    """A directory in a file: `entries` {tag: Entry}, `inner` {tag: Directory}, `following`, the
    offset of the next one; `damaged`: entries that lie beyond the file are left out.

    Raises struct.error and ValueError for a damaged one.
    """

    def __init__(
        self, file: BinaryIO, offset: int, order: str, big: bool = False, tag: int = 0
    ) -> None:
        self.order, self.big, self._file, self._offset = order, big, file, offset
        self._word, self._count = _WORDS[big]
        self.entries: dict[int, Entry] = {}
        self.inner: dict[int, Directory] = {}
        self.damaged = False
        end = left = file.seek(0, io.SEEK_END)
        place = offset + struct.calcsize(self._count)
        (count,) = self._read(offset, self._count)
        field = 4 + 2 * struct.calcsize(self._word)
        for start in range(place, place + min(count, 65535) * field, field):
            code, kind, number = self._read(start, "HH" + self._word)
            at = start + field - struct.calcsize(self._word)
            size = _SIZES.get(kind, 0) * number
            if size > struct.calcsize(self._word):
                (at,) = self._read(at, self._word)
            if code in _INNER.get(tag, ()):
                try:
                    (where,) = self._read(at, _INTEGERS.get(kind, self._word))
                    self.inner[code] = Directory(file, where, order, big, code)
                    self.damaged |= self.inner[code].damaged
                except struct.error:
                    self.damaged = True
            elif 0 < size <= min(end - at, left):
                file.seek(at)
                self.entries[code] = Entry(kind, file.read(size), at)
                left -= size  # entries that overlap would take any amount of memory
            else:
                self.damaged |= size > 0
        (self.following,) = self._read(place + count * field, self._word, missing=(0,))

    def __getstate__(self) -> dict[str, Any]:
        """Without the file, which no other process has; all but `save` works there."""
        return {**self.__dict__, "_file": None}

    def _read(self, offset, layout, missing=None):
        size = struct.calcsize(self.order + layout)
        self._file.seek(offset)
        data = self._file.read(size)
        return missing if missing and len(data) < size else struct.unpack(self.order + layout, data)

    def value(self, tag: int) -> int | None:
        """The integer of an entry."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return None
        return struct.unpack_from(self.order + _INTEGERS[entry.kind], entry.data)[0]

    def rationals(self, tag: int) -> list[float]:
        """The fractions of an entry; [] where there are none."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in (5, 10):
            return []
        layout = self.order + ("ii" if entry.kind == 10 else "II")
        return [a / b if b else 0.0 for a, b in struct.iter_unpack(layout, entry.data)]

    def set(self, tag: int, value: int) -> None:
        """Give an entry that is there and holds one integer another."""
        entry = self.entries.get(tag)
        if entry is not None and len(entry.data) == _SIZES[entry.kind]:
            layout = self.order + _INTEGERS.get(entry.kind, "")
            if struct.calcsize(layout) == len(entry.data):
                self.entries[tag] = entry._replace(data=struct.pack(layout, value))

    def make_true(self, shape: tuple[int, ...], orientation: int) -> None:
        """Say what holds of the upright result in sRGB of this shape."""
        for directory in (self, *self.inner.values()):
            for tags, value in zip(_SIZE, shape[1::-1], strict=True):
                for tag in tags:
                    directory.set(tag, value)
            directory.set(ORIENTATION, 1)
            directory.set(COLOR_SPACE, 1)
            for tag in _OF_COLOURS + (_OF_PLACES if orientation != 1 else ()):
                directory.entries.pop(tag, None)
            if orientation >= 5:
                directory._swap_resolutions()
        details = self.inner.get(EXIF)
        index = details and details.inner.get(INTEROPERABILITY)
        if index and 1 in index.entries:
            index.entries[1] = index.entries[1]._replace(data=b"R98\0")

    def _swap_resolutions(self):
        for across, down in _RESOLUTIONS:
            if across in self.entries and down in self.entries:
                self.entries[across], self.entries[down] = (
                    self.entries[across]._replace(data=self.entries[down].data),
                    self.entries[down]._replace(data=self.entries[across].data),
                )

    def save(self) -> None:
        """Write it where it was, with the same entries or fewer, of the same sizes."""
        records, word = {}, struct.calcsize(self._word)
        for tag, entry in self.entries.items():
            self._file.seek(entry.at)
            self._file.write(entry.data)
            value = entry.data.ljust(word, b"\0")
            if len(entry.data) > word:
                value = struct.pack(self.order + self._word, entry.at)
            records[tag] = self._record(tag, entry, value)
        for tag, directory in self.inner.items():
            directory.save()
            records[tag] = self._pointer(tag, directory._offset)
        self._file.seek(self._offset)
        self._file.write(self._table(records, self.following))

    def append(self, file: BinaryIO, big: bool) -> int:
        """Write it at the end of another file, of the same byte order; where it is."""
        self.big, self._word, self._count = big, *_WORDS[big]
        records, word = {}, struct.calcsize(self._word)
        for tag, entry in self.entries.items():
            value = entry.data.ljust(word, b"\0")
            if len(entry.data) > word:
                value = struct.pack(self.order + self._word, _appended(file, entry.data))
            records[tag] = self._record(tag, entry, value)
        for tag, directory in self.inner.items():
            records[tag] = self._pointer(tag, directory.append(file, big))
        return _appended(file, self._table(records, self.following))

    def _record(self, tag, entry, value):
        number = len(entry.data) // _SIZES[entry.kind]
        return struct.pack(self.order + "HH" + self._word, tag, entry.kind, number) + value

    def _pointer(self, tag, offset):
        number = struct.pack(self.order + self._word, offset)
        return self._record(tag, Entry(16 if self.big else 4, number), number)

    def _table(self, records, following):
        return (
            struct.pack(self.order + self._count, len(records))
            + b"".join(records[tag] for tag in sorted(records))
            + struct.pack(self.order + self._word, following)
        )


def _appended(file, data):
    """Write data at the end of a file, at an even offset; where it is."""
    end = file.seek(0, io.SEEK_END)
    offset = file.seek(end + end % 2)
    file.write(data)
    return offset


def orientation(value: Any) -> int:
    """What a file gives as its orientation -> 1 to 8; 1 for whatever is none."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def header(file: BinaryIO) -> tuple[str, bool, int]:
    """(byte order, whether of 64 bits, where the offset of the first directory stands)."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or sorted(head[2:]) not in ([0, 42], [0, 43]):
        raise ValueError("no TIFF header")
    big = 43 in head[2:]
    return order, big, 8 if big else 4


def of_block(block: bytes) -> Directory:
    """The first directory of an EXIF block, a small TIFF; struct.error or ValueError if damaged."""
    file = io.BytesIO(block)
    order, big, _ = header(file)
    file.seek(4)
    (first,) = struct.unpack(order + "I", file.read(4))
    return Directory(file, first, order, big)


def of_result(block: bytes, shape: tuple[int, ...], orientation: int) -> bytes:
    """An EXIF block as it holds for the upright result in sRGB of this shape, without thumbnail.

    Raises struct.error or ValueError for a damaged block.
    """
    top = of_block(block)
    end = len(block)
    if top.following:
        thumbnail = Directory(top._file, top.following, top.order)
        start, size = thumbnail.value(513), thumbnail.value(514)
        if start and size and start + size + 3 >= end and start > 8:
            end = start
        top.following = 0
    top.make_true(shape, orientation)
    top.save()
    result = top._file
    result.seek(0)
    return result.read()[:end]


def to_tiff(path: str | Path, directories: list[Directory | None]) -> None:
    """Give each page of a TIFF the entries and inner directories of one of these.

    Its byte order is theirs. Each page's directory is written anew, at the end of the file.
    """
    with open(path, "r+b") as file:
        order, big, link = header(file)
        layout = order + ("Q" if big else "I")
        for kept in directories:
            file.seek(link)
            (offset,) = struct.unpack(layout, file.read(struct.calcsize(layout)))
            page = Directory(file, offset, order, big)
            if kept:
                if 282 in kept.entries:  # without a unit it is the inch, not tifffile's none
                    page.entries.pop(296, None)
                page.entries.update(kept.entries)
                page.inner.update(kept.inner)
            place = page.append(file, big)
            file.seek(link)
            file.write(struct.pack(layout, place))
            link = file.seek(0, io.SEEK_END) - struct.calcsize(layout)
