"""Fréchet and kernel distances against closed forms, SciPy's matrix root and plain loops."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from common.metrics.frechet import Moments, frechet_distance
from common.metrics.kernel import kernel_distance, mmd


def normal(mean, covariance, count=60, seed=0):
    """(count, D) numbers whose mean and covariance are exactly those given."""
    rows = np.random.default_rng(seed).normal(size=(count, len(mean)))
    rows -= rows.mean(0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T)).T)
    return white @ np.linalg.cholesky(covariance).T + mean


def distance(one, other):
    return frechet_distance(Moments(one), Moments(other))


# --- Fréchet --------------------------------------------------------------------------------------


def test_moments_are_numpys_whatever_the_blocks():
    features = np.random.default_rng(0).normal(1000, 0.1, (50, 4)).astype(np.float32)
    for rows in (7, 50, 1024):
        result = Moments(features, block=rows)
        assert result.mean == pytest.approx(features.mean(0, dtype=np.float64), rel=1e-12)
        assert result.covariance == pytest.approx(np.cov(np.float64(features).T), rel=1e-9)
    assert result.root @ result.root == pytest.approx(result.covariance, rel=1e-9)


def test_frechet_of_independent_normals_is_the_closed_form():
    # |m - n|² and, where covariances are diagonal, the squared differences of the deviations
    one = normal([1, 2, 3], np.diag([1.0, 4, 9]))
    other = normal([1, 4, 0], np.diag([4.0, 4, 1]), count=90, seed=1)
    assert distance(one, other) == pytest.approx((4 + 9) + (1 + 0 + 4), rel=1e-9)
    assert distance(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_of_any_normals_is_that_of_scipys_root():
    random = np.random.default_rng(2)
    one, other = (random.normal(size=(40, 6)) @ random.normal(size=(6, 6)) for _ in range(2))
    c, d = np.cov(one.T), np.cov(other.T)
    expected = np.sum((one.mean(0) - other.mean(0)) ** 2) + np.trace(
        c + d - 2 * linalg.sqrtm(c @ d).real
    )
    assert distance(one, other) == pytest.approx(expected, rel=1e-8)
    assert distance(other, one) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_fewer_pictures_than_dimensions():
    random = np.random.default_rng(3)
    one, other = random.normal(size=(12, 40)), random.normal(0.3, 2, size=(15, 40))
    # tr (C D)^(1/2) is the sum of the singular values of X Y^T, of the centred rows
    x, y = ((rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (one, other))
    expected = (
        np.sum((one.mean(0) - other.mean(0)) ** 2)
        + (x**2).sum()
        + (y**2).sum()
        - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()
    )
    # the root of an eigenvalue that should be 0 and is 1e-15 of the largest
    assert distance(one, other) == pytest.approx(expected, rel=1e-5)


# --- kernel ---------------------------------------------------------------------------------------


def by_loops(one, other):
    def kernel(x, y):
        return (sum(x * y) / len(x) + 1) ** 3

    terms = [
        kernel(one[i], one[j])
        + kernel(other[i], other[j])
        - kernel(one[i], other[j])
        - kernel(one[j], other[i])
        for i, j in itertools.permutations(range(len(one)), 2)
    ]
    return np.mean(terms)


def test_the_kernel_distance_is_that_of_plain_loops():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(9, 5)), random.normal(0.5, 1.5, size=(9, 5))
    assert mmd(one, other) == pytest.approx(by_loops(one, other), rel=1e-10)
    assert mmd(np.float32(one), np.float32(other)) == pytest.approx(by_loops(one, other), rel=1e-4)
    assert mmd(one, one) == pytest.approx(0, abs=1e-12)


def test_the_kernel_distance_is_unbiased_though_pictures_come_in_pairs():
    random = np.random.default_rng(1)
    result, biased = [], []
    for _ in range(600):
        shared = random.normal(size=(8, 4))
        one, other = (shared + 0.3 * random.normal(size=(8, 4)) for _ in range(2))
        result.append(mmd(one, other))
        own = sum(((x @ y) / 4 + 1) ** 3 for x, y in zip(one, other, strict=True))
        between = ((one @ other.T / 4 + 1) ** 3).sum()
        biased.append(result[-1] + 2 * (between - own) / 56 - 2 * between / 64)
    error = np.std(result) / np.sqrt(len(result))
    assert abs(np.mean(result)) < 3 * error, "both are of one distribution"
    assert np.mean(biased) < -10 * error, "with their own pairs the sum would be below 0"


def test_subsets_are_seeded_and_of_half_the_pictures_at_most():
    random = np.random.default_rng(4)
    one, other = random.normal(size=(21, 5)), random.normal(0.5, 1, size=(21, 5))
    mean, deviation, size = kernel_distance(one, other)
    assert size == 10 and deviation > 0
    assert (mean, deviation, size) == kernel_distance(one, other)
    assert mean != kernel_distance(one, other, seed=1)[0]
    assert mean == pytest.approx(by_loops(one, other), abs=2 * deviation)
    few = [kernel_distance(one, other, subsets=1, size=4, seed=seed) for seed in range(40)]
    assert {size for _, _, size in few} == {4} and {deviation for _, deviation, _ in few} == {0}
    everything = [
        mmd(one[list(at)], other[list(at)]) for at in itertools.combinations(range(21), 4)
    ]
    assert all(np.isclose(mean, everything).any() for mean, _, _ in few)
