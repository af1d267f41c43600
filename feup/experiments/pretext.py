"""Does colorization teach an encoder to recognise what a picture shows? `make pretext-feup`.

It trains a classifier, ResNet's encoder and a dense layer, from encoders that differ only in their
initial weights: random; from a colorizer trained from random weights; from ImageNet; from ImageNet
and then colorization, for the report's "pretrained", whose encoder had been trained on much data,
which the report does not name. Each is trained with some or all of the labels, fine-tuned or with
the encoder frozen, with the same seeds and order. P17 to P20.

DATA is CIFAR-10, as in the report, unless another is named. It writes pretext.md, curves.png and
results.json in reports/pretext/<data>. A stopped comparison continues after the last finished
classifier.
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import feup
from common import cli, datasets, files, training
from common.cli import UserError
from common.networks import h5
from common.networks.flags import PRECISIONS, add_weights
from common.networks.precision import choose_policy
from common.training.options import check_size
from common.training.run import claim, plain
from feup import resnet18
from feup.config import CONFIGS, Config
from feup.experiments.classifiers import (
    ENCODERS,
    SETTLING,
    TUNINGS,
    Cell,
    Results,
    Task,
    Weights,
    labelled,
)
from feup.experiments.pretext_report import draw_curves, report
from feup.model import build_model

CONFIG = "resnet18_mse"
DATA = "cifar10"  # P17: the report's


class Stopped(Exception):
    """A signal stopped the training of a colorizer."""

    def __init__(self, signal: int | None):
        super().__init__()
        self.signal = signal or 0


def main(argv: list[str] | None = None, settling: int = SETTLING) -> int:
    """From pictures in class folders to reports/pretext/<data>; settling: as of `Task`."""
    args = _parser().parse_args(argv)
    config = dataclasses.replace(CONFIGS[CONFIG], image_size=args.size, batch_size=args.batch)
    check_size(training.Report.of(feup), config)
    policy, why = choose_policy(args.precision)
    print(f"precision: {policy} ({why})", flush=True)
    dataset = datasets.prepare(args.data, config.image_size, config.cut, split_by=args.split_by)
    _check(dataset, args.labels)

    folder = Path("runs", args.run or f"pretext-{dataset.name}-{config.image_size}")
    colorizers = training.Options(
        split_by=args.split_by,
        size=args.size,
        epochs=args.colorizer_epochs,
        batch=args.batch,
        precision=args.precision,
        published=False,
    )
    try:
        weights, about = _encoders(args.data, colorizers, args.resnet18_weights, config, folder)
    except Stopped as stopped:
        return 128 + stopped.signal
    claim(
        folder,
        {
            "data": dataset.name,
            "split_sha256": dataset.split_sha256(),
            "precision": policy,
            "config": plain(config),
            "classifier_epochs": args.epochs,
            "encoders": about,
        },
        Config,
    )

    task = Task(dataset, config, weights, args.epochs, policy, settling)
    cells = [
        Cell(*parts)
        for parts in itertools.product(
            [name for name in ENCODERS if name == "random" or name in weights],
            TUNINGS,
            args.labels,
            range(args.seeds),
        )
    ]
    results: Results = {}
    with cli.progress(total=len(cells), unit="classifier") as bar:
        for cell in cells:
            bar.set_description(cell.name, refresh=False)
            path = folder / "classifiers" / f"{cell.name}.json"
            if not path.exists():
                files.write_json(path, task.train(cell))
            results[cell] = json.loads(path.read_text(encoding="utf-8"))
            bar.update()
    out = Path("reports", "pretext", dataset.name)
    document = report(results, dataset, config, about, args.epochs)
    files.write_json(
        out / "results.json",
        [{**dataclasses.asdict(cell), **result} for cell, result in results.items()],
    )
    draw_curves(out / "curves.png", results)
    print("\n" + document.write(out / "pretext.md"))
    return 0


def _parser():
    parser = cli.Parser("colorization pretext feup", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.set_defaults(data=DATA)
    config = CONFIGS[CONFIG]
    parser.add_argument(
        "--size",
        type=cli.at_least(8),
        default=config.image_size,
        help="side of the pictures, a multiple of 8",
    )
    parser.add_argument(
        "--epochs", type=cli.at_least(1), default=config.epochs, help="of each classifier"
    )
    parser.add_argument(
        "--colorizer-epochs",
        type=cli.at_least(1),
        default=config.epochs,
        help="of the colorizers whose encoders are compared",
    )
    parser.add_argument("--batch", type=cli.at_least(1), default=config.batch_size)
    parser.add_argument(
        "--labels",
        type=_percents,
        default=(1.0, 10.0, 100.0),
        help="shares of the labels in percent, with commas between",
    )
    parser.add_argument("--seeds", type=cli.at_least(1), default=5, help="classifiers of each kind")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--run", help="name of the run's folder in runs/")
    add_weights(
        parser,
        "resnet18",
        "of ImageNet, for two of the encoders: auto, imagenet, a file, or random to leave them out",
    )
    return parser


def _percents(text):
    values = tuple(float(part) for part in text.split(","))
    if not all(0 < value <= 100 for value in values) or len(set(values)) < len(values):
        raise ValueError
    return values


_percents.__name__ = "list of percents from 0 to 100"  # what argparse calls it in an error


def _check(dataset: datasets.Dataset, percents: tuple[float, ...]) -> None:
    """`UserError` unless there are classes, and pictures of them in every split."""
    if not dataset.labels:
        raise UserError(
            f"{dataset.name} has no class folders. A classifier needs pictures in a folder a class."
        )
    for split in datasets.SPLITS:
        if not (dataset.labels_of(split) >= 0).any():
            raise UserError(
                f"{dataset.folder} has no {split} pictures with a class. Use more "
                "pictures, or another SPLIT_BY."
            )
    least = min(percents)
    if len(labelled(dataset, least, seed=0)) < 2:
        raise UserError(
            f"{least:g} % of the labels are fewer than two pictures. Take larger LABELS."
        )


# --- the encoders -----------------------------------------------------------------------------


def _encoders(
    data: str, colorizers: training.Options, imagenet: str, config: Config, folder: Path
) -> tuple[dict[str, Weights], dict[str, str]]:
    """({name: an encoder's weights}, {name: its description}) for all encoders but `random`.

    colorizers: options of their training. imagenet: the source of the ImageNet weights, as in
    `pretrained.load`. Raises `Stopped`.
    """
    weights: dict[str, Weights] = {}
    about = {"random": "Glorot-uniform kernels, biases of zero, by the seed"}
    starts = {"colorization": "random"}
    try:
        weights["imagenet"], about["imagenet"] = _imagenet(imagenet, config)
        starts["pretrained"] = imagenet
    except UserError as error:
        if imagenet not in ("auto", "random"):
            raise
        print(f"no rows for imagenet and pretrained: {error}", flush=True)
    for name, start in starts.items():
        run = training.train(
            feup,
            CONFIG,
            data,
            colorizers,
            run=f"{folder.name}-{name}",
            weights={resnet18.VARIABLE: start},
        )
        if run.model is None:
            raise Stopped(run.stopped_by)
        network = h5.load(run.model).get_layer("resnet18_colorizer")
        weights[name] = network.get_layer("resnet18").get_weights()
        metadata = h5.metadata(run.model)
        about[name] = (
            f"of a colorizer, {metadata['epochs']} epochs from "
            f"{metadata['pretrained']['resnet18']['weights']} weights"
        )
    return weights, about


def _imagenet(source: str, config: Config) -> tuple[Weights, str]:
    """(the encoder's ImageNet weights, their description); `UserError` if there are none."""
    if source == "random":
        raise UserError("RESNET18_WEIGHTS=random.")
    colorizer = build_model(config)
    about = resnet18.load(colorizer, config, "imagenet" if source == "auto" else source)
    return colorizer.get_layer("resnet18").get_weights(), f"{about['weights']} weights"


if __name__ == "__main__":
    sys.exit(cli.run(main))
