"""Sides of a comparison take turns, so that other load on the machine affects all of them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure: `turns` for each side, each of at least `seconds`."""

    turns: int = 5
    seconds: float = 4.0


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison of two sides, or figures of one: `sides` is {what: a number a turn}, in `unit`.

    aim: the figure or ratio to reach, in words. facts: what else belongs to the row,
    {"ms a step": 120.0}.
    """

    name: str
    sides: Mapping[str, list[float]]
    unit: str
    aim: str = ""
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """First side over second, turn by turn; [] where there is only one side."""
        first, *second = self.sides.values()
        return [a / b for a, b in zip(first, second[0], strict=True)] if second else []

    @property
    def medians(self) -> dict[str, float]:
        """{what: the median of its turns}."""
        return {what: statistics.median(numbers) for what, numbers in self.sides.items()}


def alternate(effort: Effort, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """{what: work} -> {what: [units a second, a number a turn]}; work() returns its units."""
    for work in sides.values():
        work()  # compiles, allocates, fills caches
    rates: dict[str, list[float]] = {what: [] for what in sides}
    for turn in range(effort.turns):
        for what in list(sides)[:: -1 if turn % 2 else 1]:
            rates[what].append(rate(sides[what], effort.seconds))
    return rates


def rate(work: Callable[[], float], seconds: float) -> float:
    """Units a second of work(), which returns its units, called for at least `seconds`."""
    done, start = 0.0, time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed
