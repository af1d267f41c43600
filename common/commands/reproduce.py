"""Train the configs behind a report's results, and print the report's figures beside ours."""

import dataclasses
import importlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common import cli, datasets, files, metrics
from common.cli import UserError
from common.commands import reports, train
from common.evaluation import rows
from common.networks import embeddings
from common.networks.flags import PRECISIONS
from common.training import logs


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: a quantity, the report's figure or words, and ours from a `Result`."""

    what: str
    reported: str
    ours: Callable[["Result"], str]


@dataclasses.dataclass(frozen=True)
class Result:
    """The results of training one config."""

    folder: Path  # of the run
    history: list  # a dict an epoch, as in history.csv, numbers as floats
    evaluation: rows.Evaluation  # of the exported model on the test split
    peak_bytes: int  # resident memory of the process at its largest
    parameters: int  # of the network

    def score(self, key: str, name: str | None = None) -> str:
        """The mean of a metric over the test split: of a row by name, else of the trained model."""
        row = self.evaluation.row(name) if name else self.evaluation.model
        if key not in row.figures:
            return "not measured"  # by the version that evaluated this run
        mean = row.figures[key].mean
        return "undefined" if mean is None else f"{mean:.{metrics.METRICS[key].digits}f}"


# --- what `Row.ours` may be ---------------------------------------------------------------------


def by_epoch(key: str, digits: int) -> Callable[[Result], str]:
    """A column of the history: up to three epochs, or the first and the last."""

    def ours(result):
        known = (row.get(key) for row in result.history)
        values = ["-" if value is None else f"{value:.{digits}f}" for value in known]
        return " -> ".join(values if len(values) < 4 else [values[0], "...", values[-1]])

    return ours


def against_baselines(key: str) -> Callable[[Result], str]:
    """A metric of the trained model, beside grey and the mean colour."""

    def ours(result):
        baselines = ", ".join(
            f"{name} {result.score(key, name)}" for name in (rows.GREY, rows.MEAN_COLOUR)
        )
        return f"{result.score(key)} ({baselines})"

    return ours


def test_loss(result: Result) -> str:
    """The network's own loss over the test split, and the name of a perceptual one."""
    metadata = result.evaluation.model.metadata
    distance = metadata.get("distance")
    return f"{metadata['test_loss']:.3f}" + (f" ({distance['name']})" if distance else "")


def parameters(result: Result) -> str:
    return f"{result.parameters:,}"


# --- the command --------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> None:
    """The command `colorization reproduce`."""
    parser = cli.Parser("colorization reproduce", description=__doc__)
    parser.add_argument("report", choices=reports.names("claims"))
    datasets.add_arguments(parser)
    parser.add_argument("--config", help="one recipe instead of all")
    parser.add_argument("--embedding", choices=list(embeddings.NETWORKS))
    parser.add_argument("--precision", choices=PRECISIONS)
    for flag, least in {"epochs": 1, "steps": 1, "batch": 1, "size": 8, "seed": 0}.items():
        parser.add_argument(f"--{flag}", type=cli.at_least(least), help="instead of the recipe's")
    args, others = parser.parse_known_args(argv)  # other flags are passed on to the training
    passed = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in vars(args).items()
        if value is not None and name not in ("report", "config")
    ] + others
    train.check_unnamed(others)
    report = args.report
    claims = reports.module(report, "claims").ROWS
    if args.config and args.config not in claims:
        raise UserError(
            f"{report} has no recipe {args.config}.{cli.nearest(args.config, claims)} "
            f"There are: {', '.join(claims)}."
        )
    package = importlib.import_module(report)
    lines = ["| config | what | report | ours |", "|---|---|---|---|"]
    for name in [args.config] if args.config else claims:
        config = package.CONFIGS[name]
        if args.size:
            config = dataclasses.replace(config, image_size=args.size)
        parameters = package.build_model(config).count_params()
        result = _run(report, name, passed, args.data, parameters)
        lines += [
            f"| {name} | {row.what} | {row.reported} | {row.ours(result)} |" for row in claims[name]
        ]
        command = as_make(f"train-{report}", [f"--config={name}", *passed])
        lines.append(f"| {name} | command | | `{command}`: {result.folder} |")
    path = Path("reports", "reproduce", f"{report}.md")
    files.write_text(path, "\n".join(lines) + "\n")
    print("\n" + "\n".join(lines))
    print(f"\n{path}")
    if args.data == "samples":
        print(
            "On the built-in samples: this shows that the recipes run. For the report's own data "
            "see the package's README."
        )


def as_make(target: str, flags: list[str]) -> str:
    """The make command with these flags: --name=value, --name value, or a switch."""
    words: list[str] = []
    for flag in flags:
        if not flag.startswith("--"):
            words[-1] = f"{words[-1].partition('=')[0]}={shlex.quote(flag)}"
            continue
        name, given, value = flag[2:].partition("=")
        value = shlex.quote(value) if given else "1"
        words.append(f"{name.replace('-', '_').upper()}={value}")
    return " ".join(["make", target, *words])


def _run(report, name, passed, data, parameters):
    """Train one config in a process of its own, so that its memory can be measured."""
    run = f"reproduce-{report}-{name}-{Path(data).name}"
    words = ["common.commands", "train", report, *passed, f"--config={name}", f"--run={run}"]
    process = subprocess.Popen([sys.executable, "-m", *words])
    try:
        _, status, usage = os.wait4(process.pid, 0)  # the memory of this process alone
    except KeyboardInterrupt:
        process.wait()  # it received the signal too, and is writing its checkpoint
        raise
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code:
        raise UserError(f"The recipe {name} ended with exit code {code}; its last lines say why.")
    folder = Path("runs", run)
    evaluation = rows.read(folder / "evaluation" / "metrics.json")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = usage.ru_maxrss * unit
    return Result(folder, logs.read_history(folder), evaluation, peak, parameters)


if __name__ == "__main__":
    sys.exit(cli.run(main))
