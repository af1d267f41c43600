"""Folders that a long work reads and writes in, and what becomes of it when a drive is taken off.

The folder that the drive was mounted on is then left, and what is written would go there.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from common.cli import UserError


class Place:
    """A folder as it is now; `check` in the course of a long work whether it still is there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder, self._found = Path(folder), os.stat(folder)

    def check(self) -> None:
        """`UserError` where the folder is gone or is another one."""
        try:
            same = os.path.samestat(self._found, os.stat(self.folder))
        except OSError:
            same = False
        if not same:
            raise UserError(
                f"{self.folder} is gone, or is another folder than when this began: a drive taken "
                "off? Bring it back and start the same command again; it goes on."
            )


AnyPlace = TypeVar("AnyPlace", bound=Place)
_watched: list[Place] = []


@contextlib.contextmanager
def watched(place: AnyPlace) -> Iterator[AnyPlace]:
    """While this is open, `common.files` writes in this folder only while it is there.

    An error of a file that is missing, or a `UserError`, which may come of one, is told as
    `Place.check` tells it where the folder is gone.
    """
    _watched.append(place)
    try:
        yield place
    except (FileNotFoundError, UserError):
        place.check()
        raise
    finally:
        _watched.remove(place)


def around(path: Path) -> list[Place]:
    """The watched folders that a path lies in."""
    path = Path(os.path.abspath(path))
    return [
        place for place in tuple(_watched) if path.is_relative_to(os.path.abspath(place.folder))
    ]


def check(places: list[Place]) -> None:
    """`UserError` where one of them is gone."""
    for place in places:
        place.check()


def make(folder: Path, places: list[Place]) -> None:
    """Make a folder and those above it, but no watched one, which would be another."""
    if not places:
        folder.mkdir(parents=True, exist_ok=True)
        return
    there = max(
        (Path(os.path.abspath(place.folder)) for place in places), key=lambda x: len(x.parts)
    )
    for part in Path(os.path.abspath(folder)).relative_to(there).parts:
        there /= part
        there.mkdir(exist_ok=True)
