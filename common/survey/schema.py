"""The JSON files of a survey: its key, which stays here, and a person's verdicts, which come back.

A key records of every picture, by the SHA-256 of its file, whether it is recoloured; a file
of verdicts records what the person took each picture for.
"""

import dataclasses
from pathlib import Path

SCHEMA = 1
KEY, VERDICTS = "colorization survey key", "colorization survey verdicts"  # "kind" in the files
KINDS = ("recoloured", "original")  # of pictures
ANSWERS = ("real", "recoloured")
OUT = Path("reports/survey")  # a folder a survey


@dataclasses.dataclass(frozen=True)
class Published:
    """A paper's result: the share of recoloured pictures taken for real, 0 to 1, and its source."""

    share: float
    source: str
