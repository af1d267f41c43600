"""All metrics of one picture, and their means over pictures."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from common.color import lab
from common.metrics.auc import rarity
from common.metrics.picture import Picture
from common.metrics.recolour import recolour
from common.metrics.table import OF_TRUTH, PICTURE_METRICS, chosen


class Truth:
    """A true picture, (H, W, 3) uint8, as RGB, Lab and ab, to score predictions of it."""

    def __init__(self, rgb: np.ndarray, true_lab: np.ndarray | None = None):
        true_lab = lab.rgb_to_lab(rgb) if true_lab is None else true_lab
        self.rgb, self.lab, self.ab = Picture(rgb), Picture(true_lab), Picture(true_lab[..., 1:])

    def values(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """{key: float} of `OF_TRUTH`, and the picture's `rarity` where colours have weights."""
        columns = {key: PICTURE_METRICS[key] for key in OF_TRUTH}
        values = {key: metric.function(self.rgb, **metric.given) for key, metric in columns.items()}
        return values | ({} if weights is None else {"rarity": rarity(self.ab, weights=weights)})


def score(
    truth: Truth,
    ab_predicted: np.ndarray | None,
    rgb_predicted: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Every metric of one picture: {key: float}, None where a metric is not defined.

    ab_predicted: (H, W, 2) in Lab units, with rgb_predicted, (H, W, 3) uint8, the picture that
    `recolour` makes of it, made here if it is left out; or None with a picture, which is scored
    with its own lightness and ab. weights: (313,), as in `auc_ab`.
    """
    if rgb_predicted is None:
        if ab_predicted is None:
            raise ValueError("score() needs ab or a picture. Received: neither.")
        rgb_predicted = recolour(truth.lab.array[..., :1], ab_predicted)
    lab_predicted = lab.rgb_to_lab(rgb_predicted)
    if ab_predicted is None:
        ab_predicted = lab_predicted[..., 1:]
    pictures = {
        "rgb": truth.rgb,
        "lab": truth.lab,
        "ab": truth.ab,
        "rgb_predicted": Picture(rgb_predicted),
        "lab_predicted": Picture(lab_predicted),
        "ab_predicted": Picture(ab_predicted),
    }
    values: dict[str, float | None] = {}
    for key, metric in chosen(weights is not None).items():
        switches = metric.given | ({"weights": weights} if metric.by_rarity else {})
        value = (
            metric.function(*(pictures[name] for name in metric.pictures), **switches)
            if min(truth.rgb.array.shape[:2]) >= metric.smallest
            else None
        )
        undefined = metric.by_rarity and value is not None and math.isnan(value)
        values[key] = None if undefined else value
    return values


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over pictures.

    mean: over the finite values, None if there are none. n: how many these are. infinite: how many
    are infinite, because the pictures are equal.
    """

    mean: float | None
    n: int
    infinite: int


def summary(values: Sequence[float | None], weights: Sequence[float] | None = None) -> Mean:
    """The mean of per-picture values; None among them is left out.

    weights: one a picture, of a weighted mean.
    """
    defined = np.array([value is not None for value in values], bool)
    numbers = np.array([value for value in values if value is not None], np.float64)
    if np.isnan(numbers).any():
        raise ValueError("summary() of NaN: a metric never gives it, so look for its source.")
    finite = np.isfinite(numbers)
    shares = np.ones(len(numbers)) if weights is None else np.asarray(weights)[defined]
    return Mean(
        mean=float(np.average(numbers[finite], weights=shares[finite]))
        if shares[finite].any()
        else None,
        n=int(finite.sum()),
        infinite=int((~finite).sum()),
    )
