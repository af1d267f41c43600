"""How far the lightness of a result is off the true one."""

import cv2
import numpy as np

from common.metrics.picture import Picture, per_picture


@per_picture
def l_drift(lab: Picture, lab_predicted: Picture, /, *, largest: bool = False) -> float:
    """How far L* is off the true one, as a mean over pixels: |L* of the 8-bit result - true L*|.

    For a prediction with the true L* it comes only from clipping to the gamut and from rounding,
    which adds 0.3 at most. `largest` returns the maximum over pixels instead of the mean.
    """
    off = cv2.absdiff(lab_predicted.planes[0], lab.planes[0])
    return off.max() if largest else off.mean(dtype=np.float64)
