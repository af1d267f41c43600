"""Train with and without the penalties, and compare: the report's main comparison.

`make compare-vgg_autoencoder` writes curves.png, grid.png, comparison.md and index.html in
reports/compare/vgg_autoencoder. Interrupted runs are resumed, finished ones are reused.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

import vgg_autoencoder
from common import cli, datasets, files, metrics, photos
from common.color import lab
from common.commands import variants
from common.evaluation import table
from common.evaluation.rows import Evaluation, Row
from common.networks import h5
from common.networks.interface import predict
from common.training import logs
from vgg_autoencoder.config import CONFIGS

WITH, WITHOUT = "zaman2020", "zaman2020_unregularised"
UNPENALISED, PENALISED = "without penalties", "with penalties"
SIDES = {UNPENALISED: WITHOUT, PENALISED: WITH}
OUT = Path("reports/compare/vgg_autoencoder")
SHOWN = 8  # pictures in grid.png
HEADER = 28  # pixels above them

# key of a metric, what penalties do to it according to the report, the words for yes and no
CLAIMS = (
    ("colourfulness", "higher", "more vibrant", "less vibrant"),
    ("mse_ab", "lower", "closer to the truth", "further from the truth"),
    ("argmax_ab", "higher", 'of higher "accuracy"', 'of lower "accuracy"'),
)


def main(argv: list[str] | None = None) -> int:
    """From pictures to reports/compare/vgg_autoencoder."""
    args, others = _parser().parse_known_args(argv)  # other flags are passed on to the training
    instead = f"{WITH} and {WITHOUT} are"
    passed = variants.passed(args, others, "data", "split_by", "size", instead=instead)
    runs = variants.trained({side: _variant(name, passed, args) for side, name in SIDES.items()})
    paths = variants.exports(runs)
    dataset = runs[PENALISED].dataset
    evaluation, sides = variants.measured(paths, dataset, OUT)
    histories = {side: _columns(run.history) for side, run in runs.items()}

    draw_curves(OUT / "curves.png", histories, CONFIGS[WITH].ab_scale)
    draw_grid(OUT / "grid.png", dataset, paths)
    text = comparison(evaluation, sides, histories)
    files.write_text(OUT / "comparison.md", text)
    print("\n" + text)
    print(f"{OUT}/comparison.md, curves.png, grid.png and index.html")
    if evaluation.data.name == "samples":
        print(table.RUNS_ONLY)
    return 0


def _parser():
    return variants.parser("compare vgg_autoencoder", __doc__.splitlines()[0], "both sides")


def _variant(name, passed, args):
    run = variants.name_of(f"compare-{name}", args.data, args.size)
    return variants.Variant.of(vgg_autoencoder, [*passed, f"--config={name}", f"--run={run}"])


def _columns(history):
    """{column: values by epoch} of a run's history; nan where there is none."""
    return {
        key: [float("nan") if row[key] is None else row[key] for row in history]
        for key in history[0]
    }


# --- the comparison ---------------------------------------------------------------------------


def comparison(
    evaluation: Evaluation,
    sides: Mapping[str, Row],
    histories: Mapping[str, dict[str, list[float]]],
) -> str:
    """The comparison as Markdown: a table of both sides, the baselines and the truth; a verdict.

    sides: {side: the model's `rows.Row`}. histories: {side: {column: values by epoch}}.
    """
    keys = ("mse_ab", "argmax_ab", "psnr_rgb", "colourfulness")
    lines = [
        "# Zaman 2020: with and without penalties",
        "",
        verdict(evaluation, sides),
        "",
        "| | " + " | ".join(metrics.METRICS[key].title for key in keys) + " |",
        "|---|" + "--:|" * len(keys),
    ]
    for name, row in (
        ("grey", evaluation.grey),
        ("mean colour", evaluation.mean_colour),
        *sides.items(),
        ("true", evaluation.truth),
    ):
        lines.append(f"| {name} | " + " | ".join(_cell(row, key) for key in keys) + " |")
    lines += ["", "| last epoch | " + " | ".join(SIDES) + " |", "|---|--:|--:|"]
    for key in ("epoch", "loss", "val_loss", "accuracy", "val_accuracy", "val_mse_ab"):
        digits = 0 if key == "epoch" else 1 if key == "val_mse_ab" else 5
        lines.append(
            f"| {key} | "
            + " | ".join(f"{history[key][-1]:.{digits}f}" for history in histories.values())
            + " |"
        )
    data, encoder = evaluation.data, sides[PENALISED].metadata["pretrained"]["vgg16"]
    lines += [
        "",
        f"{data.pictures} test pictures of {data.name} at {data.image_size} x "
        f"{data.image_size}, one run each; the encoder has {encoder['weights']} weights. Both "
        'losses include their penalties, so compare the error on ab instead. "Accuracy" is '
        "Keras's, the share of pixels where the larger of a\\*, b\\* is the same one.",
        "",
        "![curves](curves.png)",
        "",
        "![pictures](grid.png)",
        "",
        "Every test picture's page: [index.html](index.html).",
    ]
    return "\n".join(lines) + "\n"


def _cell(row, key):
    figure = row.figures.get(key)
    if figure is None or figure.mean is None:
        return ""
    return f"{figure.mean:.{metrics.METRICS[key].digits}f}"


def verdict(evaluation: Evaluation, sides: Mapping[str, Row]) -> str:
    """The answer to the claim, from the figures as printed: equal figures mean no difference."""
    without, with_ = sides[UNPENALISED], sides[PENALISED]
    findings, held = [], []
    for key, better, yes, no in CLAIMS:
        before, after = _cell(without, key), _cell(with_, key)
        values = zip(without.values[key], with_.values[key], strict=True)
        gains = [
            (after > before) if better == "higher" else (after < before) for before, after in values
        ]
        gain = float(after) - float(before)
        held.append(gain > 0 if better == "higher" else gain < 0)
        outcome = yes if held[-1] else no if gain else f"not {yes}"
        findings.append(
            f"{outcome} ({metrics.METRICS[key].title} {after} against {before}, {better} "
            f"on {sum(gains)} of {len(gains)} pictures)"
        )
    answer = "holds" if all(held) else "holds in part" if any(held) else "does not hold"
    return (
        f"With penalties the colours are {findings[0]}, {findings[1]} and {findings[2]}; the "
        f"true pictures' colourfulness is {_cell(evaluation.truth, 'colourfulness')}. That "
        "regularisation gives more vibrant colours and better accuracy "
        f"{answer} in these two runs."
    )


# --- the pictures -----------------------------------------------------------------------------


def draw_curves(
    path: Path, histories: Mapping[str, dict[str, list[float]]], ab_scale: float
) -> None:
    """Loss, error on ab and "accuracy" of both sides by epoch, training and validation, as a PNG.

    histories: {side: {column: values by epoch}}; ab_scale: the network's, to have the error in Lab
    units.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = (
        "loss, penalties included",
        "squared error on ab, Lab units",
        'Keras "accuracy" (argmax of a, b)',
    )
    for number, (side, history) in enumerate(histories.items()):
        error = [value / ab_scale**2 for value in history["mse"]]
        pairs = (
            (history["loss"], history["val_loss"]),
            (error, history["val_mse_ab"]),
            (history["accuracy"], history["val_accuracy"]),
        )
        for axes, both in zip(panels, pairs, strict=True):
            for values, style, split in zip(
                both, (".:", ".-"), ("training", "validation"), strict=True
            ):
                label = f"{side}, {split}"
                axes.plot(history["epoch"], values, style, color=f"C{number}", label=label)
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xlabel="epoch", ylabel=title)
    logs.save_curves(path, figure, panels)


def draw_grid(path: Path, dataset: datasets.Dataset, paths: Mapping[str, Path]) -> None:
    """Unseen test pictures, a row each: grey | one column a model | true, labelled, as a PNG.

    paths: {label: exported model}.
    """
    count = dataset.count("test")
    positions = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).astype(int))
    rgb = dataset.read("test", positions)["rgb"]
    l = lab.rgb_to_l(rgb)[..., None]
    columns = {"grey": metrics.recolour(l, np.zeros((*l.shape[:3], 2), np.float32))}
    for label, model in paths.items():
        columns[label] = metrics.recolour(l, predict(h5.load(model), {"l": l}))
    columns["true"] = rgb

    size = dataset.image_size
    header = np.full((HEADER, size * len(columns), 3), 255, np.uint8)
    for number, label in enumerate(columns):
        cv2.putText(
            header,
            label,
            (number * size + 6, HEADER - 9),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    rows = np.concatenate(list(columns.values()), axis=2)
    with files.replacing(path) as temporary:
        temporary.write_bytes(photos.png(np.concatenate([header, *rows])))


if __name__ == "__main__":
    sys.exit(cli.run(main))
