"""Intervals against SciPy's bootstrap and the normal distribution, comparisons by hand."""

import numpy as np
import pytest
from scipy import stats

from common import compare


def test_intervals_are_scipys():
    values = np.random.default_rng(0).gamma(2.0, 3.0, (80, 2))
    found = compare.Bootstrap(80).intervals(values)
    for column, (low, high) in zip(values.T, found, strict=True):
        expected = stats.bootstrap((column,), np.mean, n_resamples=20000, method="percentile",
                                   rng=1).confidence_interval
        # 2,000 draws give an end to about 4 % of the interval's width
        width = expected.high - expected.low
        assert low == pytest.approx(expected.low, abs=0.06 * width)
        assert high == pytest.approx(expected.high, abs=0.06 * width)


def test_intervals_of_many_pictures_are_the_normal_ones():
    values = np.random.default_rng(1).normal(5, 2, (4000, 1))
    (low, high), = compare.Bootstrap(4000).intervals(values)
    error = values.std(ddof=1) / np.sqrt(4000)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)
    (low, high), = compare.Bootstrap(4000, level=0.5).intervals(values)
    assert high - low == pytest.approx(2 * 0.674 * error, rel=0.1)


def test_intervals_are_seeded_and_the_pictures_the_same_for_every_column():
    values = np.random.default_rng(2).normal(size=(30, 1))
    one = compare.Bootstrap(30).intervals(np.hstack([values, values, values + 1]))
    assert one[0] == one[1] and one[2] == pytest.approx(np.add(one[0], 1))
    assert one == compare.Bootstrap(30).intervals(np.hstack([values, values, values + 1]))
    assert one != compare.Bootstrap(30, seed=1).intervals(np.hstack([values, values, values + 1]))


def test_what_is_not_finite_is_left_out():
    values = np.array([[1.0, np.inf, np.nan], [2.0, 1.0, np.nan], [np.nan, 1.0, 5.0]])
    found = compare.Bootstrap(3).intervals(values)
    assert found == [[1.0, 2.0], [1.0, 1.0], None]


def test_weighted_means_are_drawn_as_such():
    random = np.random.default_rng(3)
    values, shares = random.normal(size=(50, 1)), random.uniform(0, 4, (50, 1))
    (low, high), = compare.Bootstrap(50).intervals(values, shares)

    def mean(values, shares, axis=-1):
        return (values * shares).sum(axis) / shares.sum(axis)

    expected = stats.bootstrap((values[:, 0], shares[:, 0]), mean, paired=True, n_resamples=20000,
                               method="percentile", rng=1).confidence_interval
    width = expected.high - expected.low
    assert (low, high) == pytest.approx(tuple(expected), abs=0.06 * width)
    # a picture without weight counts no more than one that is not there
    shares[:] = 0
    shares[7] = 1
    assert compare.Bootstrap(50).intervals(values, shares) == [None]


def test_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(4).normal(size=(40, 2))
    whole = compare.Bootstrap(40).intervals(values)
    monkeypatch.setattr(compare, "_BLOCK", 40 * 7)
    np.testing.assert_allclose(compare.Bootstrap(40).intervals(values), whole, rtol=1e-12)
