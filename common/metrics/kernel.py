"""The kernel distance between the features of two sets of pictures: KID on Inception-v3's."""

import numpy as np

from common.metrics.frechet import Features

SUBSETS, SUBSET, SEED = 50, 1000, 0


def kernel_distance(
    features: Features | np.ndarray,
    true: Features | np.ndarray,
    subsets: int = SUBSETS,
    size: int = SUBSET,
    seed: int = SEED,
) -> tuple[float, float, int]:
    """(mean, standard deviation, pictures) over subsets of the squared kernel distance of pairs.

    Bińkowski et al. 2018, with the kernel (x . y / D + 1)³ of (N, D) features: `mmd` of `subsets`
    draws, without replacement, of `size` pictures or, if that is fewer, of half of them.
    """
    size = min(size, len(features) // 2)
    random = np.random.default_rng(seed)
    distances = []
    for _ in range(subsets):
        drawn = np.sort(random.choice(len(features), size, replace=False))
        distances.append(mmd(features[drawn], true[drawn]))
    return float(np.mean(distances)), float(np.std(distances)), size


def mmd(one: np.ndarray, other: np.ndarray) -> float:
    """The squared maximum mean discrepancy of two (N, D) of paired rows; unbiased.

    Gretton et al. 2012, equation 4: over all i != j the mean of
    k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i). A prediction and its own true picture
    depend on each other; unlike the sum over all x and y this leaves their kernel out.
    """

    def between(x, y):
        kernel = (x @ y.T / x.shape[1] + 1) ** 3
        return kernel.sum(dtype=np.float64) - np.trace(kernel, dtype=np.float64)

    count = len(one)
    total = between(one, one) + between(other, other) - 2 * between(one, other)
    return float(total / (count * (count - 1)))
