"""Keras's "accuracy" of ab, which reports plot."""

import numpy as np

from common.metrics.picture import Picture, per_picture


@per_picture
def argmax_ab(ab: Picture, ab_predicted: Picture, /) -> float:
    """Share of pixels where the larger of a*, b* is the same one in both: Keras's "accuracy" of ab.

    It does not measure how accurate colours are: noise scores one half, and scaling a prediction
    changes nothing. Reports that trained in Keras plot it, under the name accuracy.
    """
    # Where both are equal, argmax takes the first.
    (a, b), (a_predicted, b_predicted) = ab.planes, ab_predicted.planes
    return np.mean((b > a) == (b_predicted > a_predicted))
