"""Small charts for a page: this module computes coordinates, macros.html writes the SVG.

Colours come from the page's CSS, by class, so that charts follow its theme.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

MARKED = 50  # a line of at most so many points has a mark at each


@dataclasses.dataclass(frozen=True)
class Frame:
    """A chart's size in CSS pixels; left to bottom: the room for labels around its area.

    strip: the height of a band of colours along the x axis.
    """

    width: int = 320
    height: int = 170
    left: int = 46
    right: int = 8
    top: int = 8
    bottom: int = 24
    strip: int = 5


FRAME = Frame()


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of values, its ticks as (value, text), and whether it is logarithmic."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies, 0 to 1; values outside the range lie at its ends."""
        ends = self.low, self.high
        low, high, at = map(math.log, (*ends, max(value, self.low))) if self.log else (*ends, value)
        return min(max((at - low) / (high - low), 0), 1)


@dataclasses.dataclass(frozen=True)
class Shape:
    """An SVG path with its CSS classes, and circles of the class `kind` at the marks (x, y)."""

    classes: str
    path: str
    kind: str = ""
    marks: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Panel:
    """One chart. name: in its corner. description: for a screen reader.

    x, y: the coordinate and text of every tick. bands: (x, width, colour) of a strip of colours.
    """

    name: str
    description: str
    x: tuple[tuple[str, str], ...]
    y: tuple[tuple[str, str], ...]
    shapes: tuple[Shape, ...]
    bands: tuple[tuple[str, str, str], ...] = ()
    frame: Frame = FRAME


def about(values: Iterable[float]) -> Axis:
    """A linear `Axis` from a round tick below all values to one above."""
    values = list(values)
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    ticks = _ticks(low, high)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return Axis(ticks[0], ticks[-1], tuple((tick, f"{tick:.{digits}f}") for tick in ticks))


def numbered(count: int) -> Axis:
    """An `Axis` of the numbers from 1 to `count`, 1 in the middle where it is alone."""
    if count == 1:
        return Axis(0, 2, ((1, "1"),))
    ticks = _ticks(1, count, integer=True, min_n_ticks=2)
    return Axis(1, count, tuple((tick, f"{tick:.0f}") for tick in ticks if 1 <= tick <= count))


def _ticks(low, high, **options):
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(4, steps=[1, 2, 5, 10], **options)
    return np.asarray(locator.tick_values(low, high)).tolist()


def panel(
    name: str, description: str, x: Axis, y: Axis, *shapes: Shape, strip: Sequence[str] = ()
) -> Panel:
    """The `Panel` of two axes and what `line` and `steps` return.

    strip: CSS colours of a band along the x axis, from low to high.
    """
    step = (FRAME.width - FRAME.right - FRAME.left) / max(len(strip), 1)
    return Panel(
        name,
        description,
        tuple((_x(x, value), text) for value, text in x.ticks),
        tuple((_y(y, value), text) for value, text in y.ticks),
        shapes,
        tuple(
            (f"{FRAME.left + at * step:.1f}", f"{step + 0.3:.1f}", colour)  # no gap is visible
            for at, colour in enumerate(strip)
        ),
    )


def line(kind: str, x: Axis, y: Axis, points: Sequence[tuple[float, float | None]]) -> Shape:
    """A line of the CSS class `kind` through (x, y) points; a y of None breaks it."""
    path, marks, joined = "", [], False
    for value, height in points:
        if height is not None:
            marks.append((_x(x, value), _y(y, height)))
            path += f"{'L' if joined else 'M'}{' '.join(marks[-1])}"
        joined = height is not None
    return Shape(f"line {kind}", path, kind, tuple(marks) if len(points) <= MARKED else ())


def steps(kind: str, x: Axis, y: Axis, edges: np.ndarray, heights: np.ndarray) -> Shape:
    """A histogram's outline of the CSS class `kind`: len(heights) + 1 edges, down to the axis."""
    path = f"M{_x(x, edges[0])} {_y(y, y.low)}"
    for edge, height in zip(edges[1:], heights, strict=True):
        path += f"V{_y(y, height)}H{_x(x, edge)}"
    return Shape(f"steps {kind}", f"{path}V{_y(y, y.low)}")


def _x(axis, value):
    return f"{FRAME.left + axis(value) * (FRAME.width - FRAME.right - FRAME.left):.1f}"


def _y(axis, value):
    bottom = FRAME.height - FRAME.bottom
    return f"{bottom - axis(value) * (bottom - FRAME.top):.1f}"
