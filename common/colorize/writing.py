"""A coloured photo as a file, whole or not at all."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import cv2

from common import files, photos
from common.colorize.engine import Colour
from common.colorize.remote import NO_MEMORY
from common.photos import PhotoError


def write(colour: Colour, photo: photos.About, pages: Iterable[photos.Page], target: Path) -> None:
    """Colour a photo's pages one by one into `target`; `PhotoError`, or the system's OSError."""

    def coloured():
        for page in pages:
            yield dataclasses.replace(page, pixels=colour(page.pixels, photo.notes))

    try:
        with files.replacing(target) as temporary:
            photos.write(temporary, coloured(), photo)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise PhotoError(NO_MEMORY) from None
