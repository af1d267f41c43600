"""An evaluation in words and figures: a table for the terminal, rows for a CSV.

`page.render` makes a page of the same.
"""

import dataclasses
from collections.abc import Iterator

from common import metrics
from common.evaluation.rows import (
    BASELINE,
    GREY,
    MEAN_COLOUR,
    Colour,
    Comparison,
    Evaluation,
    ModelFile,
    Neighbours,
    Pair,
    PictureFolder,
    Row,
    Summary,
    Truth,
)

SPOKEN = ("psnr_rgb", "ciede2000")  # the metrics that the sentences about pairs name
RUNS_ONLY = "Sample photos show that everything runs, not how well a model colours."


# --- what both tables have --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of figures: of a metric's means, or of their differences from the true pictures."""

    key: str
    is_delta: bool = False

    @property
    def metric(self) -> metrics.Metric:
        """The column's metric."""
        return metrics.METRICS[self.key]

    def figure(self, row: Row | Truth) -> Summary:
        """The row's figure in this column; of a delta, its mean and interval."""
        if self.is_delta and isinstance(row, Row):
            delta = row.deltas[self.key]
            return Summary(delta.mean, row.figures[self.key].n, interval=delta.interval)
        return row.figures[self.key]

    def is_best(self, row: Row) -> bool:
        """Whether no other row is better in this column."""
        return self.key in (row.best_deltas if self.is_delta else row.best)


def columns_of(evaluation: Evaluation, brief: bool = False) -> Iterator[Column]:
    """A table's columns; brief: those of the terminal alone."""
    for key in evaluation.protocol.metrics:
        if metrics.METRICS[key].brief or not brief:
            yield Column(key)
            if key in metrics.OF_TRUTH:
                yield Column(key, is_delta=True)


def title_of(evaluation: Evaluation, key: str) -> str:
    """A metric's title, which may name a network."""
    return evaluation.protocol.metrics[key].title


def cell(row: Row | Truth, column: Column) -> str:
    """The text of a figure; "inf" if every picture equals its truth, "-" if it is undefined.

    For a metric of a network that is not available, what is lacking.
    """
    figure = column.figure(row)
    if column.is_delta:
        return f"{figure.mean:+.2f}"
    if figure.mean is None:
        return figure.lacks or ("inf" if figure.infinite else "-")
    return f"{figure.mean:.{column.metric.digits}f}"


def interval(row: Row | Truth, column: Column) -> str:
    """ "low..high" of a figure with the figure's digits, "" where there is none.

    Of a mean over subsets, their standard deviation.
    """
    figure = column.figure(row)
    form = "+.2f" if column.is_delta else f".{column.metric.digits}f"
    if figure.deviation is not None:
        return f"±{figure.deviation:{form}}"
    return "..".join(f"{end:{form}}" for end in figure.interval or ())


def counted(row: Row | Truth, column: Column, pictures: int) -> str:
    """ "n=7" where a figure is a mean of fewer than all pictures, else ""."""
    figure = row.figures[column.key]
    return "" if figure.n == pictures or figure.lacks else f"n={figure.n}"


def pictures_of(row: Row) -> str:
    """How many pictures each of the row's means is over: "32", or "31 to 32" where they differ."""
    counts = sorted({figure.n for figure in row.figures.values() if not figure.lacks})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def remarks_of(row: Row, count: int) -> list[str]:
    """Remarks that a reader of a row's figures needs. count: pictures of the evaluation."""
    remarks = []
    if row.seen:
        remarks.append(f"seen {row.seen} of {count} in training")
    elif row.seen is None:
        remarks.append("training files unknown")
    if isinstance(row.source, PictureFolder):
        remarks.append(
            "pictures: "
            + ", ".join(
                f"{number} {'of other names' if kind == 'others' else kind}"
                for kind, number in row.counts.items()
                if number
            )
        )
    if row.embedding:
        remarks.append(
            f"embedding {row.embedding['network']}, {_weights(row.embedding)}, of "
            + ("photos" if _of_photos(row) else "stored pictures")
        )
    if isinstance(row.source, ModelFile) and row.source.refine != ModelFile.refine:
        remarks.append(f"refined: {row.source.refine}")
    if isinstance(row.source, Neighbours):
        remarks.append(f"among {row.source.among} training pictures")
    for encoder in row.metadata.get("pretrained", {}).values():
        remarks.append(f"encoder {encoder['network']}, {_weights(encoder)}")
    if distance := row.metadata.get("distance"):
        remarks.append(f"loss {distance['name']}")
    if isinstance(row.source, Colour) and row.name == MEAN_COLOUR:
        a, b = row.source.ab
        remarks.append(f"ab = ({a:.1f}, {b:.1f})")
    return remarks


def _of_photos(row):
    """Whether a row's embeddings were made from the photos, not from the stored pictures."""
    made_live = isinstance(row.source, ModelFile) and row.source.embedding_from == "model"
    return row.embedding.get("from") == "photo" and not made_live


def _weights(network):
    kind = "RANDOM" if network["weights"] == "random" else network["weights"]
    return f"{kind} weights"


def notes(evaluation: Evaluation) -> list[str]:
    """Sentences under the table: which row is better than which, and warnings."""
    sentences = [_pair_in_words(pair) for pair in _spoken_pairs(evaluation)]
    truth = evaluation.truth.figures["colourfulness"].mean
    sentences.append(f"The true pictures' colourfulness is {truth:.2f}.")
    infinite = max(row.figures["psnr_rgb"].infinite for row in evaluation.rows)
    if infinite:
        sentences.append(
            f"Up to {infinite} predictions equal the truth in every pixel (grey pictures "
            "do): their infinite PSNR enters no mean."
        )
    sentences += evaluation.notes
    if evaluation.data.name == "samples":
        sentences.append(RUNS_ONLY)
    return sentences


def _spoken_pairs(evaluation):
    """The pairs that sentences name: those with the reference, else those of models."""
    if evaluation.against is not None:
        return evaluation.pairs
    return [
        pair
        for pair in evaluation.pairs
        if evaluation.row(pair.name).kind != BASELINE and pair.against != GREY
    ]


def _pair_in_words(pair: Pair) -> str:
    """ "ours against theirs: better by PSNR RGB, +0.62 dB (+0.50..+0.75, wins 310 of 378); ..."."""
    verdicts = [
        f"{compared.verdict} by {metrics.METRICS[key].title}, {difference(key, compared)}"
        for key, compared in pair.metrics.items()
        if key in SPOKEN and compared.mean is not None
    ]
    words = f"{pair.name} against {pair.against}: {'; '.join(verdicts) or 'undefined'}."
    if pair.against == MEAN_COLOUR and pair.metrics["psnr_rgb"].verdict != "better":
        words += " On these pictures nothing that it has learned shows in PSNR."
    return words


def difference(key: str, compared: Comparison) -> str:
    """ "+0.62 dB (+0.50..+0.75, wins 310 of 378)"."""
    metric = metrics.METRICS[key]
    unit = f" {metric.unit}" if metric.unit else ""
    within = ""
    if compared.interval:
        within = "..".join(f"{end:+.{metric.digits}f}" for end in compared.interval) + ", "
    pictures = compared.wins + compared.ties + compared.losses
    return f"{compared.mean:+.{metric.digits}f}{unit} ({within}wins {compared.wins} of {pictures})"


def _heading(evaluation):
    data, preset = evaluation.data, evaluation.protocol.preset
    some = "" if data.pictures == data.of else f" of {data.of}"
    return (
        (f"{preset['name']}: " if preset else "")
        + f"{data.name}, {data.split} split: {data.pictures}{some} pictures at "
        f"{data.image_size} x {data.image_size}"
    )


# --- the terminal -----------------------------------------------------------------------------


def table(evaluation: Evaluation) -> str:
    """The main columns as aligned text; `*` marks the best of a column."""
    columns = list(columns_of(evaluation, brief=True))
    titles = [
        "delta" if column.is_delta else title_of(evaluation, column.key) for column in columns
    ]
    lines = [["", *titles, "pictures", ""]]
    pictures = evaluation.data.pictures
    for row in evaluation.rows:
        cells = [cell(row, column) + "*" * column.is_best(row) for column in columns]
        remarks = "; ".join(remarks_of(row, pictures))
        lines.append([row.name, *cells, pictures_of(row), remarks])
        for below in (
            [interval(row, column) for column in columns],
            [counted(row, column, pictures) for column in columns],
        ):
            if any(below):
                lines.append(["", *below, "", ""])
    # Digits stand below digits: only a star goes beyond the column.
    lines = [
        [
            text if text.endswith("*") or not 0 < i <= len(columns) else text + " "
            for i, text in enumerate(line)
        ]
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [text.rjust(width) for text, width in zip(line[1:-1], widths[1:-1], strict=True)]
            + [line[-1]]
        ).rstrip()
        for line in lines
    ]
    return "\n".join(
        [
            _heading(evaluation),
            "",
            *aligned,
            "",
            *notes(evaluation),
            f"Below each mean: {evaluation.protocol.sentences['interval']}.",
            f"* best {evaluation.protocol.sentences['best']}.",
        ]
    )


# --- the CSV ----------------------------------------------------------------------------------


def csv_rows(evaluation: Evaluation) -> Iterator[list]:
    """A header and a row a method: what it is, then mean, count and interval of every metric."""
    data, keys = evaluation.data, list(evaluation.protocol.metrics)
    # Means over subsets have a deviation in place of an interval.
    spread = [
        key
        for key in keys
        if any(row.figures[key].deviation is not None for row in evaluation.rows)
    ]
    yield [
        "data",
        "split",
        "pictures",
        "name",
        "kind",
        "image_size",
        "cut",
        "embedding",
        "embedding_weights",
        "seen",
        "sha256",
        *(f"{key}{suffix}" for key in keys for suffix in ("", "_n", "_low", "_high")),
        *(f"{key}_delta{suffix}" for key in metrics.OF_TRUTH for suffix in ("", "_low", "_high")),
        *(f"{key}_deviation" for key in spread),
    ]
    for row in evaluation.rows:
        model = row.source if isinstance(row.source, ModelFile) else None
        embedding = row.embedding or {}
        figures = []
        for key in keys:
            figure = row.figures[key]
            figures += [figure.mean, figure.n, *(figure.interval or (None, None))]
        for key in metrics.OF_TRUTH:
            delta = row.deltas[key]
            figures += [delta.mean, *(delta.interval or (None, None))]
        figures += [row.figures[key].deviation for key in spread]
        yield [
            data.name,
            data.split,
            data.pictures,
            row.name,
            row.kind,
            model and model.image_size,
            model and model.cut,
            embedding.get("network"),
            embedding.get("weights"),
            row.seen,
            model and model.sha256,
            *figures,
        ]
