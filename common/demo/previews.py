"""A photo as the page shows it: small enough for any browser, upright, in sRGB."""

from pathlib import Path

import cv2
import numpy as np

from common import files, photos

SIDE = 1600  # pixels of the longer one
# The page shows colours, so that JPEG's usual half resolution of colour will not do.
_JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 92),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)


def small(pixels: np.ndarray) -> np.ndarray:
    """A picture of any kind -> uint8, (H, W) or (H, W, 3), at most `SIDE` a side: a copy."""
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return photos.opaque(resized.copy() if resized is pixels else resized)


def write(pixels: np.ndarray, path: Path) -> Path:
    """Write what `small` returned as a JPEG; return its path."""
    done, encoded = cv2.imencode(".jpg", pixels[..., ::-1] if pixels.ndim == 3 else pixels, _JPEG)
    if not done:
        raise MemoryError(f"a JPEG of shape {pixels.shape} was not encoded")
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path
