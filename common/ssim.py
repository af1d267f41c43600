"""Structural similarity in float32 by OpenCV: scikit-image's figures in a quarter of the time."""

import cv2
import numpy as np

_TRUNCATE = 3.5  # standard deviations at which the Gaussian ends, as in scikit-image


def mean_ssim(true, predicted, *, data_range, gaussian_weights, sigma, win_size,
              use_sample_covariance, K1, K2):
    """The mean over whole windows and channels of (H, W, C) pictures, a float; C is 1 to 4.

    Switches, borders and figures are those of `skimage.metrics.structural_similarity` with
    channel_axis=-1. The picture has at least `win_size` pixels a side, an odd number.
    """
    window = _gaussian(sigma) if gaussian_weights else _uniform(win_size)
    norm = win_size**2 / (win_size**2 - 1) if use_sample_covariance else 1.0
    constants = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    pad = (win_size - 1) // 2
    inner = (slice(pad, true.shape[0] - pad), slice(pad, true.shape[1] - pad))
    # Channel by channel, so that the steps between stay in the cache.
    planes = zip(cv2.split(np.float32(true)), cv2.split(np.float32(predicted)), strict=True)
    return float(np.mean([_of_plane(x, y, window, norm, *constants)[inner].mean(dtype=np.float64)
                          for x, y in planes]))


def _of_plane(x, y, window, norm, c1, c2):
    """The SSIM around each pixel of a channel, (H, W) float32."""
    # Variances do not change with the level, and their float32 is the better the smaller it is.
    level = (cv2.mean(x)[0] + cv2.mean(y)[0]) / 2
    x, y = x - np.float32(level), y - np.float32(level)
    mean_x, mean_y = window(x), window(y)
    # Both variances are only wanted as their sum, so that one blur gives it.
    variances = norm * (window(x * x + y * y) - (mean_x * mean_x + mean_y * mean_y))
    covariance = norm * (window(x * y) - mean_x * mean_y)
    mean_x, mean_y = mean_x + np.float32(level), mean_y + np.float32(level)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))


def _gaussian(sigma):
    radius = int(_TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    return lambda picture: cv2.sepFilter2D(
        picture, -1, weights, weights, borderType=cv2.BORDER_REFLECT)


def _uniform(side):
    return lambda picture: cv2.blur(
        picture, (side, side), borderType=cv2.BORDER_REFLECT)
