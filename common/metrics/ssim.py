"""Structural similarity in float32 by OpenCV: scikit-image's figures in a quarter of the time.

It is finite for constant pictures, since its constants are in every denominator. The `moments` of a
picture, which depend on it alone, are kept for all its comparisons.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from common.metrics.picture import Picture, per_picture

WINDOW = 11  # pixels
_TRUNCATE = 3.5  # standard deviations at which the Gaussian ends, as in scikit-image


@per_picture
def ssim_rgb(
    rgb: Picture,
    rgb_predicted: Picture,
    /,
    *,
    data_range: float = 255,
    gaussian_weights: bool = True,
    sigma: float = 1.5,
    win_size: int = WINDOW,
    use_sample_covariance: bool = False,
    K1: float = 0.01,
    K2: float = 0.03,
) -> float:
    """Structural similarity on 8-bit RGB, the mean over channels and whole windows.

    The defaults are those of Wang et al. 2004; scikit-image's own are a uniform window of 7 and
    the sample covariance. Pictures smaller than the window raise ValueError.
    """
    return _ssim(
        rgb,
        rgb_predicted,
        data_range=data_range,
        gaussian_weights=gaussian_weights,
        sigma=sigma,
        win_size=win_size,
        use_sample_covariance=use_sample_covariance,
        K1=K1,
        K2=K2,
    )


@per_picture
def ssim_ab(
    ab: Picture,
    ab_predicted: Picture,
    /,
    *,
    data_range: float = 255,
    gaussian_weights: bool = True,
    sigma: float = 1.5,
    win_size: int = WINDOW,
    use_sample_covariance: bool = False,
    K1: float = 0.01,
    K2: float = 0.03,
) -> float:
    """Structural similarity on ab, the mean over channels and whole windows.

    As `ssim_rgb`; the range is that of 8-bit Lab, -128 to 127. ab has signs, so that a wrong hue
    makes it negative, and grey for a colour brings it close to 0.
    """
    return _ssim(
        ab,
        ab_predicted,
        data_range=data_range,
        gaussian_weights=gaussian_weights,
        sigma=sigma,
        win_size=win_size,
        use_sample_covariance=use_sample_covariance,
        K1=K1,
        K2=K2,
    )


def _ssim(true: Picture, predicted: Picture, **switches):
    if min(true.array.shape[:2]) < switches["win_size"]:
        raise ValueError(
            f"SSIM needs pictures of at least {switches['win_size']} pixels a side, "
            f"the window. Received: {true.array.shape}."
        )
    window = switches["gaussian_weights"], switches["sigma"], switches["win_size"]
    return mean_ssim(
        true.once(_of_picture, *window), predicted.once(_of_picture, *window), **switches
    )


def _of_picture(picture, *window):
    return moments(picture.planes, *window)


class Moments(NamedTuple):
    """One channel: its level, and (H, W) its values less the level, their means and variances."""

    level: np.float32
    values: np.ndarray
    means: np.ndarray
    variances: np.ndarray


def moments(
    planes: list[np.ndarray], gaussian_weights: bool, sigma: float, win_size: int
) -> list[Moments]:
    """The `Moments` of a picture's channels, (H, W) float32 each, under a window."""
    window = _window(gaussian_weights, sigma, win_size)
    return [_moments(plane, window) for plane in planes]


def _moments(plane, window):
    # Variances do not depend on the level, and float32 is more precise for values near zero.
    level = np.float32(cv2.mean(plane)[0])
    values = plane - level
    if not values.any():  # a baseline's ab is one colour
        return Moments(level, values, values, values)
    means = window(values)
    return Moments(level, values, means, window(values * values) - means * means)


def mean_ssim(
    true: list[Moments],
    predicted: list[Moments],
    *,
    data_range: float,
    gaussian_weights: bool,
    sigma: float,
    win_size: int,
    use_sample_covariance: bool,
    K1: float,
    K2: float,
) -> float:
    """The mean over whole windows and channels of two pictures, a float, from their `moments`.

    Switches, borders and figures are those of `skimage.metrics.structural_similarity` with
    channel_axis=-1. The picture has at least `win_size` pixels a side, an odd number; both
    moments are under the same window.
    """
    window = _window(gaussian_weights, sigma, win_size)
    norm = win_size**2 / (win_size**2 - 1) if use_sample_covariance else 1.0
    constants = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    pad = (win_size - 1) // 2
    height, width = true[0].values.shape
    inner = (slice(pad, height - pad), slice(pad, width - pad))
    # Channel by channel, so that intermediate results stay in the cache.
    return float(
        np.mean(
            [
                _of_plane(x, y, window, norm, *constants)[inner].mean(dtype=np.float64)
                for x, y in zip(true, predicted, strict=True)
            ]
        )
    )


def _of_plane(x, y, window, norm, c1, c2):
    """The SSIM around each pixel of a channel, (H, W) float32."""
    covariance = 0
    if x.values.any() and y.values.any():
        covariance = norm * (window(x.values * y.values) - x.means * y.means)
    variances = norm * (x.variances + y.variances)
    mean_x, mean_y = x.means + x.level, y.means + y.level
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))


def _window(gaussian_weights, sigma, win_size) -> Callable[[np.ndarray], np.ndarray]:
    """A function that computes the weighted mean around each pixel of a plane."""
    if not gaussian_weights:
        return lambda plane: cv2.blur(plane, (win_size, win_size), borderType=cv2.BORDER_REFLECT)
    radius = int(_TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    return lambda plane: cv2.sepFilter2D(plane, -1, weights, weights, borderType=cv2.BORDER_REFLECT)
