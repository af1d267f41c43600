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
from common.commands import variants
from common.evaluation import markdown, table
from common.evaluation.rows import Evaluation, Row
from common.networks import embeddings, h5
from cs230.config import CONFIGS, Config

BASE = "plain"
AS_IT_IS = "as the report has it"
TABLE = ("psnr_rgb", "mse_ab", "ssim_rgb", "colourfulness")
COMPARED = "mse_ab"  # of each change with the base, picture by picture


@dataclasses.dataclass(frozen=True)
class Change(variants.Change):
    """What differs from the report's `plain`.

    why: whose failure it might explain, or what it is hoped to mend. A field of None is the
    embedding that the command names. linear: whether the last layer has no tanh. share: of the
    training pictures, each seen the more often.
    """

    why: str = ""
    linear: bool = False
    share: float = 1.0


CHANGES = {
    "base": Change(AS_IT_IS, why="cs230: brown"),
    "slow": Change("rate 1e-4 for 1e-3", {"learning_rate": 1e-4}, why="too small a step"),
    "decay": Change(
        "rate falling to zero",
        {"decay": "cosine"},
        why="cs230, lee2021: a fixed rate ends noisy",
    ),
    "adam": Change(
        "Adam for RMSprop", {"optimizer": "adam"}, why="cs230: `plain` alone has RMSprop"
    ),
    "dark": Change(
        "input L\\*/128", {"l_scale": 1 / 128, "l_offset": 0.0}, why="zaman2020's input"
    ),
    "linear": Change(
        "no tanh, ab unscaled", {"ab_scale": 1.0}, why="porto2023's output", linear=True
    ),
    "still": Change("no zoom, flip, shear", {"augment": ()}, why="cs230's augmentation"),
    "long": Change("three times as long", why="lee2021, cs230: too short a training", times=3),
    "tenth": Change("a tenth of the photos, as many steps", why="too few pictures", share=0.1),
    "hundredth": Change(
        "a hundredth of the photos, as many steps", why="too few pictures", share=0.01
    ),
    "fused": Change(
        "a classifier's prediction", {"embedding": None}, why="cs230's hope of `fusion`"
    ),
    "rebalance": Change("rare colours count more", options={"rebalance": True}, why="cs230's wish"),
    "bins": Change("313 bins for the mean", options={"bins": True}, why="the squared error"),
    "both": Change(
        "313 bins, rare ones count more",
        options={"bins": True, "rebalance": True},
        why="the squared error, and that pale colours are most",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """From pictures to reports/brown/<data>."""
    args, others = _parser().parse_known_args(argv)  # other flags are passed on to the training
    names = ("data", "split_by", "size", "embedding_weights")
    flags = variants.passed(args, others, *names, instead=f"changes of {BASE} are")
    base = variants.Variant.of(cs230, [*flags, f"--config={BASE}", "--unpublished"])
    runs = variants.trained({"base": _variant("base", base, args)})
    # All of them have the same pictures, but not all an embedding.
    dataset = datasets.Dataset(runs["base"].dataset.folder)
    steps = h5.metadata(variants.exports(runs)["base"])["steps"]
    count = base.options.pictures or dataset.count("train")
    changed = [key for key in args.changes or CHANGES if key != "base"]
    runs |= variants.trained(
        {key: _of_share(_variant(key, base, args), key, count, steps) for key in changed}
    )
    out = Path("reports", "brown", dataset.name)
    evaluation, rows = variants.measured(variants.exports(runs), dataset, out / "evaluation")
    print("\n" + report(evaluation, rows, dataset).write(out / "brown.md"))
    return 0


def _parser():
    parser = variants.parser("brown cs230", __doc__.splitlines()[0], "every run")
    parser.add_argument(
        "--changes",
        type=variants.some(CHANGES, "changes"),
        help=f"some of {', '.join(CHANGES)}, with commas between; else all",
    )
    parser.add_argument(
        "--embedding",
        choices=list(embeddings.NETWORKS),
        default=CONFIGS["fusion"].embedding,
        help="whose prediction `fused` gets",
    )
    return parser


def _variant(key: str, base: variants.Variant, args: Any) -> variants.Variant:
    change = CHANGES[key]
    fields = {
        name: args.embedding if value is None else value for name, value in change.fields.items()
    }
    run = variants.name_of(f"brown-{key}", args.data, args.size)
    made = dataclasses.replace(change, fields=fields).of(base, CONFIGS[BASE], run)
    report = training.Report.of(cs230)
    if change.linear:
        report = dataclasses.replace(report, build_model=_linear)
    return dataclasses.replace(made, report=report)


def _of_share(variant: variants.Variant, key: str, count: int, steps: int) -> variants.Variant:
    """The variant with the change's share of `count` pictures, in as many steps an epoch."""
    share = CHANGES[key].share
    if share == 1:
        return variant
    pictures = max(1, round(share * count))
    options = dataclasses.replace(variant.options, pictures=pictures, steps=steps)
    return dataclasses.replace(variant, options=options)


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
