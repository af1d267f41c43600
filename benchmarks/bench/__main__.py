"""Measure speed and memory: `make bench`, or `python -m benchmarks.bench --help`.

The sides of a comparison take turns in one process, in alternating order, so that other load on the
machine affects both. A ratio is the median over the turns, given with the lowest and the highest:
trust a difference only where that span is narrow. Pictures are drawn, noise, or the sample photos;
networks are untrained and embedding weights random, which takes the same time. Nothing is
downloaded.
"""

import contextlib
import dataclasses
import sys
import tempfile
from pathlib import Path

from benchmarks.bench.turns import Effort, Row
from common import cli
from common.networks import backend

OUT = Path("reports/bench")
# (module, function): (effort, an empty folder) -> rows. Imported once the arguments are known.
BENCHMARKS = {
    "train": ("training", "steps"),
    "predict": ("training", "predictions"),
    "normalisation": ("training", "normalisation"),
    "shards": ("training", "shards"),
    "pytorch": ("peers", "against_pytorch"),
    "onnx": ("peers", "against_onnx"),
    "photo": ("starting", "one_photo"),
    "folder": ("starting", "folder_of_photos"),
    "lab": ("pictures", "conversions"),
    "jpeg": ("pictures", "jpeg"),
    "embedding": ("pictures", "embedding_rates"),
    "maps": ("pictures", "map_rates"),
    "evaluate": ("pictures", "scores"),
    "export": ("pictures", "exports"),
    "memory": ("memory", "peaks"),
}


def main(argv: list[str] | None = None) -> None:
    """The command `python -m benchmarks.bench`."""
    parser = cli.Parser("python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="short turns, to show that it works: the figures are rough",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BENCHMARKS),
        help="this benchmark alone; may be given again",
    )
    parser.add_argument(
        "--base", type=Path, help="bench.json of an earlier run: print ratios to it as well"
    )
    args = parser.parse_args(argv)
    results = backend.imported("benchmarks.bench.results")
    base = results.read(args.base) if args.base else {}
    effort = Effort(turns=2, seconds=0.5) if args.quick else Effort()
    about = {
        "machine": results.machine(),
        "quick": args.quick,
        "effort": dataclasses.asdict(effort),
    }
    rows: list[Row] = []
    for name in args.only or BENCHMARKS:
        module, function = BENCHMARKS[name]
        benchmark_of = getattr(backend.imported(f"benchmarks.bench.{module}"), function)
        with tempfile.TemporaryDirectory() as folder:
            benchmark = benchmark_of(effort, Path(folder))
            while True:
                with contextlib.redirect_stdout(sys.stderr):  # standard output is the table's
                    row = next(benchmark, None)
                if row is None:
                    break
                rows.append(row)
                print(results.table([row]).splitlines()[-1], file=sys.stderr, flush=True)
        backend.imported("keras").utils.clear_session()
        results.write(OUT, about, rows)  # after each, since all of it takes long
    print(results.table(rows))
    machine = about["machine"]
    print(
        f"\n{machine['processor']}, {machine['cores']} cores, {', '.join(machine['flags'])}; "
        f"auto is {machine['auto']}. Written to {OUT}/bench.json and bench.png."
    )
    if base:
        print(f"\nAgainst {args.base}:\n\n{results.against(rows, base)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
