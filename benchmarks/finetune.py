"""What tuning a model to a style gains on that style, and loses on other photos.

    python -m benchmarks.finetune PHOTOS GENERAL [--counts 48 200] [--unseen 150] [--keep 0.7]
                                  [--model wombat] [--grade no] [--seed 0] [--out runs/style]

PHOTOS and GENERAL are folders of colour photos that the model was not trained on. Of PHOTOS, in an
order drawn by --seed, the last `--unseen` are for measuring, and of the others the first 48, then
the first 200, are what `make finetune` gets; all are first graded as one photographer might, who
fades blacks, turns shadows to teal and lights to orange, and takes a fifth of the colour away
(`grade`). With --grade=no they stay as they are. GENERAL's photos are never graded. The photos are
copied to --out; the tuned models go to models/. The table has the PSNR on RGB of the model and of
each tuning, and the difference from the model with its 95 % interval over pictures.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from common import cli, datasets, photos
from common.cli import UserError
from common.color import lab
from common.commands import finetune
from common.evaluation import evaluate
from common.evaluation.markdown import Document
from common.evaluation.rows import MODEL, Evaluation
from common.networks import h5, model_names
from common.training.options import Options
from common.training.tuning import KEEP

SIDE = 256  # of the copies
SHADOWS, LIGHTS = (-9.0, -7.0), (6.0, 14.0)  # added to ab of black and of white
SATURATION, BLACK, RANGE = 0.8, 8.0, 0.86  # factor of ab; L* of black, and factor of L*


def grade(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same photo in the style, uint8."""
    colours = lab.rgb_to_lab(rgb)
    l, ab = colours[..., :1], colours[..., 1:]
    light = np.square(l / 100) * (3 - l / 50)  # a smooth step from black to white
    tint = (1 - light) * np.float32(SHADOWS) + light * np.float32(LIGHTS)
    graded = np.concatenate([BLACK + RANGE * l, SATURATION * ab + tint], -1)
    return np.rint(255 * lab.lab_to_rgb(lab.into_gamut(graded))).astype(np.uint8)


def copies(paths: list[Path], out: Path, graded: bool) -> Path:
    """Write the photos as PNG of `SIDE` pixels squared into a folder, made anew; return it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for number, path in enumerate(paths):
        rgb = photos.decode(path.read_bytes(), SIDE, "squash")
        rgb = grade(rgb) if graded else rgb
        (out / f"{number:04d}.png").write_bytes(photos.png(rgb))
    return out


def measured(models: list[Path], folder: Path, out: Path) -> Evaluation:
    """The models on all photos of a folder."""
    about = h5.metadata(models[0])
    dataset = datasets.prepare(
        folder,
        about["image_size"],
        about["cut"],
        split_by="content",
        fractions=(0.0, 0.0, 1.0),
        for_training=False,
    )
    options = evaluate.Options(keep_going=False, against=models[0].stem)
    return evaluate.evaluate(models, dataset, "test", out, options)


def main(argv: list[str] | None = None) -> int:
    """Tune, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("general", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[48, 200])
    parser.add_argument("--unseen", type=int, default=150)
    parser.add_argument("--model", default=model_names.DEFAULT)
    parser.add_argument("--keep", type=float, nargs="+", default=[KEEP])
    parser.add_argument("--grade", type=cli.yes_or_no, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/style"))
    args = parser.parse_args(argv)
    paths = sorted(photos.find(args.photos))
    needed = max(args.counts) + args.unseen
    if len(paths) < needed:
        raise UserError(f"{args.photos} has {len(paths)} photos; {needed} are needed.")
    paths = [paths[at] for at in np.random.default_rng(args.seed).permutation(len(paths))]
    unseen = copies(paths[-args.unseen :], args.out / "unseen", args.grade)
    start = model_names.named(args.model)
    models, seconds = [start], [0.0]
    for count in args.counts:
        for keep in args.keep:
            name = f"{args.out.name}{count}-keep{100 * keep:.0f}"
            folder = copies(paths[:count], args.out / name, args.grade)
            began = time.monotonic()
            result = finetune.run(folder, start, keep=keep, options=Options(seed=args.seed))
            seconds.append(time.monotonic() - began)
            models.append(result.run.model or start)
    table = Document("Tuned to a style")
    table.table(
        ("model", "unseen of the style", "difference", "general", "difference", "seconds"),
        list(
            zip(
                [model.stem for model in models],
                *columns(measured(models, unseen, args.out / "evaluation")),
                *columns(measured(models, args.general, args.out / "evaluation-general")),
                [f"{each:.0f}" for each in seconds],
                strict=True,
            )
        ),
    )
    print(table.write(args.out / "table.md"))
    return 0


def columns(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """(PSNR, its difference from the first model with the interval) of each model."""
    rows = [row for row in evaluation.rows if row.kind == MODEL]
    pairs = {pair.name: pair.metrics["psnr_rgb"] for pair in evaluation.pairs}
    differences = [
        f"{pairs[row.name].mean:+.2f} ({pairs[row.name].interval[0]:+.2f} to "
        f"{pairs[row.name].interval[1]:+.2f})"
        if row is not rows[0]
        else ""
        for row in rows
    ]
    return [f"{row.figures['psnr_rgb'].mean:.2f}" for row in rows], differences


if __name__ == "__main__":
    sys.exit(cli.run(main))
