"""The pretext task's report: intervals over classifiers, tables, the claim's answer, curves."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from common import datasets
from common.evaluation import markdown, table
from common.training import logs
from feup.config import Config
from feup.experiments.classifiers import ENCODERS, TUNINGS, Cell, Results

LEVEL = 0.95


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """(mean, half of the 95 % interval of the mean by Student's t), None for one value."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float(values.mean()), None
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * error)


def gaps(
    results: Results, encoder: str, tuning: str, percent: float, key: str = "accuracy"
) -> list[float]:
    """The lead on test of an encoder's classifiers over the random ones, seed by seed."""

    def of(name, seed):
        return results[Cell(name, tuning, percent, seed)]["test"][key]

    seeds = sorted({cell.seed for cell in results})
    return [of(encoder, seed) - of("random", seed) for seed in seeds]


def report(
    results: Results,
    dataset: datasets.Dataset,
    config: Config,
    about: dict[str, str],
    epochs: int,
) -> markdown.Document:
    """The comparison as a `markdown.Document`."""
    encoders = [name for name in ENCODERS if any(cell.encoder == name for cell in results)]
    percents = sorted({cell.percent for cell in results})
    seeds = len({cell.seed for cell in results})
    document = markdown.Document(f"Colorization as a pretext task: {dataset.name}")
    tested = int((dataset.labels_of("test") >= 0).sum())
    document.text(
        f"ResNet-18 cut at 128 channels and a dense layer name {len(dataset.labels)} classes by L* "
        f"at {config.image_size} x {config.image_size}; {tested} test pictures, {epochs} epochs, "
        f"{seeds} classifiers of each kind, Adam {config.learning_rate:g}, batches of "
        f"{config.batch_size}. Intervals are {LEVEL:.0%} by Student's t over these classifiers "
        "(their first weights, labels and order), of one colorizer: not of other colorizers or "
        "pictures."
    )
    document.list([f"{name}: {about[name]}" for name in encoders])
    for tuning in TUNINGS:
        rows = []
        for percent, name in itertools.product(percents, encoders):
            cells = [
                result
                for cell, result in results.items()
                if (cell.encoder, cell.tuning, cell.percent) == (name, tuning, percent)
            ]
            first = interval([100 * cell["history"][0]["val_accuracy"] for cell in cells])
            rows.append(
                [
                    f"{percent:g} % ({cells[0]['pictures']})",
                    name,
                    _shown(first),
                    _shown(interval([100 * cell["test"]["accuracy"] for cell in cells])),
                    ""
                    if name == "random"
                    else _shown(
                        interval(100 * np.array(gaps(results, name, tuning, percent))), sign="+"
                    ),
                    _shown(interval([cell["test"]["loss"] for cell in cells]), digits=3),
                    ""
                    if name == "random"
                    else _shown(
                        interval(gaps(results, name, tuning, percent, "loss")), sign="+", digits=3
                    ),
                ]
            )
        document.heading(f"The encoder {tuning}")
        document.table(
            [
                "labels (pictures)",
                "encoder",
                "validation accuracy after epoch 1, %",
                "test accuracy, %",
                "against random",
                "test loss",
                "against random",
            ],
            rows,
        )
    document.heading("Test accuracy against random")
    document.list(verdict(results))
    document.text(CLAIM)
    document.picture("curves.png", "accuracy and loss by epoch, training and validation")
    if dataset.name == "samples":
        document.text(table.RUNS_ONLY)
    return document


CLAIM = (
    "The report's claim: the pretrained classifier starts higher and ends a little higher, with a "
    "lower test loss, on CIFAR-10; it prints no figures. Its encoder was pretrained before it "
    "learned to colour, on which data it does not state, so what it shows is not due to "
    "colorization alone: colorization here began from random weights, and imagenet was never "
    "trained to colour."
)


def verdict(results: Results) -> list[str]:
    """Where an encoder is better or worse than a random one by more than its interval: a list."""
    lines = []
    for name, tuning, percent in sorted(
        {(cell.encoder, cell.tuning, cell.percent) for cell in results if cell.encoder != "random"}
    ):
        mean, half = interval(100 * np.array(gaps(results, name, tuning, percent)))
        if half is None:
            return ["One classifier of each kind does not measure chance: take SEEDS=5."]
        outcome = (
            "not distinct from"
            if abs(mean) <= half
            else "better than"
            if mean > 0
            else "worse than"
        )
        lines.append(
            f"{name}, {tuning}, {percent:g} % of the labels: {outcome} random, {mean:+.1f} "
            f"points ({mean - half:+.1f} to {mean + half:+.1f})"
        )
    return lines


def _shown(of, sign="", digits=1):
    mean, half = of
    text = f"{mean:{sign}.{digits}f}"
    return text if half is None else f"{text} ± {half:.{digits}f}"


def draw_curves(path: Path, results: Results) -> None:
    """Accuracy and loss by epoch, means over the seeds, as a PNG: a row a tuning and figure."""
    from matplotlib.figure import Figure

    encoders = [name for name in ENCODERS if any(cell.encoder == name for cell in results)]
    percents = sorted({cell.percent for cell in results})
    rows = list(itertools.product(TUNINGS, ("accuracy", "loss")))
    figure = Figure(figsize=(5 * len(percents), 3.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(percents), squeeze=False)
    for (tuning, key), line in zip(rows, panels, strict=True):
        for percent, axes in zip(percents, line, strict=True):
            for number, name in enumerate(encoders):
                cells = [
                    result["history"]
                    for cell, result in results.items()
                    if (cell.encoder, cell.tuning, cell.percent) == (name, tuning, percent)
                ]
                for prefix, style in (("", ":"), ("val_", "-")):
                    curve = np.mean([[epoch[prefix + key] for epoch in each] for each in cells], 0)
                    axes.plot(
                        np.arange(1, len(curve) + 1),
                        curve,
                        style,
                        color=f"C{number}",
                        label=f"{name}, {'validation' if prefix else 'training'}",
                    )
            axes.set(xlabel="epoch", ylabel=key, title=f"{tuning}, {percent:g} % of the labels")
    logs.save_curves(path, figure, panels.ravel())
