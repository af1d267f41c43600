"""Colourfulness by Hasler and Süsstrunk 2003."""

import dataclasses
import math

import cv2
import numpy as np

from common.metrics.picture import Picture, per_picture


@per_picture
def colourfulness(rgb: Picture, /, *, absolute: bool = False) -> float:
    """Colourfulness of one picture by Hasler and Süsstrunk 2003: 0 for grey, 15 slight, 82 high.

    With the opponents rg = R - G and yb = (R + G) / 2 - B over all pixels:
    hypot of their standard deviations + 0.3 times the hypot of their means. `absolute` takes
    |rg| and |yb| instead, as some published code does; its figures do not compare.
    """
    opponents = rgb.once(_opponents)
    deviation = math.hypot(*(opponent.deviation(absolute) for opponent in opponents))
    return deviation + 0.3 * math.hypot(*(opponent.mean(absolute) for opponent in opponents))


@dataclasses.dataclass(frozen=True)
class _Opponent:
    """Exact sums over the pixels of whole numbers, which are `unit` times an opponent."""

    unit: int
    count: int
    total: int
    magnitudes: int
    squares: int

    def mean(self, absolute):
        return (self.magnitudes if absolute else self.total) / (self.unit * self.count)

    def deviation(self, absolute):
        total = self.magnitudes if absolute else self.total
        return math.sqrt(self.count * self.squares - total**2) / (self.unit * self.count)


def _opponents(picture):
    """R - G, and R + G - 2 B, twice the opponent."""
    red, green, blue = (plane.astype(np.int16) for plane in cv2.split(picture.array))
    opponents = []
    for unit, opponent in ((1, red - green), (2, red + green - 2 * blue)):
        # OpenCV's sums are doubles: whole numbers but for a rounding.
        sums = (
            cv2.sumElems(opponent)[0],
            *(cv2.norm(opponent, kind) for kind in (cv2.NORM_L1, cv2.NORM_L2SQR)),
        )
        opponents.append(_Opponent(unit, opponent.size, *map(round, sums)))
    return opponents


@per_picture
def colourfulness_error(
    rgb: Picture, rgb_predicted: Picture, /, *, absolute: bool = False
) -> float:
    """How far a picture's colourfulness is off the true picture's, up or down.

    Its mean over pictures is the mean of differences. It is never below the difference of means,
    in which a picture too pale and one too vivid cancel.
    """
    true, predicted = (colourfulness(each, absolute=absolute) for each in (rgb, rgb_predicted))
    return abs(predicted - true)
