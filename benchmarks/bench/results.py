"""What is written of the rows: the machine, the table, the plot, and ratios to an earlier run."""

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import skimage

from benchmarks.bench.turns import Row
from common import files
from common.cli import UserError
from common.networks import provenance
from common.networks.precision import choose_policy


def machine() -> dict[str, Any]:
    """The facts that the figures depend on: processor, cores, memory, versions, load, commit."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    lines = [line.partition(":") for line in text.splitlines()]
    processor = {key.strip(): value.strip() for key, _, value in lines}
    known = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    flags = processor.get("flags", "").split()
    policy, why = choose_policy("auto")
    return {
        "processor": processor.get("model name", platform.processor()),
        "family_model_stepping": [processor.get(k) for k in ("cpu family", "model", "stepping")],
        "flags": [flag for flag in known if flag in flags],
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "auto": f"{policy} ({why})",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": provenance.versions()
        | {"opencv": cv2.__version__, "scikit-image": skimage.__version__},
        "commit": provenance.commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


# --- the table -------------------------------------------------------------------------------


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table; facts stand in brackets after the name."""
    lines = ["| | first | second | ratio (lowest to highest) | aim |", "|---|--:|--:|--:|---|"]
    for row in rows:
        cells = [f"{what} {_short(median)} {row.unit}" for what, median in row.medians.items()]
        ratio = ""
        if row.ratios:
            low, high = min(row.ratios), max(row.ratios)
            ratio = f"{statistics.median(row.ratios):.2f} ({low:.2f} to {high:.2f})"
        facts = ", ".join(f"{what} {_short(value)}" for what, value in row.facts.items())
        name = row.name + (f" ({facts})" if facts else "")
        cells = [*cells, ""][:2]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {ratio} | {row.aim} |")
    return "\n".join(lines)


def _short(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


# --- an earlier run --------------------------------------------------------------------------


def read(path: Path) -> dict[str, dict[str, Any]]:
    """{name: row as JSON} of an earlier run's file; `UserError` where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {row["name"]: row for row in content["rows"] if row["sides"]}
    except OSError as error:
        raise UserError(f"BASE={path}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"BASE={path} is no result of this benchmark. Give a bench.json that it wrote."
        ) from None


def against(rows: Iterable[Row], base: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of each row's first side over that of the same row in an earlier run.

    Between two runs other load may differ. Where a row has two sides, their ratio, which is taken
    in turns, stands beside it, then and now.
    """
    lines = ["| | now / then | ratio of the sides then | now |", "|---|--:|--:|--:|"]
    for row in rows:
        if row.name not in base:
            continue
        then = base[row.name]
        first = next(iter(then["sides"].values()))
        change = next(iter(row.medians.values())) / statistics.median(first)
        before = f"{statistics.median(then['ratios']):.2f}" if then.get("ratios") else ""
        now = f"{statistics.median(row.ratios):.2f}" if row.ratios else ""
        lines.append(f"| {row.name} | {change:.2f} | {before} | {now} |")
    return "\n".join(lines)


# --- the files -------------------------------------------------------------------------------


def write(folder: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """bench.json: every figure of every turn; bench.png: rows whose sides are compared."""
    listed = [
        {
            "name": row.name,
            "sides": dict(row.sides),
            "unit": row.unit,
            "aim": row.aim,
            "facts": dict(row.facts),
            "ratios": row.ratios,
        }
        for row in rows
    ]
    files.write_json(folder / "bench.json", {**about, "rows": listed})
    draw(folder / "bench.png", [row for row in rows if row.ratios])


def draw(path: Path, rows: Sequence[Row]) -> None:
    """The ratio of each row's sides, median and span, as a PNG; nothing where there is no row."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    if not rows:
        return
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color="0.7", linewidth=1)
    for height, row in enumerate(reversed(rows)):
        middle = statistics.median(row.ratios)
        axes.plot([min(row.ratios), max(row.ratios)], [height, height], color="C0")
        axes.plot(middle, height, "o", color="C0")
    names = [f"{row.name}: {' / '.join(list(row.sides)[:2])}" for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set(xlabel="first side over second: median of the turns, lowest to highest")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
