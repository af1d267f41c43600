"""Arrays of pixels: depth, order of channels, alpha, orientation."""

import cv2
import numpy as np
from PIL import Image


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded."""
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def sixteen_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 -> uint16 over the whole range."""
    return pixels.astype(np.uint16) * 257


def from_pillow(image: Image.Image) -> np.ndarray:
    """A Pillow image of 8 bits -> a new array, by bands: at once, Pillow would hold it thrice."""
    width, height = image.size
    shape = (height, width) if image.mode == "L" else (height, width, len(image.getbands()))
    result = np.empty(shape, np.uint8)
    rows = max(1, (1 << 20) // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        result[top : top + rows] = np.asarray(band)
    return result


def from_opencv(pixels: np.ndarray | None) -> np.ndarray:
    """What OpenCV decoded -> grey, RGB or RGBA; ValueError where it decoded nothing."""
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[pixels.shape[2]])


def with_alpha(colour: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Grey or RGB, and alpha (H, W) or None -> RGBA, or the colour as it is."""
    if alpha is None:
        return colour
    if colour.ndim == 2:
        colour = np.repeat(colour[..., None], 3, axis=2)
    if colour.dtype != alpha.dtype:
        alpha = sixteen_bit(alpha)
    return np.concatenate([colour, alpha[..., None]], axis=2)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF's orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
