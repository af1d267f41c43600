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
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from common import cli, datasets, engines, metrics
from common.color import lab
from common.evaluation import baselines, histograms, network_metrics, predictions, rows
from common.networks import backend

TRUTH = "truth"
PIECE = 8  # batches at a time, where other processes score them


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

    count: the first pictures of the split. engine: what shares the batches out. colours: weights of
    colours for the balanced AuC, (313,), or None. networks: those of the metrics that need one, or
    None. of_batches: the keys of metrics of whole batches.
    """

    split: str
    count: int
    batch_size: int
    engine: engines.Engine = engines.LOCAL
    colours: np.ndarray | None = None
    networks: network_metrics.Networks | None = None
    of_batches: tuple[str, ...] = ()


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
    scoring = functools.partial(
        _scoring,
        methods,
        settings.split,
        settings.count,
        settings.batch_size,
        settings.colours,
        settings.networks,
        bool(settings.of_batches),
    )
    batches = settings.engine.run(
        scoring,
        range(0, settings.count, settings.batch_size),
        PIECE,
        network=settings.networks is not None or methods[0].kind == rows.MODEL,
        start=backend.start,
    )
    with (
        cli.progress(total=settings.count, desc=title, unit="picture") as bar,
        contextlib.closing(batches),
    ):
        for scored in batches:
            for tally, part in zip(tallies, scored, strict=True):
                tally.add(part)
            bar.update(len(scored[0].values))
    return [tally.measured() for tally in tallies]


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a batch gives of one method: lists by picture.

    values: {metric: value}; histograms: the sum of the pictures'; pairs: (true, predicted) ab where
    metrics of batches are wanted; seen: what the networks give.
    """

    values: list[Mapping[str, float | None]]
    histograms: np.ndarray
    outcomes: list[predictions.Read]
    pairs: list[tuple[np.ndarray, np.ndarray]]
    seen: network_metrics.Seen | None


def _scoring(
    methods: list,
    split: str,
    count: int,
    batch_size: int,
    colours: np.ndarray | None,
    networks: network_metrics.Networks | None,
    pairs: bool,
    cores: int,
) -> engines.Stage:
    """The stage from the position at which a batch begins to a `_Part` of each method."""
    score = functools.partial(_score, methods, colours)

    def part(method, batch, predicted, pictures, scores):
        is_truth = method.kind == TRUTH
        return _Part(
            values=[values for values, _, _ in scores],
            histograms=sum((counts for _, counts, _ in scores), histograms.none()),
            outcomes=[dataclasses.replace(read, picture=None) for read in predicted]
            if method.kind == rows.PREDICTIONS
            else [],
            pairs=list(_pairs(method, batch, pictures)) if pairs and not is_truth else [],
            seen=networks.see(
                int(batch.positions[0]),
                [made for _, _, made in scores],
                None if is_truth else batch.rgb,
            )
            if networks
            else None,
        )

    def stage(starts):
        with (
            concurrent.futures.ThreadPoolExecutor(cores, "score") as pool,
            contextlib.closing(
                _batches(methods[0], split, count, batch_size, starts, pool)
            ) as batches,
        ):
            for batch in batches:
                made = [method(batch, pool) for method in methods]
                pictures = [
                    [read.picture for read in predicted]
                    if method.kind == rows.PREDICTIONS
                    else predicted
                    for method, predicted in zip(methods, made, strict=True)
                ]
                # Values computed from a true picture are shared by all methods, then dropped.
                scored = list(pool.map(score, batch.rgb, batch.lab, zip(*pictures, strict=True)))
                yield [
                    part(method, batch, predicted, those, scores)
                    for method, predicted, those, scores in zip(
                        methods, made, pictures, zip(*scored, strict=True), strict=True
                    )
                ]

    return stage


def _pairs(method, batch, pictures):
    """Yield (true, predicted) ab of the pictures that there are."""
    for true, picture in zip(batch.lab, pictures, strict=True):
        if picture is not None:
            ab = lab.rgb_to_lab(picture)[..., 1:] if method.makes == "rgb" else picture
            yield true[..., 1:], ab


class _Tally:
    """Collects what a pass measures of one method."""

    def __init__(self, method, settings):
        self.method = method
        self._values, self._counts, self._outcomes = {}, histograms.none(), []
        self._outputs = settings.networks and settings.networks.outputs()
        of_batches = () if method.kind == TRUTH else settings.of_batches
        self._batches = _Batches(metrics.of_batches(of_batches))

    def add(self, part):
        """Add a batch's `_Part`."""
        for values in part.values:
            for key, value in values.items():
                self._values.setdefault(key, []).append(value)
        self._counts += part.histograms
        self._outcomes += part.outcomes
        if self._outputs:
            self._outputs.add(part.seen)
        for pair in part.pairs:
            self._batches.add(*pair)

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


def _batches(method, split, count, size, starts, pool) -> Generator[baselines.Batch, None, None]:
    """Yield the batches that begin at `starts`, of the first `count` pictures of the split."""
    with contextlib.closing(
        method.dataset.batches(split, size, method.takes_embedding, starts)
    ) as batches:
        for start, batch in zip(starts, batches, strict=True):
            rgb = batch["rgb"][: count - start]
            embedding = batch["embedding"][: len(rgb)] if method.takes_embedding else None
            colours = np.stack(list(pool.map(lab.rgb_to_lab, rgb)))
            yield baselines.Batch(np.arange(start, start + len(rgb)), rgb, colours, embedding)


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
