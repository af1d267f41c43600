"""The table of a folder's results, one line a file, and its summary."""

import collections
import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from common import files

REPORT = "colorize-report.csv"
RESULTS = ("coloured", "kept", "failed", "left out", "not a photo")
SHOWN = 10  # failures on the terminal; the report has all


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the report: a file below the source folder and its result, one of `RESULTS`.

    width, height: of the photo as stored, None if they could not be read. "left out": what may hold
    photos and was not entered or opened, as a linked folder or one without permission. model: of a
    coloured photo, the model and what computed it.
    """

    file: str
    width: int | None = None
    height: int | None = None
    result: str = "not a photo"
    reason: str = ""
    model: str = ""


def save(out: Path, rows: Sequence[Row]) -> None:
    """Write the table into the folder of the results."""
    with (
        files.replacing(out / REPORT) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(field.name for field in dataclasses.fields(Row))
        table.writerows(dataclasses.astuple(row) for row in rows)


def summarize(out: Path, rows: Sequence[Row]) -> int:
    """Print the number of each kind of result, and the failures; the exit code, 1 if there are."""
    counts = collections.Counter(row.result for row in rows)
    summary = ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])
    print(f"{summary}: see {out / REPORT}")
    failed = [row for row in rows if row.result == "failed"]
    for row in failed[:SHOWN]:
        print(f"failed: {row.file}: {row.reason}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: {len(failed) - SHOWN} more", file=sys.stderr)
    return 1 if failed else 0
