"""`Room`: how many photos are in memory at a time."""

import contextlib
import threading
from collections.abc import Iterator


class Room:
    """Room for so many megapixels and so many photos; one alone is let in whatever its size."""

    def __init__(self, megapixels: float, photos: int) -> None:
        self._left, self._photos, self._most = megapixels, 0, photos
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, megapixels: float) -> Iterator[None]:
        """Wait until there is room for a photo, and hold it."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._photos or self._photos < self._most and megapixels <= self._left
            )
            self._left -= megapixels
            self._photos += 1
        try:
            yield
        finally:
            with self._changed:
                self._left += megapixels
                self._photos -= 1
                self._changed.notify_all()
