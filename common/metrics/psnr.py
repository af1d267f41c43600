"""Peak signal-to-noise ratio, in dB; infinite for equal pictures."""

import math

from common.metrics.mse import mean_square
from common.metrics.picture import Picture, per_picture


@per_picture
def psnr_rgb(rgb: Picture, rgb_predicted: Picture, /, *, data_range: float = 255) -> float:
    """Peak signal-to-noise ratio on 8-bit RGB, in dB; the error is over pixels and channels."""
    return _psnr(rgb, rgb_predicted, data_range)


@per_picture
def psnr_ab(ab: Picture, ab_predicted: Picture, /, *, data_range: float = 255) -> float:
    """Peak signal-to-noise ratio on ab, in dB; the peak is that of 8-bit Lab, -128 to 127."""
    return _psnr(ab, ab_predicted, data_range)


def _psnr(true, predicted, data_range):
    return decibels(data_range, mean_square(true, predicted))


def decibels(peak: float, error: float) -> float:
    """The PSNR of a mean squared error; infinite without one."""
    return 10 * math.log10(peak**2 / error) if error else math.inf
