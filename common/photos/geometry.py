"""The one geometry of pictures and networks: `fit` to a network's square, `unfit` back."""

from collections.abc import Iterable

import cv2
import numpy as np

CUTS = ("squash", "centre", "letterbox")


def fit(
    pixels: np.ndarray | Iterable[np.ndarray],
    size: int,
    cut: str,
    pad: float | None = None,
    shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """Bring a picture to a network's size by area averaging: (H, W[, C]) -> (size, size[, C]).

    uint8, uint16 or float32, dtype kept. cut: "squash" takes the whole picture and changes its
    aspect ratio, "centre" takes the square in its middle, "letterbox" takes the whole picture and
    fills both sides with `pad`, white by default (for floats it must be given). With shape=(H, W),
    `pixels` is an iterator of bands of rows, float32, from top to bottom; not for "centre".
    """
    if isinstance(pixels, np.ndarray):
        whole = pixels
        if cut == "centre":
            side = min(whole.shape[:2])
            top, left = ((length - side) // 2 for length in whole.shape[:2])
            whole = whole[top : top + side, left : left + side]
        top, left, height, width = frame(whole.shape, size, cut)
    else:
        if shape is None or cut == "centre":
            raise ValueError(f"fit() of bands needs shape=(H, W) and another cut than {cut!r}.")
        top, left, height, width = frame(shape, size, cut)
        whole = np.concatenate([_average(band, len(band), width) for band in pixels])
    inner = _average(whole, height, width)
    if inner.shape[:2] == (size, size):
        return inner
    if pad is None:
        pad = np.iinfo(inner.dtype).max
    result = np.full((size, size, *inner.shape[2:]), pad, inner.dtype)
    result[top : top + height, left : left + width] = inner
    return result


def unfit(
    pixels: np.ndarray,
    shape: tuple[int, int],
    cut: str,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """Bring a network's map back to a picture: (S, S, C) float32 -> (H, W, C), bilinear.

    shape=(H, W); the bars of a letterbox are cut off. rows=(start, stop) returns these rows only,
    with the values of the whole up to the rounding of float32, so that bands join without a seam.
    A "centre" map covers only the middle of a picture and cannot be enlarged to the whole:
    ValueError.
    """
    if cut == "centre":
        raise ValueError('unfit() knows no way back from cut="centre"; fit with "squash".')
    height, width = shape
    start, stop = rows or (0, height)
    top, left, inner_height, inner_width = frame(shape, pixels.shape[0], cut)
    inner = pixels[top : top + inner_height, left : left + inner_width]
    inner = _average(inner, min(inner_height, height), min(inner_width, width))
    last = len(inner) - 1
    y = np.clip((np.arange(start, stop) + 0.5) * len(inner) / height - 0.5, 0, last)
    above = y.astype(int)
    share = (y - above).astype(np.float32)[:, None, None]
    inner = inner[above] * (1 - share) + inner[np.minimum(above + 1, last)] * share
    return _resize(inner, stop - start, width, cv2.INTER_LINEAR)


def frame(shape: tuple[int, ...], size: int, cut: str) -> tuple[int, int, int, int]:
    """Where a picture of shape (H, W, ...) lies in the square: (top, left, height, width)."""
    if cut not in CUTS:
        raise ValueError(f"cut must be one of {', '.join(CUTS)}. Received: {cut!r}.")
    if cut != "letterbox":
        return 0, 0, size, size
    height, width = (max(1, round(size * side / max(shape[:2]))) for side in shape[:2])
    return (size - height) // 2, (size - width) // 2, height, width


def _average(pixels, height, width):
    if height <= pixels.shape[0] and width <= pixels.shape[1]:
        return _resize(pixels, height, width, cv2.INTER_AREA)
    # OpenCV averages in neither direction if one of them grows, so each is resized by itself.
    for size in ((pixels.shape[0], width), (height, width)):
        smaller = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
        pixels = _resize(pixels, *size, cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return pixels


def _resize(pixels, height, width, method):
    pixels = np.ascontiguousarray(pixels)
    resized = cv2.resize(pixels, (width, height), interpolation=method)
    return resized.reshape(height, width, *pixels.shape[2:])
