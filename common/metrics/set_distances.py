"""How far apart the features of two sets of pictures are: Fréchet and kernel distances.

On the features of Inception-v3 they are called FID and KID.
"""

import functools

import numpy as np

SUBSETS, SUBSET, SEED = 50, 1000, 0  # of the kernel distance
_ROWS = 1024  # features worked on at a time


class Moments:
    """The mean and the covariance (n - 1 below the line) of features, (N, D), block by block."""

    def __init__(self, features):
        self.count, dimensions = features.shape
        # About a vector near the mean, so that little is lost in the difference of squares.
        about = features[:_ROWS].mean(0, dtype=np.float64)
        total, outer = np.zeros(dimensions), np.zeros((dimensions, dimensions))
        for start in range(0, self.count, _ROWS):
            off = features[start : start + _ROWS] - about
            total += off.sum(0)
            outer += off.T @ off
        self.mean = about + total / self.count
        self.covariance = (outer - np.outer(total, total) / self.count) / (self.count - 1)

    @functools.cached_property
    def root(self):
        """The symmetric square root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(one, other):
    """The squared Fréchet distance of the normal distributions that have two `Moments`.

    Heusel et al. 2017: |m - n|² + tr(C + D - 2 (C D)^(1/2)). C D has the eigenvalues of
    C^(1/2) D C^(1/2), which is symmetric.
    """
    off = one.mean - other.mean
    values = np.linalg.eigvalsh(one.root @ other.covariance @ one.root)
    return float(
        off @ off
        + np.trace(one.covariance)
        + np.trace(other.covariance)
        - 2 * np.sqrt(np.maximum(values, 0)).sum()
    )


def kernel_distance(features, true, subsets=SUBSETS, size=SUBSET, seed=SEED):
    """(mean, standard deviation, pictures) over subsets of the squared kernel distance of pairs.

    Bińkowski et al. 2018, with the kernel (x . y / D + 1)³ of (N, D) features: `mmd` of `subsets`
    draws, without replacement, of `size` pictures or, if that is fewer, of half of them.
    """
    size = min(size, len(features) // 2)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        drawn = np.sort(random.choice(len(features), size, replace=False))
        found.append(mmd(features[drawn], true[drawn]))
    return float(np.mean(found)), float(np.std(found)), size


def mmd(one, other):
    """The squared maximum mean discrepancy of two (N, D), row beside row a pair; unbiased.

    Gretton et al. 2012, equation 4: over all i != j the mean of
    k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i). A prediction and its own true picture
    depend on each other, and unlike the sum over all x and y this leaves their kernel out.
    """

    def between(x, y):
        kernel = (x @ y.T / x.shape[1] + 1) ** 3
        return kernel.sum(dtype=np.float64) - np.trace(kernel, dtype=np.float64)

    count = len(one)
    total = between(one, one) + between(other, other) - 2 * between(one, other)
    return float(total / (count * (count - 1)))
