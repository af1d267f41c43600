"""What reads and colours photos: helper processes, or this one.

The results are the same, byte for byte. In helper processes a photo that breaks its decoder, or
takes more memory than there is, costs that photo; and the first is decoded while the model loads.
"""

import argparse
import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, photos
from common.colorize.remote import RemoteColorizer
from common.colorize.settings import Settings

# A picture as `Colorizer` takes it, notes on its photo, and perhaps how=, `Settings` of the same
# model with other dials -> coloured. It may overwrite the picture.
Colour = Callable[..., np.ndarray]
ISOLATE = ("auto", "yes", "no")


@dataclasses.dataclass(frozen=True)
class Engine:
    """`read` and `is_picture` as of `photos`, `colour`, from several threads at a time.

    prepare: begins what takes time, where it is known that photos will be coloured. stop: makes
    calls that wait for a helper process return, with a PhotoError. model: the model and what
    computes it, once it is loaded; before that "".
    """

    read: Callable[[Path, float], AbstractContextManager[photos.About]]
    is_picture: Callable[[Path], bool]
    colour: Colour
    prepare: Callable[[], object]
    stop: Callable[[], object]
    model: Callable[[], str] = str


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --max-megapixels, the most that `Engine.read` is given, and --isolate of `started`."""
    parser.add_argument(
        "--max-megapixels",
        type=cli.at_least(0, float),
        default=photos.MAX_MEGAPIXELS,
        help="larger pictures are refused",
    )
    parser.add_argument(
        "--isolate",
        choices=ISOLATE,
        default=ISOLATE[0],
        help="decode and colour in processes of their own, so that a photo that crashes one costs "
        "only itself; auto is yes",
    )


def threads() -> int:
    """Photos that are coloured and written at a time: while one is written another is coloured."""
    return min(8, (os.cpu_count() or 1) + 1)


@contextlib.contextmanager
def started(settings: Settings, isolate: str = "auto", at_a_time: int = 1) -> Iterator[Engine]:
    """Yield the engine for some photos; isolate: one of `ISOLATE`, of which auto is yes.

    The line that says which model it is follows once the model is loaded. Raises `UserError` where
    there is no such model.
    """
    _ = settings.path  # a missing model is said before the work, not after it
    said: list[str] = []

    def say(line):
        said.append(line.removeprefix("model: "))
        cli.say(line)

    def model():
        return said[-1] if said else ""

    if isolate == "no":
        yield _here(settings, say, model)
        return
    decoder, colorizer = photos.Decoder(), RemoteColorizer(settings, at_a_time, say)

    def stop():
        colorizer.close()
        decoder.close()

    try:
        yield Engine(decoder.read, decoder.is_picture, colorizer, colorizer.start, stop, model)
    finally:
        stop()


def _here(settings, say, model):
    """The engine in this process."""
    turn, colorizers = threading.Lock(), list[Any]()

    def colour(pixels, notes, how=None):
        with turn:  # with the first photo that needs it: a finished folder takes no time
            if not colorizers:
                colorizers.append(settings.colorizer())
                say(settings.said(colorizers[0]))
        colorizer = colorizers[0] if how is None else how.turned(colorizers[0])
        return colorizer(pixels, in_place=True, notes=notes)

    return Engine(photos.read, photos.is_picture, colour, lambda: None, lambda: None, model)
