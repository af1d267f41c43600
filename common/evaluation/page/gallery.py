"""The pictures of an evaluation's page: which are chosen, and their files.

They are made after the scoring, in a second pass over the chosen positions alone, so that memory
does not grow with the number of pictures that are scored.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from common import datasets, metrics, photos
from common.color import lab
from common.evaluation import baselines, rows
from common.evaluation.page.document import Image

SHOWN = 12  # pictures spread evenly over the split
LIMIT = 6_000_000  # bytes that the page's pictures may take, as base64
LOSSLESS = 96  # pictures of this side or less are PNG: JPEG's blocks would be visible
RANKED = ("worst", "best", "median")


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a picture is shown: it is one of `RANKED` by a metric among the pictures of a method."""

    which: str
    key: str
    method: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture on the page. position: in the split.

    versions: (method, its picture) of the methods that have one, then (None, the true picture).
    """

    position: int
    name: str
    reasons: tuple[Reason, ...]
    versions: tuple[tuple[str | None, Image], ...]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """What the page shows: the first `spread` pictures are those spread evenly over the split.

    left_out: how many of the chosen pictures did not fit into `limit` bytes of base64.
    """

    pictures: tuple[Picture, ...]
    spread: int
    left_out: int
    limit: int


def make(
    evaluation: rows.Evaluation,
    methods: Sequence,
    dataset: datasets.Dataset,
    split: str,
    shown: int = SHOWN,
    batch_size: int = 16,
    limit: int = LIMIT,
) -> Gallery:
    """The `Gallery` of a finished evaluation; at least one picture, whatever its size.

    methods: those of its rows, in their order. shown: how many pictures are spread evenly.
    """
    # The mean colour is a single colour, not worth a picture.
    methods = [method for method in methods if method.name != rows.MEAN_COLOUR]
    wanted, spread = choose(evaluation, shown)
    names = dict(zip(wanted, dataset.names(split, list(wanted)), strict=True))
    pictures: list[Picture] = []
    room, positions = limit, list(wanted)
    for start in range(0, len(positions), batch_size):
        part = positions[start : start + batch_size]
        made = [(method.name, _pictures(method, split, part)) for method in methods]
        made.append((None, dataset.read(split, part)["rgb"]))
        for at, position in enumerate(part):
            versions = tuple(
                (name, _as_image(column[at])) for name, column in made if column[at] is not None
            )
            room -= sum(4 * -(-len(image.content) // 3) for _, image in versions)
            if room < 0 and pictures:
                left_out = len(wanted) - len(pictures)
                return Gallery(tuple(pictures), min(spread, len(pictures)), left_out, limit)
            pictures.append(Picture(position, names[position], tuple(wanted[position]), versions))
    return Gallery(tuple(pictures), spread, 0, limit)


def choose(evaluation: rows.Evaluation, shown: int) -> tuple[dict[int, list[Reason]], int]:
    """({position: reasons}, how many of them are spread evenly), the most important first.

    After those, by every metric in turn, the worst, best and median picture of each method but the
    baselines; the metrics of the terminal's table come first.
    """
    count = evaluation.data.pictures
    spread = np.unique(np.linspace(0, count - 1, min(shown, count)).round().astype(int))
    chosen: dict[int, list[Reason]] = {position: [] for position in spread.tolist()}
    others = [row for row in evaluation.rows if row.kind != rows.BASELINE]
    for key in sorted(keys(evaluation), key=lambda key: not metrics.METRICS[key].brief):
        ranked = [(row.name, ranks(key, row, evaluation.truth)) for row in others]
        for which in RANKED:
            for name, column in ranked:
                order = sorted((rank, position) for position, rank in enumerate(column) if rank)
                if order:
                    at = {"worst": -1, "best": 0, "median": (len(order) - 1) // 2}[which]
                    chosen.setdefault(order[at][1], []).append(Reason(which, key, name))
    return chosen, len(spread)


def keys(evaluation: rows.Evaluation) -> list[str]:
    """The metrics that have a value for each picture."""
    return [key for key in evaluation.protocol.metrics if key in evaluation.rows[0].values]


def ranks(key: str, row: rows.Row | rows.Truth, truth: rows.Truth) -> list[int | None]:
    """Each picture's rank by a metric, 1 the best; equal values share one, None without a value.

    Colourfulness is best where it is the truth's.
    """
    values, better = row.numbers(key), metrics.METRICS[key].better
    if better == "truth":
        values = np.abs(values - truth.numbers(key))
    elif better == "higher":
        values = -values
    scored = np.sort(values[~np.isnan(values)])
    return [
        None if np.isnan(value) else int(np.searchsorted(scored, value)) + 1 for value in values
    ]


def _pictures(method, split, positions):
    """A method's pictures at `positions`, (S, S, 3) uint8 each, None where it has none."""
    batch = method.dataset.read(split, positions, method.takes_embedding)
    colours = lab.rgb_to_lab(batch["rgb"])
    predicted = method(
        baselines.Batch(np.asarray(positions), batch["rgb"], colours, batch.get("embedding"))
    )
    if method.kind == rows.PREDICTIONS:
        return [read.picture for read in predicted]
    return metrics.recolour(colours[..., :1], predicted)


def _as_image(rgb):
    """JPEG with all its colour resolution, or PNG for small pictures."""
    if min(rgb.shape[:2]) <= LOSSLESS:
        return Image("image/png", photos.png(rgb))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        90,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return Image("image/jpeg", cv2.imencode(".jpg", bgr, settings)[1].tobytes())
