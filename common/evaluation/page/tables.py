"""The tables of an evaluation's page, cell by cell; macros.html makes HTML of them."""

import dataclasses
import re

from common import metrics
from common.evaluation import histograms, table
from common.evaluation.rows import Comparison, Evaluation, Row, Truth

BETTER = {"higher": "higher is better", "lower": "lower is better", "truth": "as the truth's"}
TRUE_PICTURES = "true pictures"


@dataclasses.dataclass(frozen=True)
class Head:
    """A column's title, what stands below it, and whether sorting begins with the highest."""

    title: str
    small: str = ""
    best_is_highest: bool = False


@dataclasses.dataclass(frozen=True)
class Remark:
    """A line in small type."""

    text: str
    is_warning: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """value: what the cell is sorted by, None where there is no figure."""

    text: str
    value: float | str | None = None
    remarks: tuple[Remark, ...] = ()
    is_best: bool = False


@dataclasses.dataclass(frozen=True)
class Line:
    """A table's row: its name and its cells, None where a column does not apply.

    kind: a CSS class.
    """

    name: str
    cells: tuple[Cell | None, ...]
    kind: str = ""
    remarks: tuple[Remark, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """heads: of all columns but the first, which has the lines' names."""

    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def scores(evaluation: Evaluation) -> Table:
    """Every metric of every row, and of the true pictures."""
    columns, pictures = list(table.columns_of(evaluation)), evaluation.data.pictures
    lines = []
    for row in evaluation.rows:
        counted = table.pictures_of(row)
        remarks = [Remark(text, _is_warning(text)) for text in table.remarks_of(row, pictures)]
        cells = [_cell(row, column, pictures) for column in columns]
        number = Cell(counted, int(counted.split()[0]))
        lines.append(Line(row.name, (*cells, number), row.kind, tuple(remarks)))
    truth = evaluation.truth
    of_truth = [
        _cell(truth, column, pictures)
        if column.key in truth.figures and not column.is_delta
        else None
        for column in columns
    ]
    count = truth.figures["colourfulness"].n
    lines.append(Line(TRUE_PICTURES, (*of_truth, Cell(str(count), count)), "truth"))
    heads = [_head(evaluation, column) for column in columns]
    return Table((*heads, Head("n", "pictures")), tuple(lines))


def _head(evaluation, column):
    if column.is_delta:
        return Head("Δ", "closer to 0 is better")
    metric = column.metric
    small = ", ".join(filter(None, (metric.unit, BETTER[metric.better])))
    return Head(table.title_of(evaluation, column.key), small, metric.better == "higher")


def _cell(row: Row | Truth, column: table.Column, pictures: int) -> Cell:
    figure = column.figure(row)
    below = table.interval(row, column), table.counted(row, column, pictures)
    return Cell(
        typeset(table.cell(row, column)).replace("inf", "∞"),
        "Infinity" if figure.mean is None and figure.infinite else figure.mean,
        tuple(Remark(typeset(text)) for text in below if text),
        isinstance(row, Row) and column.is_best(row),
    )


def _is_warning(remark):
    return remark.startswith("seen") or "RANDOM" in remark or " missing" in remark


def comparisons(evaluation: Evaluation) -> Table | None:
    """The pairs of rows by the main metrics; None without a pair."""
    if not evaluation.pairs:
        return None
    keys = [key for key in evaluation.pairs[0].metrics if metrics.METRICS[key].brief]
    return Table(
        tuple(Head(table.title_of(evaluation, key)) for key in keys),
        tuple(
            Line(
                pair.name,
                tuple(_compared(key, pair.metrics[key]) for key in keys),
                remarks=(Remark(f"against {pair.against}"),),
            )
            for pair in evaluation.pairs
        ),
    )


def _compared(key: str, compared: Comparison) -> Cell:
    if compared.mean is None:
        return Cell("-")
    difference, rest = typeset(table.difference(key, compared)).split(" (")
    below = compared.verdict, *rest.removesuffix(")").split(", ")
    return Cell(difference, compared.mean, tuple(map(Remark, below)))


def spread(evaluation: Evaluation) -> Table:
    """How widely a and b are spread in every row, and how far that is from the true pictures'."""
    truth = evaluation.truth.histograms
    lines = []
    for row in evaluation.rows:
        cells = []
        for channel in histograms.CHANNELS:
            counts = row.histograms[channel]
            cells += [
                _two_digits(histograms.deviation(counts)),
                _two_digits(histograms.distance(counts, truth[channel])),
            ]
        lines.append(Line(row.name, tuple(cells), row.kind))
    of_truth: list[Cell | None] = []
    for channel in histograms.CHANNELS:
        of_truth += [_two_digits(histograms.deviation(truth[channel])), None]
    heads = [
        Head(f"{channel}* {what}", small)
        for channel in histograms.CHANNELS
        for what, small in (("spread", "standard deviation"), ("distance", "lower is better"))
    ]
    return Table(tuple(heads), (*lines, Line(TRUE_PICTURES, tuple(of_truth), "truth")))


def _two_digits(value):
    return Cell(f"{value:.2f}", value)


def typeset(text: str) -> str:
    """Minus signs for hyphens before digits, and "to" for the dots of intervals."""
    return re.sub(r"(?<![\w-])-(?=\d|$)", "−", re.sub(r"(?<=\d)\.\.(?=[-+\d])", " to ", text))
