"""The pictures of an evaluation's page: which are chosen, and their files.

They are made after the scoring, in a second pass over the chosen places alone, so that memory
does not grow with the pictures that are scored.
"""

import dataclasses

import cv2
import numpy as np

from common import metrics, photos
from common.color import lab
from common.evaluation import baselines, rows

SHOWN = 12  # pictures spread evenly over the split
LIMIT = 6_000_000  # bytes that the page's pictures may take, as text
LOSSLESS = 96  # pictures of this side or less are PNG: JPEG's blocks would be seen
RANKED = ("worst", "best", "median")


@dataclasses.dataclass(frozen=True)
class Gallery:
    """What the page shows.

    pictures: a list of {"place", "name", "reasons": [(one of RANKED, metric's key, method)],
    "columns": [(method, None for the truth, (MIME type, bytes))]}; the first `spread` are those
    spread evenly over the split. left_out: how many of those chosen did not fit.
    """

    pictures: list
    spread: int
    left_out: int


def make(evaluation, methods, dataset, split, shown=SHOWN, batch_size=16):
    """The `Gallery` of a finished `rows.Evaluation`.

    methods: those of its rows, in their order. shown: pictures spread evenly.
    """
    # The mean colour is a number, no picture to look at.
    methods = [method for method in methods if method.name != rows.MEAN_COLOUR]
    wanted, spread = choose(evaluation, shown)
    names = dataset.names(split)
    pictures, room, places = [], LIMIT, list(wanted)
    for start in range(0, len(places), batch_size):
        part = places[start : start + batch_size]
        columns = [(method.name, _drawn(method, split, part)) for method in methods]
        columns.append((None, dataset.read(split, part)["rgb"]))
        for at, place in enumerate(part):
            files = [
                (name, _as_file(drawn[at])) for name, drawn in columns if drawn[at] is not None
            ]
            room -= sum(4 * -(-len(data) // 3) for _, (_, data) in files)
            if room < 0 and pictures:
                return Gallery(pictures, min(spread, len(pictures)), len(wanted) - len(pictures))
            pictures.append(
                {"place": place, "name": names[place], "reasons": wanted[place], "columns": files}
            )
    return Gallery(pictures, spread, 0)


def choose(evaluation, shown):
    """({place: reasons}, how many of them are spread evenly), the most important first.

    After those, by every metric in turn, the worst, best and median picture of each method but the
    baselines; the metrics of the terminal's table come first.
    """
    count = evaluation.data.pictures
    spread = np.unique(np.linspace(0, count - 1, min(shown, count)).round().astype(int))
    chosen = {place: [] for place in spread.tolist()}
    others = [row for row in evaluation.rows if row.kind != rows.BASELINE]
    for key in sorted(keys(evaluation), key=lambda key: not metrics.METRICS[key].brief):
        ranked = [(row.name, ranks(key, row, evaluation.truth)) for row in others]
        for which in RANKED:
            for name, found in ranked:
                order = sorted((rank, place) for place, rank in enumerate(found) if rank)
                if order:
                    at = {"worst": -1, "best": 0, "median": (len(order) - 1) // 2}[which]
                    chosen.setdefault(order[at][1], []).append((which, key, name))
    return chosen, len(spread)


def keys(evaluation):
    """The metrics that have a value for each picture."""
    return [key for key in evaluation.protocol.metrics if key in evaluation.rows[0].values]


def ranks(key, row, truth):
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


def _drawn(method, split, places):
    """A method's pictures at `places`, (S, S, 3) uint8 each, None where it has none."""
    batch = method.dataset.read(split, places, method.takes_embedding)
    colours = lab.rgb_to_lab(batch["rgb"])
    predicted = method(
        baselines.Batch(np.asarray(places), batch["rgb"], colours, batch.get("embedding"))
    )
    if method.kind == rows.PREDICTIONS:
        return [read.picture for read in predicted]
    return metrics.recolour(colours[..., :1], predicted)


def _as_file(rgb):
    """(MIME type, bytes): JPEG with all its colour resolution, or PNG for small pictures."""
    if min(rgb.shape[:2]) <= LOSSLESS:
        return "image/png", photos.png(rgb)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        90,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return "image/jpeg", cv2.imencode(".jpg", bgr, settings)[1].tobytes()
