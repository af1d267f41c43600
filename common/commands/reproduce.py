"""Run the recipes behind a report's results, and print the report's figure beside ours."""

import csv
import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common import cli, files, metrics
from common.cli import UserError
from common.datasets import prepare
from common.networks import embeddings
from common.networks.precision import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: what, the report's figure or words, and ours from a `Result`."""

    what: str
    reported: str
    ours: Callable


@dataclasses.dataclass(frozen=True)
class Result:
    """What a recipe left behind."""

    folder: Path  # of the run
    history: list  # a dict an epoch, as in history.csv, numbers as floats
    evaluation: dict  # metrics.json of the exported model on the test split
    peak_bytes: int  # resident memory of the process at its largest
    parameters: int  # of the network

    def score(self, key, row=-1):
        """The mean of a metric over the test split; row 0 is grey, 1 the mean colour, -1 ours."""
        mean = self.evaluation["rows"][row]["metrics"][key]["mean"]
        return "undefined" if mean is None else f"{mean:.{metrics.METRICS[key].digits}f}"

    def test_loss(self):
        """The network's own loss over the test split, and the name of a perceptual one."""
        metadata = self.evaluation["rows"][-1]["metadata"]
        distance = metadata.get("distance")
        return f"{metadata['test_loss']:.3f}" + (f" ({distance['name']})" if distance else "")

    def against_baselines(self, key):
        """ours (grey, mean colour)."""
        return f"{self.score(key)} (grey {self.score(key, 0)}, mean colour {self.score(key, 1)})"


def main(argv, *, report, configs, build_model, rows):
    """The command of a report's reproduce.py. rows: {config name: list of Row}."""
    parser = cli.Parser(f"python -m {report}.reproduce", description=__doc__)
    prepare.add_arguments(parser)
    parser.add_argument("--config", choices=list(rows), help="one recipe instead of all")
    parser.add_argument("--embedding", choices=list(embeddings.NETWORKS))
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    for flag in ("epochs", "steps", "batch", "size", "seed"):
        parser.add_argument(f"--{flag}", type=int, help="instead of the recipe's")
    args, others = parser.parse_known_args(argv)  # others: the training knows more flags
    passed = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in vars(args).items()
        if value is not None and name != "config"
    ] + others
    lines = ["| config | what | report | ours |", "|---|---|---|---|"]
    for name in [args.config] if args.config else rows:
        parameters = build_model(configs[name]).count_params()
        result = _run(report, name, passed, args.data, parameters)
        lines += [
            f"| {name} | {row.what} | {row.reported} | {row.ours(result)} |" for row in rows[name]
        ]
        lines.append(
            f"| {name} | command | | `make train-{report} CONFIG={name} "
            f"DATA={args.data}`: {result.folder} |"
        )
    path = Path("reports", "reproduce", f"{report}.md")
    files.write_text(path, "\n".join(lines) + "\n")
    print("\n" + "\n".join(lines))
    print(f"\n{path}")
    if args.data == "samples":
        print(
            "On the built-in samples: this shows that the recipes run. For the report's own data "
            "see the package's README."
        )


def _run(report, name, passed, data, parameters):
    """Train one config in a process of its own, whose memory can then be read off."""
    run = f"reproduce-{report}-{name}-{Path(data).name}"
    code = subprocess.run(
        [
            sys.executable,
            "-m",
            "common.commands.quietly",
            f"{report}.train",
            f"--config={name}",
            f"--run={run}",
            *passed,
        ]
    ).returncode
    if code:
        raise UserError(f"The recipe {name} ended with exit code {code}; its last lines say why.")
    folder = Path("runs", run)
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        history = [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    evaluation = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return Result(folder, history, evaluation, peak, parameters)
