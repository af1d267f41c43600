"""Joint upsampling: ab at the network's size, brought to full size along the edges of L*.

Around each position of the small map ab is taken for a line over L*, `ab = slope L* + offset`. The
lines, rather than ab, are enlarged, and followed by the L* of each full-size pixel: where L* has an
edge, so has ab. It is the linear model of the guided filter (He, Sun, Tang 2010), but each line
goes through its own position's ab, so that nothing is blurred. benchmarks/README.md compares them.
"""

import cv2
import numpy as np

_SIGMA = 0.8  # positions: of the Gaussian window in which a line is fitted
_FLAT = 10.0  # the variance of L* below which its differences are taken for texture, not edges


def lines(ab: np.ndarray, l: np.ndarray) -> np.ndarray:
    """(h, w, 2) and L* (h, w), float32 -> (h, w, 4): slopes of a* and b* over L*, and offsets."""
    mean = _around(l)
    variance = _around(l * l) - mean * mean
    covariance = _around(ab * l[..., None]) - _around(ab) * mean[..., None]
    slope = covariance / (variance + _FLAT)[..., None]
    return np.concatenate([slope, ab - slope * l[..., None]], axis=2)


def level(ab: np.ndarray) -> np.ndarray:
    """(h, w, 2) -> lines without a slope, (h, w, 4): enlarged bilinearly, whatever L* is."""
    return np.concatenate([np.zeros_like(ab), ab], axis=2)


def along(enlarged: np.ndarray, l: np.ndarray) -> np.ndarray:
    """Enlarged lines (H, W, 4) and L* at full size (H, W) -> ab (H, W, 2)."""
    return enlarged[..., :2] * l[..., None] + enlarged[..., 2:]


def _around(values):
    """The weighted mean around each position."""
    return cv2.GaussianBlur(values, (0, 0), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
