"""Tune a model to the style of a folder of pictures: `make finetune DATA=folder`."""

import dataclasses
import datetime
import importlib
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from common import cli, datasets, engines, files
from common.commands import reports
from common.commands.train import add_maps, add_of_runs, options_of
from common.evaluation import evaluate, statistics
from common.evaluation.markdown import Document
from common.evaluation.rows import Comparison, Evaluation
from common.networks import backend, embeddings, h5, model_names
from common.training.finetuning import described, finetune
from common.training.options import Options
from common.training.report import Report
from common.training.run import Run
from common.training.tuning import KEEP

GENERAL = "samples"  # the photos of other kinds, where none are named
LIMIT = {GENERAL: 60}  # views of six photos; of others:
MANY = 400
SHOWN = {"psnr_rgb": "PSNR RGB, dB", "ciede2000": "CIEDE2000", "colourfulness": "colourfulness"}
HEADER = ("pictures", "metric", "before", "after", "difference, 95 % interval", "")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Two models, `before` and `after`, on the same pictures, which `title` describes."""

    title: str
    evaluation: Evaluation
    before: str
    after: str

    @property
    def comparison(self) -> dict[str, Comparison]:
        """{metric's key: after less before, picture by picture}."""
        names = self.after, self.before
        (pair,) = (p for p in self.evaluation.pairs if (p.name, p.against) == names)
        return pair.metrics

    def lines(self) -> list[list[str]]:
        """A line of a table for each metric, below `HEADER`."""
        lines = []
        for key, metric in SHOWN.items():
            means = [
                self.evaluation.row(name).figures[key].mean for name in (self.before, self.after)
            ]
            each = self.comparison.get(key)
            difference = verdict = ""
            if each is None:  # it is neither better nor worse, but near the truth's or not
                verdict = f"true: {self.evaluation.truth.figures[key].mean:.2f}"
            elif each.mean is not None:
                ends = " ({:+.2f} to {:+.2f})".format(*each.interval) if each.interval else ""
                difference, verdict = f"{each.mean:+.2f}{ends}", each.verdict
            values = ["-" if mean is None else f"{mean:.2f}" for mean in means]
            lines.append([self.title, metric, *values, difference, verdict])
        return lines


@dataclasses.dataclass(frozen=True)
class Result:
    """A tuning: its run, both models measured, and the card that says all of this.

    gained: whether an epoch was better than the old model on the validation pictures; else
    `run.model` is the old model, in the run's folder. measured: on the folder's test pictures, and
    on others; empty, as without a card, where a signal stopped the run.
    """

    run: Run
    gained: bool = False
    measured: tuple[Measured, ...] = ()
    card: Path | None = None


def main(argv: list[str] | None = None, *, report: ModuleType | Report | None = None) -> int:
    """The command `colorization finetune`; 1 where nothing was gained."""
    backend.start()
    parser = cli.Parser("colorization finetune", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.set_defaults(data=None)
    parser.add_argument(
        "--model",
        default=model_names.DEFAULT,
        help="the model to begin from: a name in models/ or of a shipped one, or a file",
    )
    parser.add_argument(
        "--keep",
        type=cli.at_least(0.0, float),
        default=KEEP,
        help="from 0 to below 1: how much of the model's old answers is kept",
    )
    parser.add_argument(
        "--general",
        default=GENERAL,
        help="photos of other kinds, to measure what is lost there: a folder, or a name in "
        "data/sources.toml",
    )
    add_maps(parser)
    add_of_runs(parser)
    args = parser.parse_args(argv)
    if args.data is None:
        parser.error("DATA= is missing: the folder of pictures whose style is to be learned")
    result = run(
        args.data,
        args.model,
        keep=args.keep,
        general=args.general,
        options=options_of(args),
        report=report,
    )
    if result.run.stopped_by:
        return 128 + result.run.stopped_by
    return 0 if result.gained else 1


def run(
    data: str | Path,
    model: str | Path = model_names.DEFAULT,
    *,
    keep: float = KEEP,
    general: str | Path = GENERAL,
    options: Options | None = None,
    report: ModuleType | Report | None = None,
) -> Result:
    """Tune a model to a folder, measure both, print the table, and write the card.

    As `training.finetune`; the report is that which the model's metadata name, unless one is given.
    general: photos of other kinds, to measure what is lost there.
    """
    path = model_names.named(model)
    about = described(path)
    if report is None:
        reports.check(about["report"])
        report = importlib.import_module(about["report"])
    others = datasets.source_of(general)
    others.complete()
    others.require()
    print(f"model: {path}", flush=True)
    options = options or Options()
    tuned = finetune(report, path, data, options, keep=keep)
    if tuned.model is None:
        return Result(tuned)
    exported = _published(tuned.model)
    tuned = dataclasses.replace(tuned, model=exported)
    gained = h5.metadata(exported)["tuning"]["epoch"] > 0
    card = exported.with_suffix(".md")
    if not tuned.trained and card.exists():
        print(f"{card} has its figures")
        return Result(tuned, gained, card=card)
    measured = (_on_test(path, tuned), _on_others(path, tuned, str(general), options))
    table = Document("Before and after")
    table.table(HEADER, [line for each in measured for line in each.lines()])
    words = _words(measured[0], gained, path, tuned)
    command = _command(data, model, keep, general, options)
    _write(card, path, tuned, measured, words, command)
    print(f"\n{table}\n{words}\n{card}")
    return Result(tuned, gained, measured, card)


def _published(model):
    """The same model in models/, where a finished run, which is found by its folder, put it."""
    target = Path("models", model.name)
    same = target.exists() and files.sha256(target) == files.sha256(model)
    return target if same else model


# --- measuring ----------------------------------------------------------------------------------


def _on_test(path, tuned):
    """Both models on the folder's test pictures."""
    dataset = tuned.dataset
    title = f"{dataset.name}, {dataset.count('test')} unseen"
    return _measure(title, path, tuned, dataset, None, tuned.folder / "evaluation")


def _on_others(path, tuned, general, options):
    """Both models on photos of other kinds, all of which are for testing."""
    ours = tuned.dataset
    with engines.started(options.engine, options.ray_address) as engine:
        dataset = datasets.prepare(
            general,
            ours.image_size,
            ours.cut,
            split_by="content",
            fractions=(0.0, 0.0, 1.0),
            for_training=False,
            engine=engine,
        )
    limit = min(dataset.count("test"), LIMIT.get(general, MANY))
    title = f"{dataset.name}, {limit}"
    return _measure(title, path, tuned, dataset, limit, tuned.folder / "evaluation-general")


def _measure(title, path, tuned, dataset, limit, out):
    # Training keeps an embedding network's weights in models/, where the model itself may not be.
    embedding = h5.metadata(tuned.model).get("embedding")
    kept = embeddings.kept("models", embedding) if embedding else None
    weights = str(kept) if kept and kept.exists() else None
    options = evaluate.Options(limit=limit, weights=weights, keep_going=False)
    evaluation = evaluate.evaluate([path, tuned.model], dataset, "test", out, options)
    before, after = (row.name for row in evaluation.rows if row.kind == "model")
    seen = max(evaluation.row(name).seen or 0 for name in (before, after))
    if seen:
        title += f" ({seen} seen in training)"
    return Measured(title, evaluation, before, after)


# --- words --------------------------------------------------------------------------------------


def _words(measured, gained, path, tuned):
    """What the figures say, in a sentence or two."""
    if not gained:
        return (
            f"Nothing was gained: no epoch was better than {path.stem} on the validation pictures. "
            f"{tuned.model} is the old model; models/ stays as it was. More pictures, or a smaller "
            "KEEP=, may help."
        )
    verdict = measured.comparison["psnr_rgb"].verdict
    if verdict == "better":
        return f"{tuned.model.stem} is better than {path.stem} on unseen pictures of the folder."
    if verdict == "worse":
        return (
            f"{tuned.model.stem} is worse than {path.stem} on unseen pictures of the folder, "
            "though better on the validation pictures: do not use it. More pictures may help."
        )
    count = measured.evaluation.data.pictures
    return (
        f"Whether {tuned.model.stem} is better is undecided: on {count} unseen pictures the "
        "interval includes 0."
    )


def _command(data, model, keep, general, options):
    """The command line that gives the same result."""
    given: dict[str, Any] = {"data": data, "model": model, "keep": keep, "general": general}
    default = Options()
    shown = (
        "epochs",
        "steps",
        "batch",
        "pictures",
        "maps",
        "seed",
        "split_by",
        "precision",
        "deterministic",
        "run",
    )
    for name in shown:
        value = getattr(options, name)
        if value != getattr(default, name):
            given[name.replace("_", "-")] = int(value) if isinstance(value, bool) else value
    return shlex.join(["colorization", "finetune", *(f"--{k}={v}" for k, v in given.items())])


def _write(card, path, tuned, measured, words, command):
    """Write the model's card."""
    about = h5.metadata(tuned.model)
    dataset, tuning, start = tuned.dataset, about["tuning"], about["init"]
    counts = ", ".join(f"{dataset.count(split)} {split}" for split in datasets.SPLITS)
    twin = card.with_name(f"{about['title']}-vivid.h5")
    document = Document(about["title"])
    document.text(
        f"{path.stem} (report {about['report']}), tuned to the pictures of a folder on "
        f"{datetime.datetime.now(datetime.UTC).date()}. {words}"
    )
    if twin.exists():
        document.text(f"{twin.stem} is the same network at its vivid end, as VIVID=1 colours.")
    document.list(
        [
            f"begun from: {start['file']}, SHA-256 {start['sha256']}",
            f"tuned on: {dataset.name}, {counts}, chosen by {dataset.manifest['split_by']}",
            f"command: `{command}`",
            f"the old model's share in the targets (KEEP): {tuning['keep']}",
            f"seed {about['seed']}, {about['precision']}, weights of epoch {tuning['epoch']} of "
            f"{about['epochs']}",
            "versions: "
            + ", ".join(f"{k} {v}" for k, v in about["versions"].items())
            + f"; commit {about['commit'] or 'unknown'}",
        ]
    )
    document.heading("Before and after")
    document.table(HEADER, [line for each in measured for line in each.lines()])
    document.text(
        f"Under the true L\\*, at {dataset.image_size} × {dataset.image_size}, means over "
        f"pictures; intervals by {statistics.RESAMPLES} bootstrap samples of the pictures, so that "
        "they do not include what another seed would change."
    )
    document.heading("Limits")
    document.text(
        "The model guesses colours; a coloured photo is no evidence of what colour anything was. "
        "The terms of the model that it was begun from hold for it too, and those of the pictures "
        "that it was tuned on may."
    )
    document.write(card)


if __name__ == "__main__":
    sys.exit(cli.run(main))
