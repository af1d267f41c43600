"""The reports, looked up by name: nothing in common/ imports one by an import statement."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from common import cli
from common.cli import UserError

FORM = ("config.py", "model.py", "train.py", "claims.py")  # what a report's package consists of


def names(part: str = "train") -> list[str]:
    """The packages on Python's path that have a report's files and the module `part`, sorted.

    part: a module inside the package, dotted ("experiments.study"). Nothing is imported.
    """
    needed = (*FORM, f"{part.replace('.', '/')}.py")
    return sorted(
        {
            train.parent.name
            for folder in sys.path
            for train in Path(folder).glob("*/train.py")
            if all((train.parent / name).is_file() for name in needed)
        }
    )


def check(report: str, part: str = "train") -> None:
    """UserError with the nearest name unless the report exists and has the module `part`."""
    known = names(part)
    if report in known:
        return
    if report in names():
        problem = f"The report {report} has no {part}."
    elif any(Path(folder, report, "train.py").is_file() for folder in sys.path):
        problem = f"{report} is no report: its package needs {', '.join(FORM)}."
    else:
        problem = f"There is no report {report}.{cli.nearest(report, known)}"
    raise UserError(f"{problem} There {'is' if len(known) == 1 else 'are'}: {', '.join(known)}.")


def module(report: str, part: str) -> ModuleType:
    """The module `part` of a report's package; UserError if there is none."""
    check(report, part)
    return importlib.import_module(f"{report}.{part}")
