"""PSNR and SSIM of ab by the range of ab within a batch, not by that of 8-bit Lab.

This is what libraries compute whose `data_range` is left out, torchmetrics among them. The figures
depend on which pictures share a batch, and compare only with others of the same batches.
"""

import math

import numpy as np

from common.metrics.psnr import decibels
from common.metrics.ssim import ssim_ab

BATCH = 64  # pictures, in stored order; the last batch has what is left


def psnr_ab_batch(ab: np.ndarray, ab_predicted: np.ndarray) -> float:
    """PSNR on ab of a batch, in dB: its error over all pictures, its peak their range of true ab.

    ab, ab_predicted: (N, H, W, 2) in Lab units. NaN for a batch of a single colour.
    """
    peak, error = np.ptp(ab), np.square(ab_predicted - ab).mean(dtype=np.float64)
    return decibels(peak, error) if peak else math.nan


def ssim_ab_batch(ab: np.ndarray, ab_predicted: np.ndarray) -> float:
    """SSIM on ab, the mean over a batch: its range the larger of true and predicted ab's.

    ab, ab_predicted: (N, H, W, 2) in Lab units. NaN for a batch of a single colour.
    """
    peak = max(np.ptp(ab), np.ptp(ab_predicted))
    return float(ssim_ab(ab, ab_predicted, data_range=peak).mean()) if peak else math.nan
