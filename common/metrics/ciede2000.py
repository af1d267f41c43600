"""CIEDE2000 in float32: scikit-image's figures in a third of the time.

Sharma, Wu, Dalal 2005. Hues are unit vectors instead of angles: the difference of two is the
chord between them, their mean is the direction of their sum, and the cosines of its multiples are
polynomials. One angle is left, how far the mean hue is from blue.
"""

import numpy as np

from common.metrics.picture import Picture, per_picture

_BLOCK = 1 << 14  # pixels processed at a time, so that intermediate arrays stay in the cache
_TINY = np.float32(1e-30)  # added to a chroma, so that grey has the hue (0, 0)


@per_picture
def ciede2000(
    lab: Picture, lab_predicted: Picture, /, *, kL: float = 1, kC: float = 1, kH: float = 1
) -> float:
    """CIEDE2000 colour difference, the mean over pixels: 1 is just noticeable side by side.

    The formula of Sharma et al. 2005. The evaluation takes the Lab of the 8-bit pictures, as a
    screen shows them, so that changes of L* by clipping are included.
    """
    height, width = lab.array.shape[:2]
    rows = max(1, _BLOCK // width)
    total = 0.0
    for start in range(0, height, rows):
        one, other = (
            [plane[start : start + rows] for plane in picture.planes]
            for picture in (lab, lab_predicted)
        )
        total += difference(one, other, kL=kL, kC=kC, kH=kH).sum(dtype=np.float64)
    return total / (height * width)


def difference(
    one: list[np.ndarray],
    other: list[np.ndarray],
    *,
    kL: float = 1,
    kC: float = 1,
    kH: float = 1,
) -> np.ndarray:
    """The difference of colours: two lists of L*, a* and b*, each (H, W) float32 -> (H, W)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    # a* is stretched near grey.
    stretch = 1.5 - 0.5 * _saturation(0.5 * (_length(a1, b1) + _length(a2, b2)))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _length(a1, b1), _length(a2, b2)
    chroma = 0.5 * (c1 + c2)

    first = a1 / (c1 + _TINY), b1 / (c1 + _TINY)
    second = a2 / (c2 + _TINY), b2 / (c2 + _TINY)
    chord, x, y = _hues(*first, *second)

    away = (0.5 * (l1 + l2) - 50) ** 2
    lightness = (l2 - l1) / (kL * (1 + 0.015 * away / np.sqrt(20 + away)))
    colour = (c2 - c1) / (kC * (1 + 0.045 * chroma))
    hue = np.sqrt(c1 * c2) * chord / (kH * (1 + 0.015 * chroma * _hue_weight(x, y)))
    squared = lightness**2 + colour**2 + hue * (hue + _rotation(x, y, chroma) * colour)
    return np.sqrt(np.maximum(squared, 0))


def _length(x, y):
    # OpenCV's magnitude is faster, but its last bit depends on where the arrays lie in memory.
    return np.sqrt(x * x + y * y)


def _saturation(chroma):
    """sqrt(C^7 / (C^7 + 25^7)), without a seventh power that float32 cannot hold."""
    ratio = 25 / np.maximum(chroma, np.float32(1e-3))
    squared = ratio * ratio
    return 1 / np.sqrt(1 + squared * squared * squared * ratio)


def _hues(x1, y1, x2, y2):
    """Of two hues, unit vectors: the chord from the first to the second, signed, and their mean."""
    dx, dy = x2 - x1, y2 - y1
    cross = x1 * y2 - x2 * y1
    # Of exact opposites the second is ahead where the first is below 180 degrees.
    ahead = np.copysign(np.float32(1), np.where(cross == 0, y1 + _TINY * x1, cross))
    # The sum has the direction of the mean, but next to nothing is left of it in opposite hues:
    # beyond a right angle it is taken across the chord.
    far = x1 * x2 + y1 * y2 < 0
    x = np.where(far, ahead * dy, x1 + x2)
    y = np.where(far, -ahead * dx, y1 + y2)
    length = _length(x, y)
    return ahead * _length(dx, dy), x / (length + _TINY), y / (length + _TINY)


def _turned(x, y, degrees):
    """cos(angle + degrees) of an angle's cosine and sine."""
    return np.float32(np.cos(np.radians(degrees))) * x - np.float32(np.sin(np.radians(degrees))) * y


def _hue_weight(x, y):
    """T: 1 - 0.17 cos(h - 30) + 0.24 cos 2h + 0.32 cos(3h + 6) - 0.20 cos(4h - 63)."""
    x2, y2 = 2 * x * x - 1, 2 * x * y
    x3, y3 = x * x2 - y * y2, x * y2 + y * x2
    x4, y4 = 2 * x2 * x2 - 1, 2 * x2 * y2
    return (
        1
        - 0.17 * _turned(x, y, -30)
        + 0.24 * x2
        + 0.32 * _turned(x3, y3, 6)
        - 0.20 * _turned(x4, y4, -63)
    )


def _rotation(x, y, chroma):
    """R_T, which ties differences of hue to those of chroma near blue, 275 degrees."""
    # Angles run from 0 to 360 and so end 85 degrees beyond blue.
    from_blue = np.degrees(np.arctan2(_turned(y, x, 275), _turned(x, y, -275)))
    near = np.exp(-((from_blue / 25) ** 2)) * (from_blue < 85)
    return -2 * _saturation(chroma) * np.sin(np.float32(np.pi / 3) * near)
