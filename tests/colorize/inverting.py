"""Settings whose colorizer needs no model: it inverts a picture, or dies as it is told to."""

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings:
    """Pictures that begin with the value 7 are fatal as long as care is less than `survived`.

    how: a signal, MemoryError, or "fill" until the system ends it. loads: whether the model can be
    loaded. loaded: a file that is made when it is, and by which it is not loaded again.
    """

    how: Any = signal.SIGKILL
    survived: int = 3
    loads: bool = True
    path: Path = Path("inverting")
    pause: float = 0.0
    loaded: Path | None = None

    def colorizer(self):
        if not self.loads or (self.loaded and self.loaded.exists()):
            os.kill(os.getpid(), self.how)
        if self.loaded:
            self.loaded.touch()
        return _Colorizer(self)

    def said(self, colorizer):
        return "model: inverting"


class _Colorizer:
    def __init__(self, settings, care=0):
        self._settings, self._care = settings, care

    def careful(self, bands=1):
        return _Colorizer(self._settings, 1 if bands == 1 else 2)

    def __call__(self, pixels, in_place, out, notes):
        time.sleep(self._settings.pause)
        if pixels.flat[0] == 7 and self._care < self._settings.survived:
            if self._settings.how is MemoryError:
                raise MemoryError
            if self._settings.how == "fill":
                _fill()
            os.kill(os.getpid(), self._settings.how)
        colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        out[...] = np.iinfo(pixels.dtype).max - colours
        return out


def _fill(most=4 << 30):
    """Take memory until the system ends this process; RuntimeError where it does not."""
    held = []
    while sum(map(len, held)) < most:
        held.append(b"\1" * (64 << 20))
    raise RuntimeError(f"{most} bytes, and no limit")
