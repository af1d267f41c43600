"""What a picture costs as data sets grow: time and memory of preparing, training and evaluating.

    python -m benchmarks.growth                                        # 1,000, 10,000 and 100,000
    python -m benchmarks.growth --pictures 1000 10000 --plot=docs/growth.png

The pictures are drawn, 32 x 32, and the commands are those that make calls, each in a process of
its own: `data`; `train cs230` for a number of steps that is the same for all, on pictures from the
whole data set; `eval` of what was trained on a quarter of them. Time and memory that do not depend
on the number, a process's start among them, show at the smallest.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from common import cli, files

ROOT = Path(__file__).parents[1]
SIZE, BATCH, STEPS = 32, 32, 100
HELD_OUT = 64  # pictures for validation and for test, with which a training ends
SHARE = 4  # one in so many training pictures is evaluated
STAGES = ("data", "train", "eval")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one command took: seconds, and the largest resident size of its process in MB."""

    pictures: int  # in the data set
    stage: str
    handled: int  # of them, by this stage
    seconds: float
    megabytes: float


def make(folder: Path, count: int) -> Path:
    """Write `count` different PNGs in folders of a thousand; returns the list of their splits."""
    rng, lines = np.random.default_rng(0), []
    for number in range(count):
        name = f"{number // 1000:03d}/{number:06d}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        corners = rng.integers(0, 256, (2, 2, 3), np.uint8)
        picture = cv2.resize(corners, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        split = ("validation", "test", "train")[min(number // HELD_OUT, 2)]
        lines.append(f"{name},{split}\n")
    splits = folder.with_suffix(".csv")
    splits.write_text("".join(lines), encoding="utf-8")
    return splits


def measure(counts: Sequence[int]) -> Iterator[Cost]:
    """Yield the cost of each stage with each number of pictures."""
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="growth-") as home:
            splits = make(Path(home, "pictures"), count)
            data = [f"--data={Path(home, 'pictures')}", f"--split-by={splits}", f"--size={SIZE}"]
            run = Path(home, "runs", "growth")
            evaluated = (count - 2 * HELD_OUT) // SHARE
            stages: dict[str, tuple[int, list[str]]] = {
                "data": (count, ["data", *data, "--embedding=none"]),
                "train": (
                    STEPS * BATCH,
                    ["train", "cs230", "--config=plain", *data, "--epochs=1", f"--steps={STEPS}"]
                    + [f"--batch={BATCH}", "--run=growth", "--unpublished"],
                ),
                "eval": (
                    evaluated,
                    ["eval", *data, f"--model={run / 'cs230-plain.h5'}", "--split=train"]
                    + [f"--limit={evaluated}"],
                ),
            }
            for stage, (handled, words) in stages.items():
                yield Cost(count, stage, handled, *_cost(words, Path(home)))


def _cost(words, home):
    """(seconds, MB at most) of a command in the folder `home`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    log = home / "log"
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "common.commands", *words],
            cwd=home,
            env=environment,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        raise cli.UserError(f"{' '.join(words[:2])} failed: {cli.one_line(text[-500:], 300)}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def table(costs: Sequence[Cost]) -> str:
    """Markdown: a row each; milliseconds a picture are of the whole command, its start included."""
    lines = ["| pictures | stage | s | ms a picture | peak, MB |", "|--:|---|--:|--:|--:|"]
    for cost in costs:
        each = 1000 * cost.seconds / cost.handled
        lines.append(
            f"| {cost.pictures:,} | {cost.stage} | {cost.seconds:.1f} | {each:.2f} | "
            f"{cost.megabytes:.0f} |"
        )
    return "\n".join(lines)


def plot(costs: Sequence[Cost], path: Path) -> None:
    """Milliseconds a picture and peak memory against the number of pictures, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure((7.6, 2.8), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for stage in STAGES:
        own = [cost for cost in costs if cost.stage == stage]
        counts = [cost.pictures for cost in own]
        each = [1000 * cost.seconds / cost.handled for cost in own]
        times.plot(counts, each, "o-", label=stage)
        memory.plot(counts, [cost.megabytes for cost in own], "o-", label=stage)
    times.set(xscale="log", yscale="log", xlabel="pictures", ylabel="ms a picture, start included")
    memory.set(xscale="log", xlabel="pictures", ylabel="peak memory, MB", ylim=(0, None))
    times.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = cli.Parser("python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pictures", type=cli.at_least(1000), nargs="+", default=[1_000, 10_000, 100_000]
    )
    parser.add_argument("--plot", type=Path, help="a PNG to write")
    args = parser.parse_args(argv)
    costs = []
    for cost in measure(args.pictures):
        costs.append(cost)
        print(table([cost]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(costs))
    if args.plot:
        plot(costs, args.plot)


if __name__ == "__main__":
    sys.exit(cli.run(main))
