"""Damaged and hostile files for every reader: none may crash, hang, or take too much memory.

    make fuzz                                              # 10,000 cases of each reader: hours
    make fuzz TARGET=picture CASES=300
    make fuzz TARGET=picture SEED=123 CASES=1              # one case again

A case is a whole file with something changed, the same for the same seed. It may be read, or
be refused by one line. A file that fails is kept in reports/fuzz by its seed. Exit 1 if any did.
"""

import collections
import sys
import time
from pathlib import Path

from benchmarks.fuzz import worker
from common import cli, files
from common.networks import backend

OUT = Path("reports/fuzz")


def main(argv: list[str] | None = None) -> int:
    """The command; 1 if a case failed."""
    targets = backend.imported("benchmarks.fuzz.targets")
    parser = cli.Parser("benchmarks.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--target", action="append", choices=targets.TARGETS, help="a reader; by default all"
    )
    parser.add_argument("--cases", type=cli.at_least(1), default=10_000, help="of each reader")
    parser.add_argument("--seed", type=cli.at_least(0), default=0, help="of the first case")
    args = parser.parse_args(argv)
    failed = 0
    for name in args.target or targets.TARGETS:
        failed += _try(name, targets.case, args.seed, args.cases)
    return 1 if failed else 0


def _try(target, case, seed, count):
    """Do a target's cases, made by `case`; print and write figures; how many of them failed."""
    results: collections.Counter[str] = collections.Counter()
    seconds, memory, begun = 0.0, 0, time.monotonic()
    failures = []
    with cli.progress(total=count, desc=target, unit="case") as bar:
        for outcome in worker.cases((target, seed + number) for number in range(count)):
            results[outcome.result] += 1
            seconds, memory = max(seconds, outcome.seconds), max(memory, outcome.memory)
            if outcome.result == "failed":
                OUT.mkdir(parents=True, exist_ok=True)
                path = OUT / f"{target}-{outcome.seed}"
                path.write_bytes(case(target, outcome.seed))
                failures.append([outcome.seed, outcome.detail])
                cli.say(f"failed: {path}: {outcome.detail}")
            bar.update()
    figures = {
        "target": target,
        "seed": seed,
        "cases": count,
        **results,
        "longest_seconds": round(seconds, 2),
        "most_megabytes": round(memory / 1e6),
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "failures": failures,
    }
    files.write_json(OUT / f"{target}.json", figures)
    print(
        f"{target}: {count} cases from seed {seed}: {results['read']} read, "
        f"{results['refused']} refused, {results['failed']} failed; at most {seconds:.1f} s of "
        f"processor time and {memory / 1e6:.0f} MB; {figures['minutes']} min",
        flush=True,
    )
    return results["failed"]


if __name__ == "__main__":
    sys.exit(cli.run(main))
