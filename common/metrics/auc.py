"""The area under the curve of ab errors, Zhang, Isola, Efros 2016."""

import math

import numpy as np

from common.color import bins
from common.metrics.picture import Picture, per_picture


@per_picture
def auc_ab(
    ab: Picture, ab_predicted: Picture, /, *, top: float = 150, weights: np.ndarray | None = None
) -> float:
    """Area under the share of pixels whose ab is off by at most 0 to `top` Lab units, in %.

    Zhang, Isola, Efros 2016, table 1, "AuC": the distance is Euclidean, the area exact, not a sum
    over thresholds. With `weights` (313,), as `bins.balance` returns them, a pixel counts by how
    rare its true colour is, "rebal"; NaN where no pixel has a weight.
    """
    # The share within t, integrated over t from 0 to `top`, is the mean of max(top - error, 0).
    within = 1 - np.minimum(ab_predicted.once(_distance, ab), top) / top
    if weights is None:
        return 100 * within.mean(dtype=np.float64)
    weight = np.asarray(weights)[ab.once(_bins)]
    total = weight.sum(dtype=np.float64)
    return 100 * (weight * within).sum(dtype=np.float64) / total if total else math.nan


def _distance(predicted, true):
    a, b = predicted.off(true)
    return np.sqrt(a * a + b * b)


def _bins(picture):
    return bins.nearest(picture.array)


@per_picture
def rarity(ab: Picture, /, *, weights: np.ndarray) -> float:
    """The mean weight of a picture's colours, by which the balanced AuC is averaged."""
    return np.asarray(weights)[ab.once(_bins)].mean(dtype=np.float64)
