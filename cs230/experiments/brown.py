"""What keeps a colorizer's pictures brown? One change at a time to `plain`: `make brown-cs230`.

It trains `plain` as the report has it, and again with one thing changed for each of `CHANGES`: all
with the same pictures, seed and steps, unless the change is in these. It writes brown.md in
reports/brown/<data>, beside the evaluation of all of them on the test split. A stopped comparison
goes on where it stopped; finished runs are reused.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

import cs230
from common import cli, datasets, metrics, training
from common.cli import UserError
from common.commands import train
from common.evaluation import evaluate, markdown, table
from common.evaluation.rows import Evaluation, Row
from common.networks import embeddings
from cs230.config import CONFIGS, Config

BASE = "plain"
AS_IT_IS = "as the report has it"
TABLE = ("psnr_rgb", "mse_ab", "ssim_rgb", "colourfulness")
COMPARED = "mse_ab"  # of each change with the base, picture by picture


@dataclasses.dataclass(frozen=True)
class Change:
    """What differs from the report's `plain`.

    why: whose failure it might explain, or what it is hoped to mend. fields: of the config, or None
    for the embedding that the command names. options: of `training.Options`. times: the training's
    length. linear: whether the last layer has no tanh.
    """

    name: str
    why: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times: int = 1
    linear: bool = False


CHANGES = {
    "base": Change(AS_IT_IS, "cs230: brown"),
    "slow": Change("rate 1e-4 for 1e-3", "too small a step", {"learning_rate": 1e-4}),
    "decay": Change(
        "rate falling to zero", "cs230, lee2021: a fixed rate ends noisy", {"decay": "cosine"}
    ),
    "adam": Change("Adam for RMSprop", "cs230: `plain` alone has RMSprop", {"optimizer": "adam"}),
    "dark": Change("input L\\*/128", "zaman2020's input", {"l_scale": 1 / 128, "l_offset": 0.0}),
    "linear": Change("no tanh, ab unscaled", "porto2023's output", {"ab_scale": 1.0}, linear=True),
    "still": Change("no zoom, flip, shear", "cs230's augmentation", {"augment": ()}),
    "long": Change("three times as long", "lee2021, cs230: too short a training", times=3),
    "fused": Change("a classifier's prediction", "cs230's hope of `fusion`", {"embedding": None}),
    "rebalance": Change("rare colours count more", "cs230's wish", options={"rebalance": True}),
    "bins": Change("313 bins for the mean", "the squared error", options={"bins": True}),
    "both": Change(
        "313 bins, rare ones count more",
        "the squared error, and that pale colours are most",
        options={"bins": True, "rebalance": True},
    ),
}


def main(argv: list[str] | None = None) -> int:
    """From pictures to reports/brown/<data>."""
    args, others = _parser().parse_known_args(argv)  # other flags are passed on to the training
    train.check_unnamed(others)
    if any(flag.partition("=")[0] == "--config" for flag in others):
        raise UserError(f"--config: changes of {BASE} are compared. Leave it out.")
    given = vars(args)
    passed = [
        f"--{flag.replace('_', '-')}={given[flag]}"
        for flag in ("data", "split_by", "size", "embedding_weights")
        if given[flag]
    ]
    request = train.parse([*passed, *others, f"--config={BASE}", "--unpublished"], cs230)
    paths: dict[str, Path] = {}
    for key in dict.fromkeys(["base", *(args.changes or CHANGES)]):
        print(f"\n{CHANGES[key].name}", flush=True)
        title = f"brown-{key}-{Path(args.data).name}" + (f"-{args.size}" if args.size else "")
        run = _train(CHANGES[key], request, args.embedding, title)
        if run.model is None:
            return 128 + (run.stopped_by or 0)
        paths[key] = run.model
    # All runs have the same pictures, but not all an embedding.
    dataset = datasets.Dataset(run.dataset.folder)
    if not dataset.count("test"):
        raise UserError(
            f"{dataset.folder} has no test pictures. Use more pictures, or another SPLIT_BY."
        )
    out = Path("reports", "brown", dataset.name)
    evaluation = evaluate.evaluate(
        list(paths.values()),
        dataset,
        "test",
        out / "evaluation",
        evaluate.Options(keep_going=False),
    )
    rows = {key: evaluation.row_of(path) for key, path in paths.items()}
    print("\n" + report(evaluation, rows, dataset).write(out / "brown.md"))
    return 0


def _parser():
    parser = cli.Parser(
        "colorization brown cs230",
        description=__doc__.splitlines()[0],
        epilog="Other flags are those of colorization train cs230, for every run.",
    )
    datasets.add_arguments(parser)
    parser.add_argument("--size", type=cli.at_least(8), help="side of the pictures")
    parser.add_argument(
        "--changes",
        type=_keys,
        help=f"some of {', '.join(CHANGES)}, with commas between; else all",
    )
    parser.add_argument(
        "--embedding",
        choices=list(embeddings.NETWORKS),
        default=CONFIGS["fusion"].embedding,
        help="whose prediction `fused` gets",
    )
    return parser


def _keys(text):
    keys = tuple(text.split(","))
    if not set(keys) <= CHANGES.keys():
        raise ValueError
    return keys


_keys.__name__ = f"list of changes ({', '.join(CHANGES)})"  # what argparse calls it in an error


def _train(change: Change, request: train.Request, embedding: str, title: str) -> training.Run:
    fields: dict[str, Any] = {
        name: embedding if value is None else value for name, value in change.fields.items()
    }
    config = dataclasses.replace(CONFIGS[BASE], **fields)
    epochs = change.times * (request.options.epochs or config.epochs)
    options = dataclasses.replace(request.options, run=title, epochs=epochs, **change.options)
    report = training.Report.of(cs230)
    if change.linear:
        report = dataclasses.replace(report, build_model=_linear)
    return training.train(report, config, request.data, options)


def _linear(config: Config) -> keras.Model:
    """`plain` with a last layer that is not bounded, for ab in Lab units."""
    model = cs230.build_model(config)
    model.get_layer("decoder_ab").activation = keras.activations.linear
    return model


def report(
    evaluation: Evaluation, rows: Mapping[str, Row], dataset: datasets.Dataset
) -> markdown.Document:
    """The comparison as a `markdown.Document`; rows: {key of a change: its row}."""
    data = evaluation.data
    document = markdown.Document(f"What keeps `{BASE}` brown: {dataset.name}")
    document.text(
        f"{dataset.count('train'):,} pictures for training, {data.pictures:,} for test, at "
        f"{data.image_size} x {data.image_size}. Each row changes one thing. One run each: "
        "differences between runs of one config are not in these figures. Brackets: 95 % over "
        "pictures."
    )
    lines = [[row.name, "", *_figures(row), ""] for row in evaluation.baselines]
    for key, row in rows.items():
        change, against = CHANGES[key], ""
        if key != "base":
            compared = evaluation.pair(row.name, rows["base"].name).metrics[COMPARED]
            against = f"{compared.verdict}, {table.difference(COMPARED, compared)}"
        lines.append([change.name, change.why, *_figures(row), against])
    colourfulness = table.cell(evaluation.truth, table.Column("colourfulness"))
    lines.append(["true pictures", "", *[""] * (len(TABLE) - 1), colourfulness, ""])
    titles = [metrics.METRICS[key].title for key in TABLE]
    compared_with = f"{metrics.METRICS[COMPARED].title} against the report's"
    document.table(["", "what it may explain", *titles, compared_with], lines)
    document.text("Pictures: evaluation/index.html, beside this file.")
    if data.name == "samples":
        document.text(table.RUNS_ONLY)
    return document


def _figures(row: Row) -> list[str]:
    cells = []
    for key in TABLE:
        column = table.Column(key)
        within = table.interval(row, column)
        cells.append(table.cell(row, column) + (f" ({within})" if within else ""))
    return cells


if __name__ == "__main__":
    sys.exit(cli.run(main))
