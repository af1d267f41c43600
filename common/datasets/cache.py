"""Decoded pictures kept in memory: what is read in every epoch is decoded in the first alone.

The pictures that come first are kept, up to a bound, and stay: of a shuffled pass over more than
fits, one that is replaced would be gone before it is read again, while a part that stays is found
in every pass.
"""

import threading
from collections.abc import Sequence

import numpy as np

from common import memory

MOST = 4 * 10**9  # bytes that may be kept by default, whatever is free
SHARE = 0.25  # of the free memory that may be kept by default: the training needs some, and others
UNKNOWN = 10**9  # bytes, where the system does not say what is free
_BLOCK = 32 << 20  # bytes that are allocated at a time
_BESIDE = 400  # bytes a picture takes beside its pixels: its name, its label, where it is

About = tuple[str, int]  # the name and the label of a picture


def default_limit() -> int:
    """Bytes that may be kept where nothing else is said: `SHARE` of what is free, at most `MOST`.

    The maximum keeps the memory of a run flat as data sets grow.
    """
    free = memory.free()
    return UNKNOWN if free is None else min(MOST, int(SHARE * free))


class Cache:
    """Pictures (S, S, 3) uint8 by split and position, at most `limit` bytes of them.

    Any number of threads may read and add. Where memory ends earlier than the limit, no more is
    kept.
    """

    def __init__(self, side: int, limit: int) -> None:
        self.side, self.limit = side, limit
        self.room = limit // self.size(1)  # pictures
        self._a_block = max(1, min(self.room, _BLOCK // self.size(1)))
        self._blocks: list[np.ndarray] = []
        self._kept: dict[tuple[str, int], tuple[int, About]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def size(self, pictures: int) -> int:
        """What so many pictures take."""
        return pictures * (self.side * self.side * 3 + _BESIDE)

    def read(
        self, split: str, positions: Sequence[int] | np.ndarray, rgb: np.ndarray
    ) -> list[About | None]:
        """Copy the kept ones of these pictures to their places in `rgb`, (N, S, S, 3) uint8.

        Returns (name, label) of each, None for those that are not kept.
        """
        found = []
        for place, position in enumerate(positions):
            slot, about = self._kept.get((split, int(position)), (None, None))
            if slot is not None:
                rgb[place] = self._at(slot)
            found.append(about)
        return found

    def add(self, split: str, position: int, rgb: np.ndarray, about: About) -> None:
        """Keep a copy of a picture, if there is room."""
        key = split, int(position)
        with self._lock:
            slot = len(self._kept)
            if slot >= self.room or key in self._kept:
                return
            if slot == len(self._blocks) * self._a_block:
                try:
                    self._blocks.append(
                        np.empty((self._a_block, self.side, self.side, 3), np.uint8)
                    )
                except MemoryError:
                    self.room = slot
                    return
            self._at(slot)[:] = rgb
            self._kept[key] = slot, about  # last: from here on others find it

    def _at(self, slot):
        return self._blocks[slot // self._a_block][slot % self._a_block]
