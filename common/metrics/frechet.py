"""The Fréchet distance between the features of two sets of pictures: FID on Inception-v3's."""

import functools
from typing import Any, Protocol

import numpy as np

_BLOCK = 1024  # features in memory at a time


class Features(Protocol):
    """(N, D) numbers: an array, or an object that reads rows from a file when they are used."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> np.ndarray: ...


class Moments:
    """The mean and the covariance, divided by n - 1, of features (N, D).

    block: rows in memory at a time.
    """

    def __init__(self, features: Features | np.ndarray, block: int = _BLOCK):
        self.count, dimensions = features.shape
        # Relative to a vector near the mean, so that little is lost in the difference of squares.
        about = features[:block].mean(0, dtype=np.float64)
        total, outer = np.zeros(dimensions), np.zeros((dimensions, dimensions))
        for start in range(0, self.count, block):
            off = features[start : start + block] - about
            total += off.sum(0)
            outer += off.T @ off
        self.mean = about + total / self.count
        self.covariance = (outer - np.outer(total, total) / self.count) / (self.count - 1)

    @functools.cached_property
    def root(self) -> np.ndarray:
        """The symmetric square root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(one: Moments, other: Moments) -> float:
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
