"""What to colour and how, and what came of it."""

import dataclasses
from pathlib import Path
from typing import Any

COLOUR = ("keep", "all")


@dataclasses.dataclass(frozen=True)
class Options:
    """What to colour, and how.

    source, out: files. is_steady: carry colours along the motion, else each frame by itself.
    colour: "keep" passes scenes that are in colour as they are, "all" colours them anew. lossless:
    FFV1. overwrite: replace a result, and work that was begun otherwise. settings: what the
    colours depend on besides, for the work folder: a run with others does not go on from it.
    """

    source: Path
    out: Path
    is_steady: bool = True
    colour: str = "keep"
    lossless: bool = False
    overwrite: bool = False
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """frames: written; kept: of them in colour already. difference:
    the mean |L*| between frames handed to the encoder and what it stored. notes: one line each."""

    frames: int
    kept: int
    difference: float
    notes: list[str]
