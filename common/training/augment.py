"""Seeded views of a training picture: flip, zoom, shear, crop; and the faults of old photos.

A view depends on the seed and on the picture's number in the run alone, so that a resumed run
gets the same ones. It is drawn before the colours are separated, so L* and ab stay together; faults
are put into the L* that the network sees, not into the colours that it is to give.

What is drawn is drawn here, in NumPy. It is applied here, picture by picture with OpenCV, or in the
compiled training step, on a GPU: `in_step`.
"""

import functools
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np

from common import photos

ZOOM = 0.2  # up to a fifth larger, so that the view stays inside the picture
SHEAR = 0.1  # radians, to either side
CROP = 0.4, 1.0  # share of the picture's area
ASPECT = 0.2  # natural logarithm of the crop's width / height, to either side
WHOLE = 0.3  # share of the crops that are the whole picture, as the network will get it
KINDS = ("flip", "zoom", "shear", "crop", "age")

AGED = 0.3  # share of the pictures that have each fault of `age`; its square for a scratch
BLUR = 0.3, 1.6  # pixels: the standard deviation
_BRIGHT, _DARK = 97.0, 5.0  # L* of scratches


class View(NamedTuple):
    """A view as it was drawn: the part of the picture, then a matrix, then the mirror."""

    part: tuple[int, int, int, int]  # top, left, height, width in pixels
    matrix: np.ndarray  # (2, 3): (x, y, 1) of that part, enlarged -> (x, y) of the view
    flip: bool


class Faults(NamedTuple):
    """The faults of an old photo as they were drawn; the defaults are none."""

    blur: float = 0.0  # pixels
    contrast: float = 1.0
    exposure: float = 0.0  # of L*
    grain: float = 0.0  # of L*: the standard deviation
    at: tuple[int, int] = (0, 0)  # where the grain begins in `noise`
    # Of each scratch: the column in the first row, columns a row, and its L*, or -1 for none.
    scratches: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, -1.0),) * 2


def view(kinds: Collection[str], side: int, seed: int, number: int) -> View:
    """The view of a picture of `side` pixels; `kinds` is a subset of KINDS.

    number: how many pictures of the run come before this one.
    """
    flip, zoom, shear, crop = _drawn(seed, number)
    part, matrix = (0, 0, side, side), np.eye(2)
    if "crop" in kinds:
        part = _part(side, *crop)
    if "zoom" in kinds:
        matrix = matrix * zoom
    if "shear" in kinds:
        matrix = matrix @ [[1, np.tan(shear)], [0, 1]]
    centre = np.full(2, (side - 1) / 2)
    return View(part, np.column_stack([matrix, centre - matrix @ centre]), flip and "flip" in kinds)


def augment(rgb: np.ndarray, kinds: Collection[str], seed: int, number: int) -> np.ndarray:
    """(S, S, 3) uint8 -> its `view`, of the same size."""
    side = len(rgb)
    part, matrix, flip = view(kinds, side, seed, number)
    if "crop" in kinds:
        top, left, height, width = part
        rgb = photos.fit(rgb[top : top + height, left : left + width], side, "squash")
    if moves(kinds):
        rgb = cv2.warpAffine(
            rgb,
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return cv2.flip(rgb, 1) if flip else rgb


def moves(kinds: Collection[str]) -> bool:
    """Whether a view's matrix is another than the identity."""
    return "zoom" in kinds or "shear" in kinds


def mirrors(kinds: Collection[str], seed: int, number: int) -> bool:
    """Whether the view that `augment` returns is mirrored."""
    return "flip" in kinds and _drawn(seed, number)[0]


def faults(side: int, seed: int, number: int) -> Faults:
    """Blur, loss of contrast, a wrong exposure, grain and thin scratches, each in some pictures.

    side: of the picture, in pixels. number: how many pictures of the run come before this one.
    """
    rng = np.random.default_rng([seed, number, 1])  # of its own, beside the view's
    has = rng.random(6) < AGED
    blur, contrast, exposure, grain = (
        rng.uniform(*ends) for ends in (BLUR, (0.4, 1.15), (-12, 12), (1, 5))
    )
    row, column = rng.integers(0, _SPARE, 2)
    scratches = []
    for scratched in has[4:]:
        there, bright = rng.random() < AGED and scratched, rng.random() > 0.3
        top, slope = rng.uniform(0, side), rng.uniform(-0.15, 0.15)
        scratches.append((top, slope, (_BRIGHT if bright else _DARK) if there else -1.0))
    return Faults(
        blur if has[0] else 0.0,
        contrast if has[1] else 1.0,
        exposure if has[2] else 0.0,
        grain if has[3] else 0.0,
        (int(row), int(column)),
        tuple(scratches),
    )


def age(l: np.ndarray, seed: int, number: int) -> np.ndarray:
    """L* (S, S) float32 in [0, 100] -> the same picture with its `faults`."""
    side = len(l)
    drawn = faults(side, seed, number)
    if drawn.blur:
        l = cv2.GaussianBlur(l, (0, 0), drawn.blur, borderType=cv2.BORDER_REPLICATE)
    grain = None
    if drawn.grain:
        row, column = drawn.at
        grain = np.float32(drawn.grain) * noise(side)[row : row + side, column : column + side]
    return worn(
        l,
        np.float32(drawn.contrast),
        np.float32(drawn.exposure),
        grain,
        [np.array(each, np.float32) for each in drawn.scratches if each[2] >= 0],
        np,
    )


def worn(
    l: Any, contrast: Any, exposure: Any, grain: Any, scratches: Iterable[Any], xp: Any
) -> Any:
    """L* (..., S, S) with less contrast, more exposure, grain and scratches, in [0, 100].

    Numbers are scalars, or arrays that broadcast to l; grain (..., S, S) is added, if there is any.
    scratches: (column in the first row, columns a row, L* or -1) of each. xp: NumPy or keras.ops.
    """
    side = l.shape[-1]
    l = l * contrast + (50 * (1 - contrast) + exposure)
    if grain is not None:
        l = l + grain
    for top, slope, value in scratches:
        rows = np.arange(side, dtype=np.float32)
        there = xp.abs(rows - top - slope * rows[:, None]) < 1
        l = xp.where(xp.logical_and(there, value >= 0), value, l)
    return xp.clip(l, 0, 100)


_SPARE = 512  # rows and columns in which the grain of a picture may begin


@functools.lru_cache(2)
def noise(side: int) -> np.ndarray:
    """The field of normal noise that a picture's grain is cut from; float32, 512 larger each way.

    One field for all, so that a GPU need not draw the same numbers as NumPy.
    """
    return np.random.default_rng(0).standard_normal((side + _SPARE,) * 2, np.float32)


def _part(side, area, aspect, down, across):
    """(top, left, height, width) of a crop, in pixels."""
    height, width = (
        max(1, round(side * min(1, np.sqrt(area * np.exp(sign * aspect))))) for sign in (-1, 1)
    )
    return round(down * (side - height)), round(across * (side - width)), height, width


def _drawn(seed, number):
    """(whether to flip, the factor of the zoom, the angle of the shear, the crop).

    All are drawn, used or not, so that each kind gives the same views with any others.
    """
    rng = np.random.default_rng([seed, number])
    flip, zoom, shear = rng.random() < 0.5, 1 + ZOOM * rng.random(), SHEAR * rng.uniform(-1, 1)
    area, aspect = rng.uniform(*CROP), rng.uniform(-ASPECT, ASPECT)
    down, across, whole = rng.random(3)
    crop = (1.0, 0.0, 0.0, 0.0) if whole < WHOLE else (area, aspect, down, across)
    return flip, zoom, shear, crop
