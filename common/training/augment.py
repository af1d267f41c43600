"""Seeded views of a training picture: flip, zoom, shear.

A view depends on the seed and on the picture's number in the run alone, so that a resumed run
gets the same ones. It is drawn before the colours are separated, so L* and ab stay together.
"""

from collections.abc import Collection

import cv2
import numpy as np

ZOOM = 0.2  # up to a fifth larger, so that the view stays inside the picture
SHEAR = 0.1  # radians, to either side
KINDS = ("flip", "zoom", "shear")


def augment(rgb: np.ndarray, kinds: Collection[str], seed: int, number: int) -> np.ndarray:
    """(S, S, 3) uint8 -> another view of the same size; `kinds` is a subset of KINDS.

    number: how many pictures of the run come before this one.
    """
    flip, zoom, shear = _drawn(seed, number)
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


def _drawn(seed, number):
    """(whether to flip, the factor of the zoom, the angle of the shear).

    All are drawn, used or not, so that each kind gives the same views with any others.
    """
    rng = np.random.default_rng([seed, number])
    return rng.random() < 0.5, 1 + ZOOM * rng.random(), SHEAR * rng.uniform(-1, 1)
