"""One photo in several settings of the dials, on a sheet, so that a person can choose."""

import dataclasses
import functools

import cv2
import numpy as np

from common import photos
from common.cli import UserError
from common.colorize import dials
from common.colorize.engine import Colour
from common.colorize.settings import Settings

VIVID = (0.0, 0.5, 1.0)
TINTS = ("cool", None, "warm")
_SIDE = 420  # of a picture on the sheet: its longer one
_MARGIN, _LINE = 12, 24  # around a picture, and below it for its label
_NARROWEST = 220  # in which a label finds room


def sheet(colour: Colour, settings: Settings, pixels: np.ndarray) -> np.ndarray:
    """A picture of any kind -> (H, W, 3) uint8: small pictures, each above the flags that give it.

    colour: an engine's, of these settings, whose vivid and tint are None. A row for each of
    `VIVID`, or one where the model has no dial; a column for each of `TINTS`.
    """
    pixels = photos.opaque(pixels)
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)

    @functools.cache
    def coloured(vivid, tint):
        how = dataclasses.replace(settings, vivid=vivid, tint=dials.TINTS.get(tint))
        return colour(small.copy(), [], how=how)  # which it may overwrite

    levels: tuple[float | None, ...] = VIVID
    try:
        coloured(VIVID[0], TINTS[0])
    except UserError:  # it has no dial; any other mistake is met again
        levels = (None,)
    rows = []
    for vivid in levels:
        cells = [_cell(coloured(vivid, tint), _flags(vivid, tint)) for tint in TINTS]
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


def _flags(vivid, tint):
    """The flags that give a picture, as make takes them."""
    flags = [] if vivid is None else [f"VIVID={vivid:g}"]
    flags += [] if tint is None else [f"TINT={tint}"]
    return " ".join(flags) or "no flags"


def _cell(rgb, label):
    """A picture on white, with its label below."""
    height, width = rgb.shape[:2]
    left = max(_MARGIN, (_NARROWEST - width) // 2)
    cell = cv2.copyMakeBorder(
        rgb, _MARGIN, _MARGIN + _LINE, left, left, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    position = (_MARGIN, _MARGIN + height + _LINE - 4)
    return cv2.putText(
        cell, label, position, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
    )
