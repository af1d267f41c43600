"""Colour very many photos in one run, and watch what it holds: memory, handles, threads.

    python -m benchmarks.soak                                     # 10,000 photos, and the figures
    python -m benchmarks.soak --photos=1000 --isolate=no --plot=soak.png

The photos are small, of every format of docs/formats.md, and one in ten is damaged, as by
benchmarks.fuzz. A run that keeps anything of a photo grows with their number: exit 1. What is
watched is the command `colorization colorize` with all processes that it starts, by Linux's /proc,
with a network of a few hundred parameters unless `--model` names another.
"""

import argparse
import dataclasses
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.fuzz import corpus, mutation
from common import cli, files

ROOT = Path(__file__).parents[1]
DAMAGED = 10  # one photo in so many
KEPT = 5_000  # bytes a photo that a run may grow by: names and reasons, for the report
SLACK = 40e6  # bytes by which the memory of a run varies without a leak
# Handles and threads that come and go: up to four photos are in flight, each with its file, its
# pixels in two processes, and its result.
IN_FLIGHT = 16


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a run and all its processes hold after so many results. memory: bytes, shared pages
    counted once (PSS)."""

    photos: int
    memory: int
    handles: int
    threads: int
    processes: int


def make(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` photos of all formats, in folders of a thousand, one in ten damaged."""
    rng = np.random.default_rng(seed)
    kinds = itertools.cycle([itertools.cycle(found) for found in corpus.pictures().values()])
    for number in range(count):
        data = next(next(kinds))
        if number % DAMAGED == 0:
            data = mutation.changed(data, rng)
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def watch(command: Sequence[str], out: Path, every: float = 1.0) -> tuple[list[Sample], int, str]:
    """The samples of a command that writes a file a photo below `out`, its exit code and output."""
    samples = []
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        while process.poll() is None:
            sample = _sample(process.pid, sum(len(names) for _, _, names in os.walk(out)))
            if process.poll() is None and sample.memory:
                samples.append(sample)
            time.sleep(every)
        output.seek(0)
        return samples, process.returncode, output.read()


def _sample(first, photos):
    """What a process and its descendants hold now; those that have ended hold nothing."""
    found, memory, handles, threads = [first], 0, 0, 0
    for pid in found:
        home = Path("/proc", str(pid))
        try:
            (size,) = re.findall(r"^Pss:\s*(\d+)", (home / "smaps_rollup").read_text(), re.M)
            tasks = list((home / "task").iterdir())
            memory += int(size) * 1024
            handles += len(list((home / "fd").iterdir()))
            threads += len(tasks)
            for task in tasks:
                found += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):
            continue
    return Sample(photos, memory, handles, threads, len(found))


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew with the number of photos, a line each: the last quarter against the second.

    By then everything is loaded. ValueError where there are too few samples to tell.
    """
    last = max((sample.photos for sample in samples), default=0)
    quarters: list[list[Sample]] = [[], [], [], []]
    for sample in samples:
        quarters[min(3, 4 * sample.photos // (last + 1))].append(sample)
    before, after = quarters[1], quarters[3]
    if not before or not after:
        raise ValueError("growth() needs samples in every quarter of a run. Sample more often.")

    def medians(name):
        return [statistics.median(getattr(each, name) for each in part) for part in (before, after)]

    lines = []
    start, end = medians("memory")
    photos = np.subtract(*medians("photos")[::-1])
    if end - start > SLACK + KEPT * photos:
        lines.append(f"memory grew by {(end - start) / 1e6:.0f} MB over {photos:.0f} photos")
    for name in ("handles", "threads", "processes"):
        start, end = medians(name)
        if end - start > IN_FLIGHT + 0.01 * photos:
            lines.append(f"{name} grew from {start:.0f} to {end:.0f} over {photos:.0f} photos")
    return lines


def plot(samples: Sequence[Sample], path: Path) -> None:
    """A PNG of memory and handles over the number of results."""
    from matplotlib.figure import Figure

    figure = Figure((6.4, 2.6), layout="constrained")
    memory = figure.subplots()
    handles = memory.twinx()
    done = [sample.photos for sample in samples]
    memory.plot(done, [sample.memory / 1e6 for sample in samples], "C0")
    handles.plot(done, [sample.handles for sample in samples], "C1", linewidth=1)
    memory.set(xlabel="results", ylim=(0, None))
    memory.set_ylabel("memory in MB", color="C0")
    handles.set(ylim=(0, None))
    handles.set_ylabel("open handles", color="C1")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main(argv: list[str] | None = None) -> int:
    """The command; 1 if something grew."""
    parser = cli.Parser("python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=cli.at_least(100), default=10_000)
    parser.add_argument("--model", type=Path, help="an .h5 file; by default the smallest network")
    parser.add_argument("--isolate", choices=("auto", "yes", "no"), default="auto")
    parser.add_argument("--plot", type=Path, help="a PNG to write")
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Do a soak as the flags say; 1 if something grew."""
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        source, out, model = (Path(home, name) for name in ("photos", "coloured", "model.h5"))
        make(source, args.photos)
        model.write_bytes(args.model.read_bytes() if args.model else corpus.models()[0])
        command = [sys.executable, "-m", "common.commands", "colorize"]
        command += [f"--in={source}", f"--out={out}", f"--model={model}"]
        begun = time.monotonic()
        samples, code, output = watch(
            [*command, f"--isolate={args.isolate}"], out, every=min(1.0, args.photos / 5000)
        )
        minutes = (time.monotonic() - begun) / 60
    summary = [line for line in output.splitlines() if "coloured" in line][-1:]
    if code not in (0, 1) or not summary:
        raise cli.UserError(f"the command ended with {code}: {cli.one_line(output, 300)}")
    if args.plot:
        plot(samples, args.plot)
    steady = [each for each in samples if each.photos > args.photos / 4]
    print(summary[0].partition(": see")[0])
    for name, unit, scale in (("memory", " MB", 1e6), ("handles", "", 1), ("threads", "", 1)):
        values = [getattr(each, name) / scale for each in steady]
        print(f"{name}: {min(values):.0f} to {max(values):.0f}{unit} after the first quarter")
    print(f"{minutes:.1f} minutes, {len(samples)} samples")
    lines = growth(samples)
    print("\n".join(lines) or "nothing grew with the number of photos")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
