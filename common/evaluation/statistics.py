"""Confidence intervals and paired comparisons of evaluation results.

Intervals are by the bootstrap over pictures: how far a mean would move with other pictures of the
same kind. They do not include how far it would move with another training run.
"""

import dataclasses

import numpy as np

from common import metrics
from common.evaluation.rows import Comparison, Delta, Pair, Row, Truth

RESAMPLES, SEED, LEVEL = 2000, 0, 0.95
BLOCK = 1 << 19  # counts in memory at a time
KEPT = 1 << 24  # bytes of draws that are kept; more are drawn anew each time, by the same seed


class Bootstrap:
    """Percentile intervals of means over the same `count` pictures, all from the same draws.

    Pictures are drawn with replacement, as many as there are, `resamples` times. Every column uses
    the same draws, so that two columns of equal values have equal intervals. block: counts
    processed at a time, kept: bytes of draws that stay in memory; both bound the memory and change
    no result.
    """

    def __init__(
        self,
        count: int,
        resamples: int = RESAMPLES,
        seed: int = SEED,
        level: float = LEVEL,
        block: int = BLOCK,
        kept: int = KEPT,
    ):
        self._percentiles = 50 * (1 - level), 50 * (1 + level)
        self._count, self._resamples, self._seed = count, resamples, seed
        self._step = max(1, block // count)
        self._drawn = list(self._draw()) if count * resamples <= kept else None

    def _draw(self):
        """Yield how often each picture was drawn, (some of the resamples, count) uint8.

        The expected number is 1, so that a byte suffices.
        """
        random = np.random.default_rng(self._seed)
        for start in range(0, self._resamples, self._step):
            drawn = np.empty((min(self._step, self._resamples - start), self._count), np.uint8)
            for each in drawn:
                picked = random.integers(0, self._count, self._count)
                each[:] = np.bincount(picked, minlength=self._count)
            yield drawn

    def intervals(
        self, values: np.ndarray, weights: np.ndarray | None = None
    ) -> list[tuple[float, float] | None]:
        """(N, K) floats -> (low, high) of each column's mean, or None.

        Values that are not finite are left out. weights: (N, K), of weighted means. None where
        fewer than two pictures are left to draw from.
        """
        values = np.asarray(values, np.float64)
        used = np.isfinite(values)
        weights = used * (1.0 if weights is None else np.asarray(weights, np.float64))
        weighted = np.where(used, values, 0) * weights
        means = []
        with np.errstate(invalid="ignore"):  # 0 / 0, where only left-out pictures were drawn
            for counts in self._drawn or self._draw():
                drawn = counts.astype(np.float64)
                means.append((drawn @ weighted) / (drawn @ weights))
        intervals = []
        for column, enough in zip(np.concatenate(means).T, (weights > 0).sum(0) > 1, strict=True):
            column = column[np.isfinite(column)]
            intervals.append(
                tuple(np.percentile(column, self._percentiles).tolist()) if enough else None
            )
        return intervals


# --- one row ------------------------------------------------------------------------------------


def with_intervals(measured: Row, truth: Truth, bootstrap: Bootstrap) -> Row:
    """The row with its deltas, and with the intervals of both.

    A figure over all pictures at once has no such interval. If pictures are missing, a delta is
    the difference from those true pictures that the row has.
    """
    keys = _of_pictures(measured)
    ours = [measured.numbers(key) for key in keys]
    differences = [measured.numbers(key) - truth.numbers(key) for key in metrics.OF_TRUTH]
    weights = _weights([*keys, *metrics.OF_TRUTH], truth, len(ours[0]))
    intervals = bootstrap.intervals(np.stack([*ours, *differences], -1), weights)
    deltas = {}
    for key, interval in zip(metrics.OF_TRUTH, intervals[len(keys) :], strict=True):
        mean, true = measured.figures[key].mean, truth.figures[key].mean
        assert mean is not None and true is not None  # every picture has these metrics
        if measured.is_partial:
            true = truth.numbers(key)[np.isfinite(measured.numbers(key))].mean()
        deltas[key] = Delta(float(mean - true), interval)
    figures = _with_intervals(measured.figures, keys, intervals[: len(keys)])
    return dataclasses.replace(measured, figures=figures, deltas=deltas)


def truth_with_intervals(truth: Truth, bootstrap: Bootstrap) -> Truth:
    """The true pictures' figures with their intervals."""
    keys = _of_pictures(truth)
    columns = np.stack([truth.numbers(key) for key in keys], -1)
    intervals = bootstrap.intervals(columns, _weights(keys, truth, len(columns)))
    return dataclasses.replace(truth, figures=_with_intervals(truth.figures, keys, intervals))


def _of_pictures(measured):
    """The metrics whose figure is a mean over pictures; the others are of all pictures at once."""
    return [key for key in measured.figures if key in measured.values]


def _with_intervals(figures, keys, intervals):
    return figures | {
        key: dataclasses.replace(figures[key], interval=interval)
        for key, interval in zip(keys, intervals, strict=True)
    }


def _weights(keys, truth, count):
    """(count, K): how much each picture counts in the mean of each metric."""
    ones = np.ones(count)
    columns = [truth.numbers("rarity") if metrics.METRICS[key].by_rarity else ones for key in keys]
    return np.stack(columns, -1)


# --- the best -----------------------------------------------------------------------------------


def with_best(measured: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows, each with the keys of the figures and deltas that no other row beats.

    Rows that lack pictures, or that used some of them in training, take no part.
    """
    fair = [row for row in measured if not row.seen and not row.is_partial]
    keys = [key for key in measured[0].figures if metrics.METRICS[key].better != "truth"]
    best = {key: _smallest(fair, lambda row, key=key: _rank(row, key)) for key in keys}
    closest = {
        key: _smallest(fair, lambda row, key=key: abs(row.deltas[key].mean))
        for key in metrics.OF_TRUTH
    }
    return tuple(
        dataclasses.replace(
            row,
            best=tuple(key for key in keys if row.name in best[key]),
            best_deltas=tuple(key for key in closest if row.name in closest[key]),
        )
        for row in measured
    )


def _smallest(rows, rank):
    """The names of the rows whose rank is smallest; those without a rank take no part."""
    ranks = {row.name: rank(row) for row in rows}
    smallest = min((value for value in ranks.values() if value is not None), default=None)
    return {name for name, value in ranks.items() if value is not None and value == smallest}


def _rank(row, key):
    """A number that is smallest in the best row; None where the row has no figure."""
    figure, sign = row.figures[key], {"higher": -1, "lower": 1}[metrics.METRICS[key].better]
    if figure.mean is None:
        return sign * np.inf if figure.infinite else None  # every picture equals its truth
    return sign * figure.mean


# --- pairs --------------------------------------------------------------------------------------


def pairs(
    measured: tuple[Row, ...], truth: Truth, bootstrap: Bootstrap, against: str | None = None
) -> tuple[Pair, ...]:
    """Every two rows over the same pictures, or each row against the one named.

    The metrics are those that have a value a picture and a better and a worse. The verdict is
    "better" or "worse" where the interval of the mean difference leaves out 0, else "undecided".
    """
    if against is None:
        chosen = [(row, other) for at, row in enumerate(measured) for other in measured[:at]]
    else:
        chosen = [
            (row, other)
            for row in measured
            for other in measured
            if other.name == against and row is not other
        ]
    keys = [key for key in _of_pictures(measured[0]) if metrics.METRICS[key].better != "truth"]
    weights = _weights(keys, truth, len(measured[0].values[keys[0]]))
    values = {row.name: np.stack([row.numbers(key) for key in keys], -1) for row in measured}
    return tuple(
        Pair(
            row.name,
            other.name,
            _compare(keys, values[row.name], values[other.name], weights, bootstrap),
        )
        for row, other in chosen
    )


def _compare(keys, ours, theirs, weights, bootstrap):
    """{key: Comparison} of two rows' values, (N, K)."""
    with np.errstate(invalid="ignore"):  # of two infinite values: a tie, and in no mean
        differences = ours - theirs
    intervals = bootstrap.intervals(differences, weights)
    return {
        key: _comparison(
            metrics.METRICS[key].better,
            ours[:, at],
            theirs[:, at],
            differences[:, at],
            weights[:, at],
            intervals[at],
        )
        for at, key in enumerate(keys)
    }


def _comparison(better, ours, theirs, differences, weights, interval):
    finite = np.isfinite(differences) & (weights > 0)
    sign = 1 if better == "higher" else -1
    verdict = "undecided"
    if interval and not interval[0] <= 0 <= interval[1]:
        verdict = "better" if sign * interval[0] > 0 else "worse"
    mean = float(np.average(differences[finite], weights=weights[finite])) if finite.any() else None
    return Comparison(
        mean=mean,
        interval=interval,
        n=int(finite.sum()),
        wins=int((sign * ours > sign * theirs).sum()),
        ties=int((ours == theirs).sum()),
        losses=int((sign * ours < sign * theirs).sum()),
        verdict=verdict,
    )
