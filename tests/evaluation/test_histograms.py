"""Histograms of ab against NumPy's, and their distance by its definition."""

import numpy as np
import pytest

from common.evaluation import histograms

AB = np.random.default_rng(0).normal((5, -20), (15, 30), (40, 30, 2)).astype(np.float32)


def test_counts_are_numpys():
    counts = histograms.count(AB)
    edges = np.linspace(-111, 111, histograms.BINS + 1)
    for channel in range(2):
        expected, _ = np.histogram(AB[..., channel].clip(-110, 110), edges)
        np.testing.assert_array_equal(counts[channel], expected)


def test_what_lies_beyond_is_counted_at_the_ends_and_grey_in_the_middle():
    ab = np.array([[-500, 500], [-111, 111], [0.9, -0.9]])
    counts = histograms.count(ab)
    assert counts[0, 0] == counts[1, -1] == 2
    assert counts[0, histograms.BINS // 2] == counts[1, histograms.BINS // 2] == 1
    assert histograms.CENTRES[histograms.BINS // 2] == 0


def test_counts_add_up():
    np.testing.assert_array_equal(
        histograms.count(AB), histograms.count(AB[:7]) + histograms.count(AB[7:])
    )


def test_the_distance_is_that_of_the_pixels_in_order():
    a, b = histograms.count(AB)
    expected = np.abs(np.repeat(histograms.CENTRES, a) - np.repeat(histograms.CENTRES, b)).mean()
    assert histograms.distance(a, b) == pytest.approx(expected)
    assert histograms.distance(a, 3 * a) == pytest.approx(0, abs=1e-9)
    assert histograms.distance(np.roll(a, 4), a) == pytest.approx(8)


def test_the_deviation_is_that_of_the_values_but_for_the_bins():
    for channel, counts in enumerate(histograms.count(AB)):
        assert histograms.deviation(counts) == pytest.approx(
            AB[..., channel].clip(-110, 110).std(), abs=0.1
        )
