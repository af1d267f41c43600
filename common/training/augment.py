"""Seeded views of a training picture: flip, zoom, shear, crop; and the faults of old photos.

A view depends on the seed and on the picture's number in the run alone, so that a resumed run
gets the same ones. It is drawn before the colours are separated, so L* and ab stay together; faults
are put into the L* that the network sees, not into the colours that it is to give.
"""

from collections.abc import Collection

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


def augment(rgb: np.ndarray, kinds: Collection[str], seed: int, number: int) -> np.ndarray:
    """(S, S, 3) uint8 -> another view of the same size; `kinds` is a subset of KINDS.

    number: how many pictures of the run come before this one.
    """
    flip, zoom, shear, crop = _drawn(seed, number)
    if "crop" in kinds:
        rgb = _cropped(rgb, *crop)
    if "zoom" in kinds or "shear" in kinds:
        centre = (rgb.shape[0] - 1) / 2
        matrix = np.eye(2)
        if "zoom" in kinds:
            matrix *= zoom
        if "shear" in kinds:
            matrix = matrix @ [[1, np.tan(shear)], [0, 1]]
        shift = np.full(2, centre) - matrix @ np.full(2, centre)
        rgb = cv2.warpAffine(
            rgb,
            np.column_stack([matrix, shift]),
            rgb.shape[1::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return np.ascontiguousarray(rgb[:, ::-1]) if flip and "flip" in kinds else rgb


def mirrors(kinds: Collection[str], seed: int, number: int) -> bool:
    """Whether the view that `augment` returns is mirrored."""
    return "flip" in kinds and _drawn(seed, number)[0]


def age(l: np.ndarray, seed: int, number: int) -> np.ndarray:
    """L* (S, S) float32 in [0, 100] -> the same picture as an old print or scan might show it.

    Blur, loss of contrast, a wrong exposure, grain and thin scratches, each in some of the
    pictures. number: how many pictures of the run come before this one.
    """
    rng = np.random.default_rng([seed, number, 1])  # of its own, beside the view's
    blur, contrast, exposure, grain, *scratches = rng.random(6) < AGED
    if blur:
        l = cv2.GaussianBlur(l, (0, 0), rng.uniform(0.3, 1.6), borderType=cv2.BORDER_REPLICATE)
    if contrast:
        l = 50 + (l - 50) * np.float32(rng.uniform(0.4, 1.15))
    if exposure:
        l = l + np.float32(rng.uniform(-12, 12))
    if grain:
        l = l + rng.normal(0, rng.uniform(1, 5), l.shape).astype(np.float32)
    for scratched in scratches:
        top, slope, bright = (
            rng.uniform(0, l.shape[1]),
            rng.uniform(-0.15, 0.15),
            rng.random() > 0.3,
        )
        if scratched and rng.random() < AGED:
            start, end = (round(top), 0), (round(top + slope * len(l)), len(l) - 1)
            l = cv2.line(l.copy(), start, end, 97.0 if bright else 5.0, 2)
    return np.clip(l, 0, 100)


def _cropped(rgb, area, aspect, down, across):
    """A part of the picture at the picture's size."""
    side = len(rgb)
    height, width = (
        max(1, round(side * min(1, np.sqrt(area * np.exp(sign * aspect))))) for sign in (-1, 1)
    )
    top, left = round(down * (side - height)), round(across * (side - width))
    return photos.fit(rgb[top : top + height, left : left + width], side, "squash")


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
