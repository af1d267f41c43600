"""Mean squared error."""

import numpy as np

from common.metrics.picture import Picture, per_picture


@per_picture
def mse_ab(ab: Picture, ab_predicted: Picture, /) -> float:
    """Mean squared error of ab in squared Lab units, over pixels and both channels."""
    return mean_square(ab, ab_predicted)


def mean_square(true: Picture, predicted: Picture) -> float:
    """The mean squared difference of two pictures over pixels and channels."""
    return predicted.once(_mean_square, true)


def _mean_square(predicted, true):
    return np.mean([np.square(off).mean(dtype=np.float64) for off in predicted.off(true)])
