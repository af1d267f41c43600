"""A prediction as 8-bit RGB, as every metric of RGB receives it."""

import numpy as np

from common.color import lab


def recolour(l: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """L* (..., H, W) or (..., H, W, 1) and ab (..., H, W, 2), Lab units -> (..., H, W, 3) uint8.

    Lab to sRGB, clipped to the gamut channel by channel, rounded to 8 bit. With a picture's own ab
    the result is the picture, bit by bit; with ab = 0 the three channels agree within one step,
    since Lab's white and sRGB's differ in the fifth digit. ValueError for NaN or infinity in ab.
    """
    ab = np.asarray(ab)
    if not np.isfinite(ab).all():
        raise ValueError("recolour() needs finite ab. Received: NaN or infinity.")
    colours = np.empty((*ab.shape[:-1], 3), np.float32)
    colours[..., 0] = l if np.ndim(l) < ab.ndim else l[..., 0]
    colours[..., 1:] = ab
    return np.rint(lab.lab_to_rgb(colours) * 255).astype(np.uint8)
