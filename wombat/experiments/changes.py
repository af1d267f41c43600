"""What single parts of wombat's recipe give: one change at a time (`make changes-wombat`).

It trains a config, with three seeds, and again with one thing changed for each of `CHANGES`: all on
the same pictures and equally long, on any backend and machine. On a processor CONFIG=frozen is the
quickest, and leaves out what its stored maps exclude. It writes changes.md in
reports/changes/<config>-<data>, beside the evaluation of all of them on the validation and the test
split; for the latter whole sources should be held out (SPLIT_BY=folder, say). A stopped comparison
goes on where it stopped; finished runs are reused. `levers` has more changes, for JAX on a GPU.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

import wombat
from common import cli, datasets
from common.cli import UserError
from common.commands import variants
from common.commands.variants import Change
from common.evaluation import markdown, table
from common.evaluation.rows import Evaluation, Row
from wombat.config import CONFIGS, Config

BASES = ("wombat", "frozen")
SPLITS = ("validation", "test")
ENDS = ("faithful", "vivid")  # of the dial: the two exports of a run

TRANSFORMER = CONFIGS["transformer"].transformer

CHANGES = {
    "base": Change("the recipe"),
    "seed1": Change("the recipe, another seed", options={"seed": 1}),
    "seed2": Change("the recipe, a third seed", options={"seed": 2}),
    "lite0": Change("EfficientNet-Lite0", {"encoder": "efficientnet_lite0"}),
    "noflip": Change("no flips", {"augment": ("crop", "age")}),
    "noviews": Change("no views at all", {"augment": ()}),
    "transformer": Change("a transformer as the decoder", {"transformer": TRANSFORMER}),
    "drop4": Change("dropout 0.4", {"dropout": 0.4}),
    "batch32": Change("batches of 32", {"batch_size": 32}),
    "nodecay": Change("no weight decay", {"weight_decay": 0.0}),
}


def main(argv: list[str] | None = None) -> int:
    """From pictures to reports/changes/<data>."""
    args, others = _parser().parse_known_args(argv)  # other flags are passed on to the training
    flags = variants.passed(args, others, "data", "split_by", "size", "config")
    base = variants.Variant.of(wombat, [*flags, "--unpublished"])
    config = CONFIGS[args.config]
    changes = changes_of(config)
    for key in args.changes or ():
        if key not in changes:
            raise UserError(f"{key}: {args.config} has no views but flips: take noflip.")
    names = {
        key: variants.name_of(f"changes-{args.config}-{key}", args.data, args.size)
        for key in dict.fromkeys(["base", *(args.changes or changes)])
    }
    runs = variants.trained({key: changes[key].of(base, config, run) for key, run in names.items()})
    dataset = runs["base"].dataset
    out = Path("reports", "changes", f"{args.config}-{dataset.name}")
    models = {
        (key, end): path.with_stem(path.stem + (f"-{end}" if end == "vivid" else ""))
        for key, path in variants.exports(runs).items()
        for end in ENDS
    }
    measured = {split: variants.measured(models, dataset, out / split, split) for split in SPLITS}
    print("\n" + report(args.config, list(runs), measured, dataset).write(out / "changes.md"))
    return 0


def changes_of(config: Config) -> dict[str, Change]:
    """`CHANGES` of a config: none adds a view that it has not, and none is the config itself."""
    changes = {}
    for key, change in CHANGES.items():
        fields = dict(change.fields)
        if "augment" in fields:
            fields["augment"] = tuple(kind for kind in config.augment if kind in fields["augment"])
        changes[key] = dataclasses.replace(change, fields=fields)
    if changes["noflip"].fields == changes["noviews"].fields:
        del changes["noviews"]
    return changes


def _parser():
    parser = variants.parser("changes wombat", __doc__.splitlines()[0], "every run")
    parser.add_argument("--config", choices=BASES, default=BASES[0], help="what is changed")
    parser.add_argument(
        "--changes",
        type=variants.some(CHANGES, "changes"),
        help=f"some of {', '.join(CHANGES)}, with commas between; else all",
    )
    return parser


def report(
    config: str,
    keys: list[str],
    measured: Mapping[str, tuple[Evaluation, Mapping[tuple[str, str], Row]]],
    dataset: datasets.Dataset,
) -> markdown.Document:
    """The comparison; measured: {split: (its evaluation, {(key of a change, end): row})}."""
    document = markdown.Document(f"What parts of `{config}` give: {dataset.name}")
    counts = ", ".join(f"{dataset.count(split):,} for {split}" for split in ("train", *SPLITS))
    document.text(
        f"{counts}, at {dataset.image_size} x {dataset.image_size}. PSNR on RGB in dB, less the "
        f"mean colour's ({_means(measured)}); share: colourfulness as a share of the true "
        "pictures'. Each row changes one thing, in one run: what the seeds differ by shows nothing."
    )
    header = [""]
    for split in measured:
        header += [f"{split}, faithful", "share", "vivid", "share"]
    lines = []
    for key in keys:
        cells = [CHANGES[key].name]
        for evaluation, rows in measured.values():
            for end in ENDS:
                cells += figures(evaluation, rows[key, end])
        lines.append(cells)
    document.table(header, lines)
    document.text(f"Pictures: {' and '.join(f'{split}/index.html' for split in measured)}.")
    if dataset.name == "samples":
        document.text(table.RUNS_ONLY)
    return document


def figures(evaluation: Evaluation, row: Row) -> list[str]:
    """PSNR above the mean colour's, in dB, and the share of the true colourfulness."""
    gain = _mean(row, "psnr_rgb") - _mean(evaluation.mean_colour, "psnr_rgb")
    share = _mean(row, "colourfulness") / _mean(evaluation.truth, "colourfulness")
    return [f"{gain:+.2f}", f"{share:.2f}".lstrip("0")]


def _means(measured):
    return ", ".join(
        f"{split} {_mean(evaluation.mean_colour, 'psnr_rgb'):.2f}"
        for split, (evaluation, _) in measured.items()
    )


def _mean(row, key):
    mean = row.figures[key].mean
    return float("nan") if mean is None else mean


if __name__ == "__main__":
    sys.exit(cli.run(main))
