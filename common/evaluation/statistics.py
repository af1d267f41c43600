"""What the figures of an evaluation allow to say: intervals, and what is best.

Intervals are by the bootstrap over pictures: how far a mean would move with other pictures of the
same kind. Another training run moves it as well, and of that they know nothing.
"""

import numpy as np

from common import metrics

RESAMPLES, SEED, LEVEL = 2000, 0, 0.95
DELTA = "_delta"  # behind the key of a metric: its mean less the true pictures'
_BLOCK = 1 << 19  # counts worked on at a time


class Bootstrap:
    """Percentile intervals of means over the same `count` pictures, every mean by one drawing.

    Pictures are drawn with replacement, `resamples` times as many as there are; the same pictures
    for every column, so that two columns of equal values have equal intervals.
    """

    def __init__(self, count, resamples=RESAMPLES, seed=SEED, level=LEVEL):
        self.percentiles = 50 * (1 - level), 50 * (1 + level)
        random = np.random.default_rng(seed)
        # How often each picture was drawn. Its distribution has the mean 1: a byte is plenty.
        self._drawn = np.empty((resamples, count), np.uint8)
        for drawn in self._drawn:
            drawn[:] = np.bincount(random.integers(0, count, count), minlength=count)

    def intervals(self, values, shares=None):
        """(N, K) floats -> a list of K: [low, high] of each column's mean, or None.

        What is not finite is left out. shares: (N, K), of weighted means. None where fewer than
        two pictures are left to draw from.
        """
        values = np.asarray(values, np.float64)
        used = np.isfinite(values)
        shares = used * (1.0 if shares is None else np.asarray(shares, np.float64))
        weighted = np.where(used, values, 0) * shares
        rows = max(1, _BLOCK // len(values))
        means = []
        with np.errstate(invalid="ignore"):  # 0 / 0: only pictures drawn that are left out
            for start in range(0, len(self._drawn), rows):
                drawn = self._drawn[start : start + rows].astype(np.float64)
                means.append((drawn @ weighted) / (drawn @ shares))
        means = np.concatenate(means)
        found = []
        for column, enough in zip(means.T, (shares > 0).sum(0) > 1, strict=True):
            column = column[np.isfinite(column)]
            found.append(np.percentile(column, self.percentiles).tolist() if enough else None)
        return found


def numbers(column):
    """Pictures' values as metrics.json has them -> (N,) float64, NaN for None."""
    return np.array([np.nan if value is None else float(value) for value in column])


def add_intervals(rows, truth, bootstrap):
    """Put "interval" beside every mean of rows and truth, and beside the differences from truth.

    [low, high], or None where there are too few pictures.
    """
    rarity = truth["values"].get("rarity")
    for row in (*rows, truth):
        values = {
            key: numbers(row["values"][key]) for key in row["metrics"] if key in row["values"]
        }  # the others are of all pictures at once
        shares = [
            numbers(rarity) if metrics.METRICS[key].by_rarity else np.ones(len(column))
            for key, column in values.items()
        ]
        deltas = (
            []
            if row is truth
            else [values[key] - numbers(truth["values"][key]) for key in metrics.OF_TRUTH]
        )
        columns = np.stack([*values.values(), *deltas], -1)
        shares = np.stack([*shares, *map(np.ones_like, deltas)], -1)
        found = bootstrap.intervals(columns, shares)
        for key, interval in zip(values, found, strict=False):
            row["metrics"][key]["interval"] = interval
        for key, interval in zip(metrics.OF_TRUTH, found[len(values) :], strict=False):
            row[f"{key}{DELTA}_interval"] = interval


def is_partial(row):
    """Whether a row lacks pictures, so that its means are of others than the rest's."""
    counts = row.get("counts", {})
    return bool(counts.get("missing") or counts.get("unreadable"))


def add_best(rows, truth):
    """Add to each row its differences of mean colourfulness and the columns it is best in."""
    for row in rows:
        for key in metrics.OF_TRUTH:
            true = truth["metrics"][key]["mean"]
            if is_partial(row):  # the truth of the pictures that it has
                has = np.isfinite(numbers(row["values"][key]))
                true = numbers(truth["values"][key])[has].mean()
            row[key + DELTA] = float(row["metrics"][key]["mean"] - true)
        row["best"] = []
    fair = [row for row in rows if not row["seen"] and not is_partial(row)]

    def rank(row, key):
        """What is smallest in the best row; None where the row has no figure."""
        if key not in row["metrics"]:
            return abs(row[key])
        found, sign = row["metrics"][key], {"higher": -1, "lower": 1}[metrics.METRICS[key].better]
        if found["mean"] is None:
            return sign * np.inf if found["infinite"] else None  # equal to the truth in every one
        return sign * found["mean"]

    keys = [key for key in rows[0]["metrics"] if metrics.METRICS[key].better != "truth"]
    for key in (*keys, *(key + DELTA for key in metrics.OF_TRUTH)):
        ranks = [(rank(row, key), row) for row in fair]
        best = min((found for found, _ in ranks if found is not None), default=None)
        for found, row in ranks:
            if found is not None and found == best:
                row["best"].append(key)


def pairs(rows, truth, bootstrap, against=None):
    """Every two rows over the same pictures, or each row against the one named.

    A list of {"name", "against", "metrics": {key: figures}}. Figures are "mean", of the difference
    name - against, its "interval" and "n", over the pictures where both are finite; "wins",
    "ties" and "losses" of all where both have one, an infinite one too; and "verdict": "better" or
    "worse" where the interval leaves out 0, else "undecided".
    """
    if against is None:
        chosen = [(row, other) for at, row in enumerate(rows) for other in rows[:at]]
    else:
        chosen = [
            (row, other)
            for row in rows
            for other in rows
            if other["name"] == against and row is not other
        ]
    keys = [
        key
        for key in rows[0]["metrics"]
        if metrics.METRICS[key].better != "truth" and key in rows[0]["values"]
    ]
    rarity = truth["values"].get("rarity")
    count = len(rows[0]["values"][keys[0]])
    shares = np.stack(
        [numbers(rarity) if metrics.METRICS[key].by_rarity else np.ones(count) for key in keys], -1
    )
    values = {id(row): np.stack([numbers(row["values"][key]) for key in keys], -1) for row in rows}
    found = []
    for row, other in chosen:
        with np.errstate(invalid="ignore"):  # of two infinite values: a tie, and in no mean
            difference = values[id(row)] - values[id(other)]
        intervals = bootstrap.intervals(difference, shares)
        found.append(
            {
                "name": row["name"],
                "against": other["name"],
                "metrics": {
                    key: _figures(
                        metrics.METRICS[key],
                        values[id(row)][:, at],
                        values[id(other)][:, at],
                        difference[:, at],
                        shares[:, at],
                        intervals[at],
                    )
                    for at, key in enumerate(keys)
                },
            }
        )
    return found


def _figures(metric, ours, theirs, difference, shares, interval):
    finite = np.isfinite(difference) & (shares > 0)
    sign = 1 if metric.better == "higher" else -1
    verdict = "undecided"
    if interval and not interval[0] <= 0 <= interval[1]:
        verdict = "better" if sign * interval[0] > 0 else "worse"
    return {
        "mean": float(np.average(difference[finite], weights=shares[finite]))
        if finite.any()
        else None,
        "interval": interval,
        "n": int(finite.sum()),
        "wins": int((sign * ours > sign * theirs).sum()),
        "ties": int((ours == theirs).sum()),
        "losses": int((sign * ours < sign * theirs).sum()),
        "verdict": verdict,
    }
