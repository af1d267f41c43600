"""What a person may turn: `vivid`, how strong the colours are, and `tint`, a cast over them all."""

import math
from typing import Any

import numpy as np

from common.cli import UserError
from common.color.dial import Dial

# White seen under another daylight by an eye that is used to D65, in ab rounded to units: D55,
# daylight at 5500 K, is at (1.1, 10.8), D75, at 7500 K, at (-0.1, -8.1).
TINTS = {"warm": (1.0, 11.0), "cool": (0.0, -8.0)}
VIVID = (0.0, 1.0)  # from faithful to vivid
BORDERS = ("colour", "keep")  # what is done to a print's border


def parse_vivid(value: str | float) -> float:
    """A number in [0, 1], from faithful to vivid; `UserError` for anything else."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not VIVID[0] <= number <= VIVID[1]:
        raise UserError(f"VIVID= is a number from 0, faithful, to 1, vivid. Received: {value}.")
    return number


def parse_tint(value: Any) -> tuple[float, float]:
    """A name in `TINTS`, "a,b" or (a, b) -> a shift of a* and b* in Lab units; else `UserError`."""
    given = value
    try:
        if isinstance(value, str):
            value = TINTS.get(value) or value.split(",")
        a, b = map(float, value)
    except (TypeError, ValueError):
        a = b = math.nan
    if not (abs(a) <= 100 and abs(b) <= 100):  # nor NaN
        raise UserError(
            f"TINT= is {', '.join(TINTS)} or a,b: shifts towards red and towards yellow, from -100 "
            f"to 100 units of Lab. Received: {given}."
        )
    return a, b


def parse_border(value: str) -> str:
    """One of `BORDERS`; `UserError` for anything else."""
    if value not in BORDERS:
        raise UserError(f"BORDER= is {' or '.join(BORDERS)}. Received: {value}.")
    return value


def redialled(network: Any, dial: Dial | None, vivid: float) -> Any:
    """A `Colorizer`'s network, decoded at `vivid` in [0, 1] of its dial; `UserError` without."""
    if dial is None:
        raise UserError(
            "VIVID= needs a model that classifies ab and was exported with its dial, as wombat or "
            "one trained with BINS=1. This one has none: leave VIVID= out."
        )
    return network.decoded(dial, vivid)


def tinted(lab: np.ndarray, tint: tuple[float, float]) -> np.ndarray:
    """Shift ab by `tint` in place: (..., 3) float32 Lab -> the same array.

    The shift is whole at L* 50, 0.87 of it at 20 and 80, and none at 0 and 100: a cast that an
    editor wants lies on skin, sky and stone, while paper stays white and shadow black. By L* of
    each pixel rather than by the bins, so that it is the same for every model, in every photo.
    """
    weight = 1 - (lab[..., 0] / 50 - 1) ** 4
    lab[..., 1:] += weight[..., None] * np.asarray(tint, lab.dtype)
    return lab
