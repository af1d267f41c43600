"""Small charts as inline SVG: colours come from the page's CSS, so that they follow its theme."""

import dataclasses
import math
from html import escape

WIDTH, HEIGHT = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24  # room for the labels
STRIP = 5  # height of a band of colours along the x axis


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of values, its ticks as (value, text), and whether it is logarithmic."""

    low: float
    high: float
    ticks: tuple
    log: bool = False

    def __call__(self, value):
        """Where a value lies, 0 to 1; values outside lie at the ends."""
        ends = self.low, self.high
        low, high, at = map(math.log, (*ends, max(value, self.low))) if self.log else (*ends, value)
        return min(max((at - low) / (high - low), 0), 1)


def about(values):
    """A linear `Axis` from a round tick below all values to one above."""
    low, high = min(values), max(values)
    ticks = (
        _ticks(low, high)
        if low < high
        else _ticks(low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10)
    )
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return Axis(ticks[0], ticks[-1], tuple((tick, f"{tick:.{digits}f}") for tick in ticks))


def numbered(count):
    """An `Axis` of the numbers from 1 to `count`, 1 in the middle where it is alone."""
    if count == 1:
        return Axis(0, 2, ((1, "1"),))
    ticks = _ticks(1, count, integer=True, min_n_ticks=2)
    return Axis(1, count, tuple((tick, f"{tick:.0f}") for tick in ticks if 1 <= tick <= count))


def _ticks(low, high, **options):
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, steps=[1, 2, 5, 10], **options).tick_values(low, high).tolist()


def panel(name, words, x, y, *shapes, strip=()):
    """One chart as an <svg>, its name in a corner; `words` are what a screen reader says of it.

    shapes: SVG of `line` and `steps`. strip: colours of a band along the x axis, from low to high.
    """
    bottom = HEIGHT - BOTTOM
    parts = []
    for value, text in y.ticks:
        at = _y(y, value)
        parts.append(
            f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 6}" y="{at}" dy=".35em" text-anchor="end">{text}</text>'
        )
    parts += [
        *shapes,
        f'<text x="{WIDTH - RIGHT}" y="{TOP + 12}" class="name" text-anchor="end">'
        f"{escape(name)}</text>",
    ]
    step = (WIDTH - RIGHT - LEFT) / max(len(strip), 1)
    parts += [
        f'<rect x="{LEFT + i * step:.1f}" y="{bottom}" width="{step + 0.3:.1f}" '
        f'height="{STRIP}" fill="{colour}"/>'
        for i, colour in enumerate(strip)
    ]
    for value, text in x.ticks:
        parts.append(
            f'<text x="{_x(x, value)}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>'
        )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(words)}">{"".join(parts)}</svg>'
    )


def line(kind, x, y, points):
    """A line of the CSS class `kind` through (x, y), with a mark at each; a None of y breaks it."""
    path, marks, joined = "", "", False
    for value, height in points:
        if height is not None:
            at = f"{_x(x, value)} {_y(y, height)}"
            path += f"{'L' if joined else 'M'}{at}"
            if len(points) <= 50:
                cx, cy = at.split()
                marks += f'<circle class="mark {kind}" cx="{cx}" cy="{cy}" r="2.2"/>'
        joined = height is not None
    return f'<path class="line {kind}" d="{path}"/>{marks}'


def steps(kind, x, y, edges, heights):
    """A histogram's outline of the CSS class `kind`: len(heights) + 1 edges, down to the axis."""
    path = f"M{_x(x, edges[0])} {_y(y, y.low)}"
    for edge, height in zip(edges[1:], heights, strict=True):
        path += f"V{_y(y, height)}H{_x(x, edge)}"
    return f'<path class="steps {kind}" d="{path}V{_y(y, y.low)}"/>'


def _x(axis, value):
    return f"{LEFT + axis(value) * (WIDTH - RIGHT - LEFT):.1f}"


def _y(axis, value):
    return f"{HEIGHT - BOTTOM - axis(value) * (HEIGHT - BOTTOM - TOP):.1f}"
