"""Arrays of pixels: depth, order of channels, alpha, orientation."""

import dataclasses

import cv2
import numpy as np
from PIL import Image


@dataclasses.dataclass
class Samples:
    """What a decoder made of a file.

    colour: a Pillow image of 8 bits, or uint8 or uint16, of a colour space: "L" (H, W), "RGB"
    (H, W, 3), "CMYK" (H, W, 4), 0 being no ink, or "LAB" (H, W, 3) uint16, encoded as in ICC
    profiles of version 4. alpha: (H, W) or None, not multiplied into the colours. extra: (H, W, N)
    or None, samples that are neither, of the file's depth. icc: a profile that Pillow does not
    find.
    """

    colour: Image.Image | np.ndarray
    space: str
    alpha: np.ndarray | None = None
    extra: np.ndarray | None = None
    icc: bytes | None = None

    @property
    def depth(self) -> int:
        """8 or 16: that of the colours, but for Lab, which is always deep."""
        deep = isinstance(self.colour, np.ndarray) and self.colour.dtype == np.uint16
        return 16 if deep and self.space != "LAB" else 8


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


def whole_range(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples of so many bits -> over the whole range of uint8, or of uint16 above 8 bits."""
    if bits in (8, 16):
        return samples
    full = np.iinfo(np.uint8 if bits < 8 else np.uint16)
    levels = np.round(np.linspace(0, full.max, 2**bits)).astype(full.dtype)
    return levels[samples.astype(full.dtype, copy=False)]


def unmultiplied(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (H, W, C) that are stored as colour times alpha (H, W) -> the colours."""
    full = np.iinfo(colour.dtype).max
    share = np.maximum(alpha, 1).astype(np.float32)[..., None] / full
    return np.round(np.minimum(colour / share, full)).astype(colour.dtype)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF's orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
