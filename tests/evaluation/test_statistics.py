"""Intervals against a plain bootstrap and the normal distribution, comparisons by hand."""

import numpy as np
import pytest

from common.evaluation import statistics
from common.evaluation.rows import MODEL, Colour, Comparison, Row, Truth


def plain(values, shares=None):
    """The 95 % interval of a (weighted) mean by drawing pictures 20,000 times, one by one."""
    values, shares = np.asarray(values), np.ones(len(values)) if shares is None else shares
    at = np.random.default_rng(99).integers(0, len(values), (20000, len(values)))
    return tuple(np.quantile((values[at] * shares[at]).sum(1) / shares[at].sum(1), (0.025, 0.975)))


def test_intervals_are_those_of_drawing_pictures_one_by_one():
    values = np.random.default_rng(0).gamma(2.0, 3.0, (80, 2))
    intervals = statistics.Bootstrap(80).intervals(values)
    for column, (low, high) in zip(values.T, intervals, strict=True):
        expected = plain(column)
        # 2,000 draws give an end to about 2 % of the interval's width
        assert (low, high) == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))


def test_intervals_of_many_pictures_are_the_normal_ones():
    values = np.random.default_rng(1).normal(5, 2, (4000, 1))
    ((low, high),) = statistics.Bootstrap(4000).intervals(values)
    error = values.std(ddof=1) / np.sqrt(4000)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error
    )
    ((low, high),) = statistics.Bootstrap(4000, level=0.5).intervals(values)
    assert high - low == pytest.approx(2 * 0.674 * error, rel=0.1)


def test_intervals_are_seeded_and_the_pictures_the_same_for_every_column():
    values = np.random.default_rng(2).normal(size=(30, 1))
    one = statistics.Bootstrap(30).intervals(np.hstack([values, values, values + 1]))
    assert one[0] == one[1] and one[2] == pytest.approx(np.add(one[0], 1))
    assert one == statistics.Bootstrap(30).intervals(np.hstack([values, values, values + 1]))
    assert one != statistics.Bootstrap(30, seed=1).intervals(
        np.hstack([values, values, values + 1])
    )


def test_draws_that_are_not_kept_are_the_same_again():
    values = np.random.default_rng(3).normal(size=(50, 2))
    kept, anew = (statistics.Bootstrap(50, 300, block=700, kept=kept) for kept in (15_000, 14_999))
    for _ in range(2):
        assert kept.intervals(values) == anew.intervals(values)
    assert kept._drawn and not anew._drawn


def test_what_is_not_finite_is_left_out():
    values = np.array([[1.0, np.inf, np.nan], [2.0, 1.0, np.nan], [np.nan, 1.0, 5.0]])
    intervals = statistics.Bootstrap(3).intervals(values)
    assert intervals == [(1.0, 2.0), (1.0, 1.0), None]


def test_weighted_means_are_drawn_as_such():
    random = np.random.default_rng(3)
    values, shares = random.normal(size=(50, 1)), random.uniform(0, 4, (50, 1))
    ((low, high),) = statistics.Bootstrap(50).intervals(values, shares)
    expected = plain(values[:, 0], shares[:, 0])
    assert (low, high) == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))
    # a picture without weight counts no more than one that is not there
    shares[:] = 0
    shares[7] = 1
    assert statistics.Bootstrap(50).intervals(values, shares) == [None]


def test_blocks_change_nothing():
    values = np.random.default_rng(4).normal(size=(40, 2))
    whole = statistics.Bootstrap(40).intervals(values)
    parts = statistics.Bootstrap(40, block=40 * 7).intervals(values)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


# --- pairs ----------------------------------------------------------------------------------------


def pairs(against=None, **columns):
    """The pairs of rows whose PSNR, CIEDE2000 and colourfulness are the same values."""
    keys = ("psnr_rgb", "ciede2000", "colourfulness")
    rows = tuple(
        Row(name, MODEL, Colour((0, 0)), dict.fromkeys(keys, values), {}, dict.fromkeys(keys))
        for name, values in columns.items()
    )
    bootstrap = statistics.Bootstrap(len(rows[0].values["psnr_rgb"]))
    return statistics.pairs(rows, Truth({}, {}, {}), bootstrap, against)


def test_a_pair_by_hand():
    (pair,) = pairs(old=[1, 2, "inf", 4, None, "inf"], new=[2, 4, 5, 4, 9, "inf"])
    assert (pair.name, pair.against) == ("new", "old")
    assert pair.metrics.keys() == {"psnr_rgb", "ciede2000"}, "true colourfulness has no better"
    psnr, difference = pair.metrics["psnr_rgb"], pair.metrics["ciede2000"]
    assert psnr.mean == difference.mean == 1 and psnr.n == 3  # +1, +2, 0
    assert (psnr.wins, psnr.ties, psnr.losses) == (2, 2, 1)
    assert (difference.wins, difference.losses) == (1, 2), "lower is better"


def test_a_verdict_needs_an_interval_that_leaves_out_zero():
    base = np.random.default_rng(0).normal(20, 5, 60)  # pictures differ far more than rows do
    small = np.random.default_rng(1).normal(0.3, 0.2, 60)
    none = small - small.mean()
    of = {
        pair.name: pair.metrics
        for pair in pairs(
            against="old",
            old=base.tolist(),
            new=(base + small).tolist(),
            same=(base + none).tolist(),
        )
    }
    assert of["new"]["psnr_rgb"].verdict == "better"
    assert of["new"]["ciede2000"].verdict == "worse"
    assert of["same"]["psnr_rgb"].verdict == of["same"]["ciede2000"].verdict == "undecided"
    # paired: the interval of the differences, not of two independent means
    low, high = of["new"]["psnr_rgb"].interval
    expected = plain(small)
    assert (low, high) == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))


def test_equal_rows_are_undecided_and_all_ties():
    (pair,) = pairs(one=[1, 2, 3], two=[1, 2, 3])
    assert pair.metrics["psnr_rgb"] == Comparison(
        0, (0, 0), 3, wins=0, ties=3, losses=0, verdict="undecided"
    )


def test_all_pairs_or_those_with_one():
    columns = {name: [1, 2] for name in "abcd"}
    assert [pair.name + pair.against for pair in pairs(**columns)] == [
        "ba",
        "ca",
        "cb",
        "da",
        "db",
        "dc",
    ]
    assert [pair.name + pair.against for pair in pairs(against="b", **columns)] == [
        "ab",
        "cb",
        "db",
    ]


def test_pictures_that_one_row_has_not_are_in_no_comparison():
    (pair,) = pairs(old=[None, None, 1], new=[1, 2, None])
    assert pair.metrics["psnr_rgb"] == Comparison(
        None, None, 0, wins=0, ties=0, losses=0, verdict="undecided"
    )
