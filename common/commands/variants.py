"""Train variants of a report alike, and measure them on the same pictures: what experiments share.

An experiment has a command of its own: its flags, the variants that it compares, and a table. Other
flags are those of the report's training, for every variant. Each variant's run is stored in runs/
under a name of its own: a stopped comparison goes on where it stopped, and finished runs are taken
as they are.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from common import cli, datasets, training
from common.cli import UserError
from common.commands import train
from common.config import Config
from common.evaluation import evaluate
from common.evaluation.rows import Evaluation, Row

Report = ModuleType | training.Report
Key = TypeVar("Key")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of the trainings that are compared; `title` is printed before it, unless it is empty."""

    report: Report
    config: Config | str
    data: str
    options: training.Options
    title: str = ""

    @classmethod
    def of(cls, report: Report, flags: list[str], title: str = "") -> "Variant":
        """The training that a command line of `train` asks for."""
        request = train.parse(flags, report)
        return cls(report, request.config, request.data, request.options, title)


@dataclasses.dataclass(frozen=True)
class Change:
    """What differs from a config: `fields` of it, or `options` of its training.

    times: the training's length.
    """

    name: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times: int = 1

    def of(self, base: Variant, config: Config, run: str) -> Variant:
        """The variant of `base`, whose config is `config`, with this change alone.

        The epochs are the config's where none are asked for, whatever the data's recipe.
        """
        epochs = self.times * (base.options.epochs or config.epochs)
        return dataclasses.replace(
            base,
            config=dataclasses.replace(config, **self.fields),
            options=dataclasses.replace(base.options, run=run, epochs=epochs, **self.options),
            title=self.name,
        )


# --- the command line -------------------------------------------------------------------------


def parser(command: str, summary: str, each: str) -> cli.Parser:
    """A parser with --data, --split-by and --size; each: whose flags the others are."""
    made = cli.Parser(
        f"colorization {command}",
        description=summary,
        epilog=f"Other flags are those of colorization train {command.split()[1]}, for {each}.",
    )
    datasets.add_arguments(made)
    made.add_argument("--size", type=cli.at_least(8), help="side of the pictures")
    return made


def some(known: Collection[str], of: str) -> Callable[[str], tuple[str, ...]]:
    """An argparse type: some of the known names, each once, with commas between."""

    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
            raise ValueError
        return chosen

    names.__name__ = f"list of {of} ({', '.join(known)})"  # what argparse calls it in an error
    return names


def passed(given: Any, others: Sequence[str], *names: str, instead: str = "") -> list[str]:
    """The flags for the training: those of `given` that are `names` and not empty, and `others`.

    instead: why --config is an error, or nothing, where it is none. --run always is.
    """
    train.check_unnamed(list(others))
    if instead and any(flag.partition("=")[0] == "--config" for flag in others):
        raise UserError(f"--config: {instead} compared. Leave it out.")
    values = {name: getattr(given, name) for name in names}
    own = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value]
    return [*own, *others]


def name_of(run: str, data: str, size: int | None) -> str:
    """The name of a variant's run, by the data and, where it is given, the size."""
    return f"{run}-{Path(data).name}" + (f"-{size}" if size else "")


# --- training and measuring -------------------------------------------------------------------


def trained(variants: Mapping[str, Variant]) -> dict[str, training.Run]:
    """Train each variant, or take its finished run. Where a signal n stops one, exit with 128 + n.

    A variant's run is `variant.options.run`.
    """
    runs: dict[str, training.Run] = {}
    for key, variant in variants.items():
        if variant.title:
            print(f"\n{variant.title}", flush=True)
        run = training.train(variant.report, variant.config, variant.data, variant.options)
        if run.model is None:
            raise SystemExit(128 + (run.stopped_by or 0))
        runs[key] = run
    return runs


def exports(runs: Mapping[str, training.Run]) -> dict[str, Path]:
    """The exported model of each run, the one in the run's own folder."""
    return {key: run.folder / run.model.name for key, run in runs.items() if run.model}


def measured(
    models: Mapping[Key, Path],
    dataset: datasets.Dataset,
    out: Path,
    split: str = "test",
    options: evaluate.Options | None = None,
) -> tuple[Evaluation, dict[Key, Row]]:
    """(the evaluation of all models, its row of each): `UserError` where the split is empty."""
    if not dataset.count(split):
        raise UserError(
            f"{dataset.folder} has no {split} pictures. Use more pictures, or another SPLIT_BY."
        )
    options = dataclasses.replace(options or evaluate.Options(), keep_going=False)
    evaluation = evaluate.evaluate(list(models.values()), dataset, split, out, options)
    return evaluation, {key: evaluation.row_of(path) for key, path in models.items()}
