"""The charts of an evaluation's page: histograms of colours, and the curves of training."""

import dataclasses

import numpy as np

from common.color import lab
from common.evaluation import histograms
from common.evaluation.page import charts
from common.evaluation.rows import Evaluation, ModelFile

SHARES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1)  # the ticks of a histogram's y axis
TICKS = (-100, -50, 0, 50, 100)  # of its x axis, Lab units
STRIP, STRIP_LIGHTNESS = 23, 70  # colours along the x axis, and their L*


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts side by side, the name below them, and a remark beside it."""

    name: str
    panels: tuple[charts.Panel, ...]
    remark: str = ""


def colours(evaluation: Evaluation) -> list[Charts]:
    """Histograms of a and b of every row, beside the truth's.

    Rows of a single colour have none, since that is no distribution.
    """
    return [
        Charts(
            row.name,
            tuple(
                _histogram(row.name, row.histograms[channel], truth, channel)
                for channel, truth in evaluation.truth.histograms.items()
            ),
        )
        for row in evaluation.rows
        if any(histograms.deviation(counts) for counts in row.histograms.values())
    ]


def _histogram(name, counts, truth, channel):
    low, high = histograms.CENTRES[0], histograms.CENTRES[-1]
    x = charts.Axis(low, high, tuple((tick, f"{tick}".replace("-", "−")) for tick in TICKS))
    y = charts.Axis(
        SHARES[0], SHARES[-1], tuple((share, f"{100 * share:g} %") for share in SHARES), log=True
    )
    edges = np.linspace(-histograms.LIMIT, histograms.LIMIT, histograms.BINS + 1)
    colours = np.zeros((STRIP, 3), np.float32)
    colours[:, 0] = STRIP_LIGHTNESS
    colours[:, 1 + histograms.CHANNELS.index(channel)] = np.linspace(low, high, STRIP)
    rgb = np.rint(255 * lab.lab_to_rgb(colours)).astype(np.uint8)
    distance = histograms.distance(counts, truth)
    return charts.panel(
        f"{channel}*",
        f"{name}: histogram of {channel}*; its distance from the truth's is {distance:.2f}",
        x,
        y,
        charts.steps("true", x, y, edges, histograms.shares(truth)),
        charts.steps("made", x, y, edges, histograms.shares(counts)),
        strip=[f"#{bytes(each).hex()}" for each in rgb.tolist()],
    )


def curves(evaluation: Evaluation) -> list[Charts]:
    """Loss and PSNR by epoch, of the models whose run has a history."""
    return [
        _trained(row.name, row.source.history)
        for row in evaluation.rows
        if isinstance(row.source, ModelFile) and row.source.history
    ]


def _trained(name, history):
    epochs = history["epoch"]
    x, panels = charts.numbered(len(epochs)), []
    remarks = [f"{len(epochs)} epochs" if len(epochs) > 1 else "1 epoch"]
    for what, unit, digits, keys in (
        ("loss", "", 5, {"training": "loss", "validation": "val_loss"}),
        ("PSNR", " dB", 2, {"validation": "val_psnr_rgb", "mean": "mean_colour_psnr_rgb"}),
    ):
        columns = {kind: history[key] for kind, key in keys.items()}
        values = [value for column in columns.values() for value in column if value is not None]
        if not values:  # grey pictures alone have no PSNR
            continue
        y = charts.about(values)
        titles = {kind: f"{kind} {what}" for kind in columns} | {"mean": "mean colour"}
        ends = ", ".join(
            f"{titles[kind]} {_first_and_last(column, digits)}{unit}"
            for kind, column in columns.items()
        )
        remarks.append(ends)
        lines = [
            charts.line(kind, x, y, list(zip(epochs, column, strict=True)))
            for kind, column in columns.items()
        ]
        title = what + unit.replace(" ", ", ")
        panels.append(charts.panel(title, f"{name}: {ends}", x, y, *lines))
    return Charts(name, tuple(panels), "; ".join(remarks))


def _first_and_last(column, digits):
    ends = [f"{value:.{digits}f}" for value in (column[0], column[-1]) if value is not None]
    return " to ".join(dict.fromkeys(ends))
