"""One pass over the pictures of a split: every metric of every method.

A method is a model, a baseline or a folder of pictures. It has a `name`, a `kind`, the `dataset`
that it reads, `takes_embedding`, and `makes`: "ab" or "rgb". Called with a `baselines.Batch` and a
pool of threads it returns ab (N, S, S, 2) in Lab units, or a `predictions.Read` a picture;
`source(digests, outcomes)` describes it afterwards.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from common import cli, datasets, metrics
from common.color import lab
from common.evaluation import baselines, histograms, network_metrics, predictions, rows

TRUTH = "truth"


class TruePictures:
    """The true pictures as a method, for what is measured of them alone."""

    kind, takes_embedding, makes = TRUTH, False, "rgb"

    def __init__(self, dataset: datasets.Dataset):
        self.name, self.dataset = "true pictures", dataset

    def __call__(
        self, batch: baselines.Batch, pool: concurrent.futures.Executor | None = None
    ) -> np.ndarray:
        """The batch's RGB."""
        return batch.rgb


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that all passes of an evaluation share.

    count: the first pictures of the split. colours: weights of colours for the balanced AuC,
    (313,), or None. networks: those of the metrics that need one, or None. of_batches: the
    metrics of whole batches, {key: metric}.
    """

    split: str
    count: int
    batch_size: int
    pool: concurrent.futures.Executor
    colours: np.ndarray | None = None
    networks: network_metrics.Networks | None = None
    of_batches: Mapping[str, metrics.BatchMetric] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The measurements of one method in a pass.

    values: {metric's key: a float a picture, None where it is undefined}. histograms: as in
    `rows.Truth`. outcomes: a `predictions.Read` a picture, without the picture, of a folder of
    pictures. outputs: those of the networks, or None. of_batches: {key: its figure} of the metrics
    of batches.
    """

    method: Any
    values: dict[str, list]
    histograms: dict[str, list[int]]
    outcomes: list[predictions.Read]
    outputs: network_metrics.Outputs | None
    of_batches: dict[str, rows.Summary]


def measure(methods: list, settings: Settings) -> list[Measured]:
    """Measure methods in one pass, which reads each true picture once.

    All methods read the data set of the first one, so that one that takes embeddings, which has a
    data set of its own, is measured alone.
    """
    tallies = [_Tally(method, settings) for method in methods]
    title = ", ".join(method.name for method in methods)
    score = functools.partial(_score, methods, settings.colours)
    with (
        cli.progress(total=settings.count, desc=title, unit="picture") as bar,
        _batches(methods[0], settings) as batches,
    ):
        for batch in batches:
            predicted = [tally.pictures_of(tally.method(batch, settings.pool)) for tally in tallies]
            # Values computed from a true picture are shared by all methods, then dropped.
            scored = list(
                settings.pool.map(score, batch.rgb, batch.lab, zip(*predicted, strict=True))
            )
            for tally, scores in zip(tallies, zip(*scored, strict=True), strict=True):
                tally.add(batch, scores)
            for tally, pictures in zip(tallies, predicted, strict=True):
                tally.gather(batch, pictures)
            bar.update(len(batch.rgb))
    return [tally.measured() for tally in tallies]


class _Tally:
    """Collects what a pass measures of one method."""

    def __init__(self, method, settings):
        self.method = method
        self._values, self._counts, self._outcomes = {}, histograms.none(), []
        self._outputs = settings.networks and settings.networks.outputs()
        self._batches = _Batches({} if method.kind == TRUTH else settings.of_batches)

    def pictures_of(self, predicted):
        """A method's predictions, an array or picture each; notes how pictures were read."""
        if self.method.kind != rows.PREDICTIONS:
            return predicted
        self._outcomes += [dataclasses.replace(read, picture=None) for read in predicted]
        return [read.picture for read in predicted]

    def add(self, batch, scores):
        """Add a batch's (metrics, histograms, 8-bit picture) by picture."""
        if self._outputs:
            is_truth = self.method.kind == TRUTH
            pictures = [picture for _, _, picture in scores]
            self._outputs.add(int(batch.positions[0]), pictures, None if is_truth else batch.rgb)
        for values, counts, _ in scores:
            for key, value in values.items():
                self._values.setdefault(key, []).append(value)
            self._counts += counts

    def gather(self, batch, pictures):
        """Collect the ab of a batch's predictions for the metrics of batches."""
        if self._batches.columns:
            of_rgb = self.method.makes == "rgb"
            for true, picture in zip(batch.lab, pictures, strict=True):
                if picture is not None:
                    ab = lab.rgb_to_lab(picture)[..., 1:] if of_rgb else picture
                    self._batches.add(true[..., 1:], ab)

    def measured(self):
        counts = dict(zip(histograms.CHANNELS, self._counts.tolist(), strict=True))
        return Measured(
            self.method,
            self._values,
            counts,
            self._outcomes,
            self._outputs,
            self._batches.figures(),
        )


class _Batches:
    """Metrics of batches of `metrics.BATCH` pictures, however these arrive."""

    def __init__(self, columns: Mapping[str, metrics.BatchMetric]):
        self.columns = columns
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self._values: dict[str, list[float | None]] = {key: [] for key in columns}

    def add(self, ab, predicted):
        """Add a picture's true and predicted ab."""
        self._pairs.append((ab, predicted))
        if len(self._pairs) == metrics.BATCH:
            self._close()

    def _close(self):
        ab, predicted = (np.stack(side) for side in zip(*self._pairs, strict=True))
        for key, metric in self.columns.items():
            self._values[key] += [metric.of(ab, predicted)] * len(ab)
        self._pairs = []

    def figures(self):
        """{key: Summary}, each picture counting its batch's value."""
        if self._pairs:
            self._close()
        return figures(self._values, None)


def _score(methods, colours, rgb, true_lab, predicted):
    """[(metrics, histograms of ab, 8-bit picture)] of one picture by each method.

    Without a picture all metrics are None, nothing is counted and the picture is None.
    """
    truth, scores = metrics.Truth(rgb, true_lab), []
    values: Mapping[str, float | None]
    counts: np.ndarray | int
    for method, picture in zip(methods, predicted, strict=True):
        if picture is None:
            values, counts, made = dict.fromkeys(metrics.chosen(colours is not None)), 0, None
        elif method.kind == TRUTH:
            values, made = truth.values(colours), picture
            counts = histograms.count(true_lab[..., 1:])
        elif method.makes == "rgb":
            values, made = metrics.score(truth, None, picture, colours), picture
            counts = histograms.count(lab.rgb_to_lab(picture)[..., 1:])
        else:
            made = metrics.recolour(true_lab[..., :1], picture)
            values = metrics.score(truth, picture, made, colours)
            counts = histograms.count(picture)
        scores.append((values, counts, made))
    return scores


@contextlib.contextmanager
def _batches(method, settings) -> Iterator[Iterator[baselines.Batch]]:
    """An iterator over the first `count` pictures of the split."""
    count, size = settings.count, settings.batch_size

    def cut(batches):
        for start, batch in zip(range(0, count, size), batches, strict=False):
            rgb = batch["rgb"][: count - start]
            embedding = batch["embedding"][: len(rgb)] if method.takes_embedding else None
            colours = np.stack(list(settings.pool.map(lab.rgb_to_lab, rgb)))
            yield baselines.Batch(np.arange(start, start + len(rgb)), rgb, colours, embedding)

    with contextlib.closing(
        method.dataset.batches(settings.split, size, method.takes_embedding)
    ) as batches:
        yield cut(batches)


def to_json(values: dict[str, list]) -> dict[str, list]:
    """Pictures' values as `rows.Row` holds them: six digits, `rows.INFINITE`, None."""

    def plain(value):
        if value is None:
            return None
        return float(f"{value:.6g}") if math.isfinite(value) else rows.INFINITE

    return {key: [plain(value) for value in column] for key, column in values.items()}


def figures(values: dict[str, list], rarity: list | None) -> dict[str, rows.Summary]:
    """{key: Summary}, still without intervals, of values by picture.

    rarity: how much each picture counts in the balanced AuC.
    """
    result = {}
    for key, column in values.items():
        if metric := metrics.METRICS.get(key):  # not of the pictures' rarity, which is a weight
            mean = metrics.summary(column, rarity if metric.by_rarity else None)
            result[key] = rows.Summary(mean.mean, mean.n, mean.infinite)
    return result
