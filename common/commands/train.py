"""Train a report's network, export it and evaluate it: `colorization train REPORT`."""

import argparse
import dataclasses
from types import ModuleType
from typing import Any

from common import cli, datasets, engines, metrics
from common.cli import UserError
from common.evaluation import evaluate, table
from common.networks import backend, embeddings, model_names, perceptual
from common.networks.flags import PRECISIONS, WEIGHTS_HELP, add_weights
from common.training.options import (
    CHECKPOINT_SECONDS,
    TIMEOUT,
    Options,
    distances,
    weights_variables,
)
from common.training.report import Report
from common.training.run import train


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command line asks for: the arguments of `train` after the report."""

    config: str
    data: str
    options: Options


def main(argv: list[str] | None, *, report: ModuleType | Report) -> int:
    """From pictures to an evaluated model; the exit code is 128 + n where signal n stopped it."""
    backend.start()  # `python -m koala.train` does not come through the table of commands
    request = parse(argv, report)
    run = train(report, request.config, request.data, request.options)
    if run.stopped_by:
        return 128 + run.stopped_by
    if run.model and run.trained and run.dataset.count("test"):
        out = run.folder / "evaluation"
        _, config = Report.of(report).config(request.config)
        options = evaluate.Options(
            of_batches=tuple(metrics.of_batches(config.watched)), keep_going=False
        )
        # Beside the new model, the one that colours where none is named.
        paths = [run.model, *model_names.default()]
        evaluation = evaluate.evaluate(paths, run.dataset, "test", out, options)
        print(table.table(evaluation))
        print(f"pictures to look at: {out}/index.html, {run.folder}/grid.png")
    return 0


def parse(argv: list[str] | None, report: ModuleType | Report) -> Request:
    """The request of a command line; a wrong argument ends the process with exit code 2."""
    report = Report.of(report)
    args = _parser(report).parse_args(argv)
    given = vars(args)
    weights = {variable: given[variable.lower()] for variable in weights_variables(report)}
    return Request(args.config, args.data, options_of(args, weights=weights))


def options_of(args: argparse.Namespace, **more: Any) -> Options:
    """The options that flags give, those of `add_of_runs` among them; more: fields besides."""
    names = {field.name for field in dataclasses.fields(Options)} - {"weights"}
    given = {name: value for name, value in vars(args).items() if name in names}
    return Options(**given, published=not args.unpublished, **more)


def check_unnamed(flags: list[str]) -> None:
    """`UserError` where flags of `train` name a run, for a command that names its runs itself."""
    if any(flag.partition("=")[0] == "--run" for flag in flags):
        raise UserError("--run: each config's run has a name of its own here. Leave it out.")


def _parser(report: Report) -> argparse.ArgumentParser:
    parser = cli.Parser(f"colorization train {report.name}", description=f"Train {report.name}.")
    datasets.add_arguments(parser)
    configs = report.configs
    parser.add_argument("--config", choices=list(configs), default=next(iter(configs)))
    parser.add_argument(
        "--embedding", choices=list(embeddings.NETWORKS), help="instead of the config's"
    )
    datasets.add_embed_from(parser)
    add_of_runs(parser)
    parser.add_argument(
        "--size", type=cli.at_least(8), help="side of the pictures, instead of the config's"
    )
    parser.add_argument(
        "--init",
        help="a name in models/, or a file: an exported model of the same network, whose weights "
        "the training begins from",
    )
    parser.add_argument(
        "--devices",
        metavar="N|all",
        help="how many GPUs train together, of each host; one, or all with --hosts",
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="with --hosts: where host 0 listens, and the others reach it (JAX alone)",
    )
    parser.add_argument("--hosts", type=cli.at_least(1), help="how many machines train together")
    parser.add_argument(
        "--host-id", type=int, help="which of the machines this is, from 0; host 0 writes the run"
    )
    parser.add_argument(
        "--timeout",
        type=cli.at_least(0.0, float),
        default=TIMEOUT,
        help="minutes that machines wait for each other at the start",
    )
    parser.add_argument(
        "--bins", action="store_true", help="classify ab into 313 bins, in place of the last layer"
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="weight the loss by the rarity of the colours in the data",
    )
    parser.add_argument(
        "--embed-views",
        action="store_true",
        help="embed each view of a picture anew, not the whole picture once",
    )
    if report.pretrained:
        add_maps(parser)
    of_losses = distances(report)
    for name in weights_variables(report).values():
        if name == "lpips":
            add_weights(parser, name, perceptual.WEIGHTS_HELP)
        elif name in of_losses:
            add_weights(parser, name, f"of the features of a perceptual loss: {WEIGHTS_HELP}")
        else:
            add_weights(parser, name)
    return parser


def add_maps(parser: argparse.ArgumentParser) -> None:
    """The flag --maps of a command that may train a network with frozen layers."""
    parser.add_argument(
        "--maps",
        type=cli.yes_or_no,
        metavar="yes|no",
        help="whether to train from the frozen layers' maps, computed once and stored beside the "
        "shards, instead of computing them in each step; else the config says",
    )


def add_of_runs(parser: argparse.ArgumentParser) -> None:
    """The flags of a run, whatever network it trains and from whatever weights."""
    engines.add_flags(parser)
    parser.add_argument(
        "--epochs",
        type=cli.at_least(1),
        help="instead of the config's; a larger one extends a finished run",
    )
    parser.add_argument(
        "--steps", type=cli.at_least(1), help="steps per epoch, instead of once through the data"
    )
    parser.add_argument(
        "--batch", type=cli.at_least(1), help="pictures per step, instead of the config's"
    )
    parser.add_argument(
        "--pictures",
        type=cli.at_least(1),
        help="train on so many of the training pictures, drawn by seed; those of a smaller number "
        "are among those of a larger",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="take operations that give the same bits in every run, where the fastest do not",
    )
    parser.add_argument("--run", help="name of the run's folder in runs/")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument(
        "--checkpoint-seconds",
        type=cli.at_least(0.0, float),
        default=CHECKPOINT_SECONDS,
        help="time between checkpoints",
    )
    parser.add_argument(
        "--cache",
        type=cli.at_least(0),
        metavar="MB",
        help="how much memory may keep decoded pictures for later epochs; 0 for none; by default "
        "a quarter of what is free, at most 4,000",
    )
    parser.add_argument(
        "--unpublished",
        action="store_true",
        help="leave the export in the run's folder, and models/ as it is",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let the export replace a model of other data in models/",
    )
