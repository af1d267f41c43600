"""The border of a scanned print: paper, or the scanner's lid, around the picture.

A border is nearly uniform, reaches the edge of the scan, and ends in a straight line. It is looked
for in a small copy, then to the pixel.
"""

import dataclasses

import cv2
import numpy as np

from common.photos.reading import opaque

SIDE = 600  # the longer one of the copy
LEVEL = 14  # of 255: how far a border's pixels may be from its own level
UNIFORM = 0.94  # the share of a line of pixels that must be so
LEFT = 0.5  # the share that may still be so where the border has ended
SKEW = 0.02  # of the side's length, within which it ends: a print laid on a little askew
LEAST, MOST = 0.004, 0.25  # depth, as a share of the picture's
APART = 40  # of 255: how far the levels of opposite sides may be from each other
NESTED = 3  # the lid, the paper, a printed frame


@dataclasses.dataclass(frozen=True)
class Border:
    """Its depth on each side, in pixels."""

    top: int
    right: int
    bottom: int
    left: int

    def __str__(self) -> str:
        """A note: what is kept."""
        sides = f"{self.top}, {self.right}, {self.bottom}, {self.left}"
        return f"border of {sides} pixels kept (top, right, bottom, left)"

    def inside(self, pixels: np.ndarray) -> np.ndarray:
        """The picture within, a view."""
        height, width = pixels.shape[:2]
        return pixels[self.top : height - self.bottom, self.left : width - self.right]


def find(pixels: np.ndarray) -> Border | None:
    """The border of a picture of any kind, at least on two opposite sides; None without one."""
    whole = Border(0, 0, 0, 0)
    for _ in range(NESTED):
        more = _sides(whole.inside(pixels))
        if more is None:
            break
        whole = Border(*np.add(dataclasses.astuple(whole), more).tolist())
    return None if whole == Border(0, 0, 0, 0) else whole


def _sides(pixels):
    """The outermost border: (top, right, bottom, left), or None."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    shape = [max(1, round(side * scale)) for side in (height, width)]
    if min(shape) < 16:
        return None
    small = _reduced(pixels, *shape)
    depths, levels = [0, 0, 0, 0], [0.0] * 4
    for side in range(4):
        depth, levels[side] = _depth(_turned(small, side))
        if depth:
            depths[side] = _exactly(_turned(pixels, side), depth, levels[side], shape[side % 2])
    for one, other in ((0, 2), (1, 3)):
        if depths[one] and depths[other] and abs(levels[one] - levels[other]) <= APART:
            pair = (levels[one] + levels[other]) / 2
            return [
                depth if abs(level - pair) <= APART else 0
                for depth, level in zip(depths, levels, strict=True)
            ]
    return None


def _depth(rows):
    """(the number of lines that are border from the first on, 0 without one; their level)."""
    level = float(np.median(rows[: max(1, round(LEAST * len(rows)))]))
    shares, levels = [], []
    for row in rows[: round(MOST * len(rows)) + 1]:
        own = np.abs(row.astype(np.float32) - level) <= LEVEL
        shares.append(own.mean())
        if shares[-1] >= UNIFORM:  # paper may darken slowly
            level = 0.8 * level + 0.2 * float(row[own].mean())
        levels.append(level)
    uniform = np.array(shares) >= UNIFORM
    depth = len(uniform) if uniform.all() else int(np.argmin(uniform))
    ends = shares[depth : depth + 2 + round(SKEW * rows.shape[1])]
    if depth < max(1, LEAST * len(rows)) or not ends or min(ends) > LEFT:
        return 0, level
    return depth, levels[depth - 1]


def _exactly(rows, depth, level, length):
    """The depth in the picture's own pixels, of `length` lines in the small copy."""
    scale = rows.shape[0] / length
    first, last = int((depth - 1) * scale), min(len(rows), int((depth + 2) * scale) + 1)
    strip = _reduced(rows[first:last], last - first, min(SIDE, rows.shape[1]))
    own = (np.abs(strip.astype(np.float32) - level) <= LEVEL).mean(1)
    ended = np.flatnonzero(own < UNIFORM)
    return first + (int(ended[0]) if ended.size else last - first)


def _turned(pixels, side):
    """With the side, counted from the top clockwise, as the first rows."""
    return (
        pixels,
        np.swapaxes(pixels, 0, 1)[::-1],
        pixels[::-1],
        np.swapaxes(pixels, 0, 1),
    )[side]


def _reduced(pixels, height, width):
    """(height, width) uint8 grey, alpha over white."""
    small = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA)
    small = opaque(small)
    return small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
