"""A coloured photo as a file, whole or not at all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import files, photos
from common.photos import PhotoError

# A picture as `Colorizer` takes it -> coloured; it may overwrite what it is given.
Colour = Callable[[np.ndarray], np.ndarray]


def write(colour: Colour, photo: photos.Photo, target: Path) -> None:
    """Colour every page of an open photo into `target`; `PhotoError`, or the system's OSError."""

    def pages():
        for page in photo.pages():
            yield dataclasses.replace(page, pixels=colour(page.pixels))

    try:
        with files.replacing(target) as temporary:
            photos.write(temporary, pages(), photo)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise PhotoError("not enough memory for it; make it smaller") from None
