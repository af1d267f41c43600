"""The report's table with our figures: all colorizers under one protocol (`make study-feup`).

It trains each config, or resumes its run, and writes study.md, curves.png and
epochs.csv in reports/study/<data>, beside the evaluation of all of them on the test split.
"""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import feup
from common import cli, datasets, files, metrics
from common.commands import variants
from common.evaluation import evaluate, markdown, network_metrics, statistics, table
from common.evaluation.rows import Evaluation, Row
from common.networks import h5
from common.networks.flags import add_weights, variable_of
from common.training import logs
from feup.claims import REPORTED
from feup.config import CONFIGS

AT_96 = ("resnet18_mse",)  # P14: the report trained this network alone on STL-10
OF_BATCHES = ("ssim_ab_batch", "psnr_ab_batch")  # P13: what the report's SSIM and PSNR are
CURVES = (*OF_BATCHES, "ssim_ab", "psnr_ab", "ssim_rgb", "psnr_rgb")
TABLE = ("mse_ab", *CURVES, "lpips", "colourfulness")
PERCEPTUAL = ("vgg16", "lpips")  # the networks whose weights compute every row's `lpips`
WHO = ("report", "ours")
PICTURES, EPOCHS = {"train": 45_000, "test": 10_000}, 50  # the report's


def main(argv: list[str] | None = None) -> int:
    """From pictures to reports/study/<data>."""
    args, others = _parser().parse_known_args(argv)  # other flags are passed on to the training
    args.size = args.size or datasets.source_of(args.data).size
    names = args.config or (AT_96 if args.size == 96 else tuple(CONFIGS))
    args.size = args.size or CONFIGS[names[0]].image_size
    passed = variants.passed(args, others, "data", "size", "split_by")
    weights = {variable_of(network): vars(args)[f"{network}_weights"] for network in PERCEPTUAL}
    if any(CONFIGS[name].distance == "vgg16" for name in names):
        passed += [
            f"--{variable.lower().replace('_', '-')}={value}" for variable, value in weights.items()
        ]
    runs = variants.trained({name: _variant(name, passed, args) for name in names})
    paths = variants.exports(runs)
    dataset = runs[names[0]].dataset
    out = Path("reports", "study", dataset.name)
    evaluation, rows = variants.measured(
        paths,
        dataset,
        out / "evaluation",
        options=evaluate.Options(
            networks=network_metrics.Request(("lpips",), perceptual="vgg16", weights=weights),
            of_batches=OF_BATCHES,
        ),
    )
    models_of = {
        name: Studied(name, run.history, paths[name], rows[name]) for name, run in runs.items()
    }
    write_epochs(out / "epochs.csv", models_of.values())
    draw_curves(out / "curves.png", models_of.values())
    print("\n" + report(evaluation, models_of, dataset).write(out / "study.md"))
    return 0


def _parser():
    parser = variants.parser("study feup", __doc__.splitlines()[0], "every config")
    for network in PERCEPTUAL:
        add_weights(parser, network, "of the loss of resnet18_lpips, and of every row's lpips")
    parser.add_argument(
        "--config",
        type=variants.some(CONFIGS, "configs"),
        help="some of the configs, with commas between; "
        f"at 96 x 96 it is {', '.join(AT_96)}, else all",
    )
    return parser


def _variant(name, passed, args):
    run = variants.name_of(f"study-{name}", args.data, args.size)
    return variants.Variant.of(
        feup, [*passed, f"--config={name}", f"--run={run}", "--unpublished"], title=name
    )


class Studied:
    """A colorizer of the study: its history by epoch and its row of the evaluation."""

    def __init__(self, name: str, history: list[dict[str, Any]], path: Path, row: Row):
        self.name, self.history, self.row = name, history, row
        self.metadata = h5.metadata(path)

    @property
    def loss(self) -> str:
        """Its loss, in words."""
        if distance := self.metadata.get("distance"):
            return distance["name"]
        if self.metadata["config"]["classify"]:
            return "cross-entropy over 313 bins"
        return "squared error of ab"

    @property
    def weights(self) -> str:
        """The weights that its encoder began from, in words."""
        kinds = [about["weights"] for about in self.metadata["pretrained"].values()]
        return ", ".join("RANDOM" if kind == "random" else kind for kind in kinds) or "RANDOM"


# --- the report -------------------------------------------------------------------------------


def report(
    evaluation: Evaluation, studied: Mapping[str, Studied], dataset: datasets.Dataset
) -> markdown.Document:
    """The study as a `markdown.Document`."""
    data = evaluation.data
    document = markdown.Document(f"Colorizers of small pictures: {dataset.name}")
    document.text(
        f"{dataset.count('train'):,} pictures for training, {dataset.count('validation'):,} for "
        f"validation, {data.pictures:,} for test, at {data.image_size} x "
        f"{data.image_size}. One run each: differences between runs of one config are not in "
        "these figures."
    )
    document.heading("On test")
    lines = [[row.name, "", "", "", "", *_figures(row)] for row in evaluation.baselines]
    lines += [
        [
            name,
            f"{len(model.history)}",
            model.weights,
            model.loss,
            f"{model.metadata['test_loss']:.3f}",
            *_figures(model.row),
        ]
        for name, model in studied.items()
    ]
    lines.append(
        [
            "true pictures",
            *[""] * (3 + len(TABLE)),
            table.cell(evaluation.truth, table.Column("colourfulness")),
        ]
    )
    document.table(
        [
            "",
            "epochs",
            "encoder began with",
            "its loss",
            "loss",
            *(_title(key, evaluation) for key in TABLE),
        ],
        lines,
    )
    document.text(
        "SSIM and PSNR of ab are of the two colour channels alone, those of RGB of the "
        "picture that the prediction makes with the true L*: the easier figure, since L* is "
        "most of a picture. Losses of different kinds do not compare."
    )
    document.heading("Beside the report's table")
    document.table(
        ["", *(f"test {what}, {who}" for what in ("loss", "SSIM", "PSNR") for who in WHO)],
        [_beside(name, figures, studied.get(name)) for name, figures in REPORTED.items()],
    )
    document.text(
        f"Ours are {', '.join(_title(key) for key in OF_BATCHES)}: {metrics.BATCH} pictures, as "
        "the report trained. Its own MSE and PSNR agree with each other on one such range, of "
        "139.5, 140.4 and 139.7 in the rows of the squared error."
    )
    document.heading("Why they differ")
    document.list(reasons(evaluation, studied, dataset))
    if len(studied) > 1:
        document.heading("One against the other")
        document.list(comparisons(evaluation, studied))
    document.heading("By epoch")
    document.picture(
        "curves.png",
        "validation loss, SSIM and PSNR by epoch for every model; the numbers are in epochs.csv",
    )
    document.text("Pictures: evaluation/index.html, beside this file.")
    if data.name == "samples":
        document.text(table.RUNS_ONLY)
    return document


def reasons(
    evaluation: Evaluation, studied: Mapping[str, Studied], dataset: datasets.Dataset
) -> list[str]:
    """The known reasons why our figures differ from the report's."""
    grey = evaluation.grey
    forms = [f"{_title(key)} {table.cell(grey, table.Column(key))}" for key in CURVES]
    differences = [
        "The report does not state which pictures its SSIM and PSNR compare, nor window and range. "
        f"A grey picture alone has {', '.join(forms)} here: 0.2 and 21 dB are figures of ab by the "
        "range of the batch, what libraries compute where no range is given."
    ]
    counts = {split: dataset.count(split) for split in PICTURES}
    if dataset.name != "cifar10" or counts != PICTURES:
        differences.append(
            f"The report's are of CIFAR-10, {PICTURES['train']:,} pictures for training "
            f"and {PICTURES['test']:,} for test, uncompressed; these are of "
            f"{dataset.name}, {counts['train']:,} and {counts['test']:,}."
        )
    if all(name.lower().endswith((".jpg", ".jpeg")) for name in dataset.names("test")):
        differences.append(
            "These pictures are JPEG, which has smoothed their colours before any "
            "model got them: no figure here compares with one of the uncompressed pictures."
        )
    epochs = {len(model.history) for model in studied.values()}
    if epochs != {EPOCHS}:
        ours = " to ".join(str(number) for number in sorted({min(epochs), max(epochs)}))
        differences.append(f"The report trained for {EPOCHS} epochs, these models for {ours}.")
    if any(
        model.weights == "RANDOM" and model.metadata["pretrained"] for model in studied.values()
    ):
        differences.append(
            "The report's ResNet began pretrained, on which data it does not state; encoders "
            "marked RANDOM here began from random weights."
        )
    if any(
        model.metadata.get("distance") and "LPIPS" not in model.loss for model in studied.values()
    ):
        differences.append(
            "Where the published LPIPS weights and their network were not available, the "
            "loss is the distance named in its row, and its values are not LPIPS."
        )
    return differences


def comparisons(evaluation: Evaluation, studied: Mapping[str, Studied]) -> list[str]:
    """Each model against the first, picture by picture, with the interval of the difference."""
    (first, reference), *others = studied.items()
    lines = []
    for name, model in others:
        pair, verdicts = evaluation.pair(model.row.name, reference.row.name), []
        for key in ("mse_ab", "psnr_rgb", "lpips"):
            compared = pair.metrics.get(key)  # no lpips where its weights are not available
            if compared and compared.interval:
                digits = metrics.METRICS[key].digits
                low, high = (f"{end:+.{digits}f}" for end in compared.interval)
                verdicts.append(
                    f"{compared.verdict} by {_title(key, evaluation)}, "
                    f"{compared.mean:+.{digits}f} ({low} to {high})"
                )
        lines.append(f"{name} against {first}: {'; '.join(verdicts) or 'undefined'}")
    return [*lines, f"Intervals are {statistics.LEVEL:.0%} over pictures, not over runs."]


def _beside(name, reported, model):
    """A row of the report's table: each of its three figures, then ours."""
    ours = ["", "", ""]
    if model:
        keys = [table.cell(model.row, table.Column(key)) for key in OF_BATCHES]
        ours = [f"{model.metadata['test_loss']:.3f}", *keys]
    return [name, *(cell for pair in zip(reported, ours, strict=True) for cell in pair)]


def _figures(row):
    return [table.cell(row, table.Column(key)) for key in TABLE]


def _title(key, evaluation=None):
    title = table.title_of(evaluation, key) if evaluation else metrics.METRICS[key].title
    unit = metrics.METRICS[key].unit
    return f"{title}, {unit}" if unit else title


# --- by epoch ---------------------------------------------------------------------------------


def write_epochs(path: Path, studied: Iterable[Studied]) -> None:
    """epochs.csv: a line an epoch and model, with the losses and the validation figures."""
    text = io.StringIO()
    columns = ["loss", "val_loss", *(f"val_{key}" for key in CURVES)]
    writer = csv.writer(text)
    writer.writerow(["config", "epoch", *columns])
    for model in studied:
        for epoch in model.history:
            writer.writerow(
                [model.name, int(epoch["epoch"]), *(epoch.get(column, "") for column in columns)]
            )
    files.write_text(path, text.getvalue())


def draw_curves(path: Path, studied: Iterable[Studied]) -> None:
    """Validation loss, a panel a kind of loss, then SSIM and PSNR of every model, as a PNG."""
    from matplotlib.figure import Figure

    studied = list(studied)
    kinds = list(dict.fromkeys(model.loss for model in studied))
    wide = 4
    high = -(-(len(kinds) + len(CURVES)) // wide)
    figure = Figure(figsize=(5 * wide, 4 * high), layout="constrained")
    every = figure.subplots(high, wide, squeeze=False).ravel()
    panels = every[: len(kinds) + len(CURVES)]
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    for number, model in enumerate(studied):
        epochs = [epoch["epoch"] for epoch in model.history]
        for axes, key, label in (
            (panels[kinds.index(model.loss)], "val_loss", f"loss: {model.loss}"),
            *(
                (axes, f"val_{key}", _title(key))
                for axes, key in zip(panels[len(kinds) :], CURVES, strict=True)
            ),
        ):
            values = [epoch.get(key, float("nan")) for epoch in model.history]
            axes.plot(epochs, values, ".-", color=f"C{number}", label=model.name)
            axes.set(xlabel="epoch", ylabel=f"{label}, validation")
    logs.save_curves(path, figure, panels)


if __name__ == "__main__":
    sys.exit(cli.run(main))
