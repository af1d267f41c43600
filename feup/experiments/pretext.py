"""Does colorization teach an encoder to recognise what a picture shows? `make pretext-feup`.

It trains a classifier, ResNet's encoder and a dense layer, from encoders that differ only in their
initial weights: random; from a colorizer trained from random weights; from ImageNet; from ImageNet
and then colorization, which is the report's "pretrained". Each is trained with some or all of the
labels, fine-tuned or with the encoder frozen, with the same seeds and order. P17 to P20.

It writes pretext.md, curves.png and results.json in reports/pretext/<data>. A stopped comparison
continues after the last finished classifier.
"""

import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import stats

import feup
from common import cli, datasets, files, training
from common.cli import UserError
from common.color import lab
from common.evaluation import markdown, table
from common.networks import h5, pretrained
from common.networks.precision import PRECISIONS, choose_jit, choose_policy, in_precision
from common.training import logs
from common.training.options import check_size
from common.training.run import claim, plain
from feup import resnet18
from feup.config import CONFIGS, Config
from feup.model import build_classifier, build_model

CONFIG = "resnet18_mse"
ENCODERS = ("random", "colorization", "imagenet", "pretrained")
TUNINGS = ("fine-tuned", "frozen")
STEPS = 10  # the minimum of an epoch, since one percent of the labels may be a handful of pictures
LEVEL = 0.95
SETTLING = 50


Weights = list[np.ndarray]


class Stopped(Exception):
    """A signal stopped the training of a colorizer."""

    def __init__(self, signal: int | None):
        super().__init__()
        self.signal = signal or 0


@dataclasses.dataclass(frozen=True)
class Cell:
    """One classifier: the source of its encoder, how it is trained, and the share of the labels."""

    encoder: str
    tuning: str
    percent: float
    seed: int

    @property
    def name(self) -> str:
        """The file of its result."""
        return f"{self.encoder}-{self.tuning}-{self.percent:g}-{self.seed}"


Results = dict[Cell, dict[str, Any]]  # what `Task.train` returns for each cell


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
    pretrained.add_weights(
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


# --- the classifiers --------------------------------------------------------------------------


def labelled(dataset: datasets.Dataset, percent: float, seed: int) -> np.ndarray:
    """Positions in the training split whose labels are used: a share of each class, at least one.

    Smaller shares are part of larger ones of the same seed.
    """
    labels, rng = dataset.labels_of("train"), np.random.default_rng([seed, 1])
    chosen = []
    for label in range(len(dataset.labels)):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(of_class[: max(1, round(len(of_class) * percent / 100))])
    return np.sort(np.concatenate(chosen))


class Task:
    """The classification of a data set's pictures by their L*, from some encoders' weights.

    settling: batches that a frozen encoder's normalisation takes its statistics from.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        config: Config,
        weights: dict[str, Weights],
        epochs: int,
        policy: str,
        settling: int = SETTLING,
    ):
        self.dataset, self.config, self.weights = dataset, config, weights
        self.epochs, self.policy, self.settling = epochs, policy, settling

    def train(self, cell: Cell) -> dict[str, Any]:
        """Train a cell's classifier; {"pictures", "history", "test"} of it, all plain numbers."""
        keras.backend.clear_session()
        classifier = self._classifier(cell.encoder, cell.seed)
        positions = labelled(self.dataset, cell.percent, cell.seed)
        read = self._pictures
        if cell.tuning == "frozen":
            settled = () if cell.encoder in self.weights else (cell.seed,)
            read = self._features(cell.encoder, *settled)
            classifier = _head(classifier)
        else:
            classifier = in_precision(classifier, self.policy)
        classifier.compile(
            keras.optimizers.Adam(self.config.learning_rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        choose_jit(classifier)

        size = min(self.config.batch_size, len(positions))
        steps = max(STEPS, -(-len(positions) // size))
        order = functools.lru_cache(2)(
            lambda turn: np.random.default_rng([cell.seed, 2, turn]).permutation(positions)
        )

        def batch(step):
            numbers = range(step * size, (step + 1) * size)
            turns = (divmod(number, len(positions)) for number in numbers)
            return read("train", [order(turn)[at] for turn, at in turns])

        history = []
        for epoch in range(self.epochs):
            sums = np.zeros(2)
            for x, y in datasets.ahead(batch, range(epoch * steps, (epoch + 1) * steps)):
                classifier.reset_metrics()
                result = classifier.train_on_batch(x, y, return_dict=True)
                sums += float(result["loss"]), float(result["accuracy"])
            if not np.isfinite(sums).all():
                raise UserError(
                    f"The loss of {cell.name} is not finite in epoch {epoch + 1}. Try "
                    "PRECISION=float32."
                )
            loss, accuracy = (sums / steps).tolist()
            history.append(
                {
                    "loss": loss,
                    "accuracy": accuracy,
                    **{
                        f"val_{key}": value
                        for key, value in self._score(classifier, read, "validation").items()
                    },
                }
            )
        return {
            "pictures": len(positions),
            "history": history,
            "test": self._score(classifier, read, "test"),
        }

    def _classifier(self, encoder, seed):
        """A new classifier; the seed sets the dense layer and the random encoder."""
        keras.utils.set_random_seed(seed)
        classifier = build_classifier(self.config, len(self.dataset.labels))
        if encoder in self.weights:
            classifier.get_layer("resnet18").set_weights(self.weights[encoder])
        return classifier

    def _score(self, classifier, read, split):
        """Loss and accuracy over the pictures of a split that have a class."""
        positions = np.flatnonzero(self.dataset.labels_of(split) >= 0)
        size, losses, right = self.config.batch_size, [], []
        for x, y in datasets.ahead(
            lambda start: read(split, positions[start : start + size]),
            range(0, len(positions), size),
        ):
            logits = np.float64(keras.ops.convert_to_numpy(classifier.predict_on_batch(x)))
            logits -= logits.max(-1, keepdims=True)
            losses += (np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(y)), y]).tolist()
            right += (logits.argmax(-1) == y).tolist()
        return {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}

    def _pictures(self, split, positions):
        """({"l"}, labels) of some pictures of a split, in the network's scaling."""
        batch = self.dataset.read(split, positions)
        l = lab.scale_l(lab.rgb_to_l(batch["rgb"])[..., None], self.config)
        return {"l": l}, batch["label"]

    @functools.lru_cache(2)  # noqa: B019 - a task lives as long as its process
    def _features(self, encoder, seed=0):
        """A reader of (features (N, 128), labels), the encoder's map averaged over positions.

        The encoder's normalisation first takes the statistics of this data, since those of a random
        network or of another data set do not fit.
        """
        classifier = in_precision(self._classifier(encoder, seed), self.policy)
        size, count = self.config.batch_size, self.dataset.count("train")
        order = np.random.default_rng(0).permutation(count)
        for step in range(self.settling):
            x, _ = self._pictures("train", order[np.arange(step * size, (step + 1) * size) % count])
            classifier(x, training=True)
        pooled = choose_jit(keras.Model(classifier.input, classifier.get_layer("pool").output))
        features = {}
        for split in datasets.SPLITS:
            positions = np.arange(self.dataset.count(split))
            parts = [positions[start : start + size] for start in range(0, len(positions), size)]
            batches = datasets.ahead(functools.partial(self._pictures, split), parts)
            features[split] = np.concatenate(
                [
                    keras.ops.convert_to_numpy(pooled.predict_on_batch(x)).astype(np.float32)
                    for x, _ in batches
                ]
            )
        labels = {split: self.dataset.labels_of(split) for split in datasets.SPLITS}
        return lambda split, positions: (features[split][positions], labels[split][positions])


def _head(classifier):
    """The classifier's dense layer, applied to precomputed features."""
    dense = classifier.get_layer("label")
    features = keras.Input(classifier.get_layer("pool").output.shape[1:])
    head = keras.Model(features, keras.layers.Dense(dense.units, name="label")(features))
    head.set_weights(dense.get_weights())
    return head


# --- the report -------------------------------------------------------------------------------


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """(mean, half of the 95 % interval of the mean by Student's t), None for one value."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float(values.mean()), None
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * error)


def gaps(
    results: Results, encoder: str, tuning: str, percent: float, key: str = "accuracy"
) -> list[float]:
    """The lead on test of an encoder's classifiers over the random ones, seed by seed."""

    def of(name, seed):
        return results[Cell(name, tuning, percent, seed)]["test"][key]

    seeds = sorted({cell.seed for cell in results})
    return [of(encoder, seed) - of("random", seed) for seed in seeds]


def report(
    results: Results,
    dataset: datasets.Dataset,
    config: Config,
    about: dict[str, str],
    epochs: int,
) -> markdown.Document:
    """The comparison as a `markdown.Document`."""
    encoders = [name for name in ENCODERS if any(cell.encoder == name for cell in results)]
    percents = sorted({cell.percent for cell in results})
    seeds = len({cell.seed for cell in results})
    document = markdown.Document(f"Colorization as a pretext task: {dataset.name}")
    tested = int((dataset.labels_of("test") >= 0).sum())
    document.text(
        f"ResNet-18 cut at 128 channels and a dense layer name {len(dataset.labels)} classes by L* "
        f"at {config.image_size} x {config.image_size}; {tested} test pictures, {epochs} epochs, "
        f"{seeds} classifiers of each kind, Adam {config.learning_rate:g}, batches of "
        f"{config.batch_size}. Intervals are {LEVEL:.0%} by Student's t over these classifiers "
        "(their first weights, labels and order), of one colorizer: not of other colorizers or "
        "pictures."
    )
    document.list([f"{name}: {about[name]}" for name in encoders])
    for tuning in TUNINGS:
        rows = []
        for percent, name in itertools.product(percents, encoders):
            cells = [
                result
                for cell, result in results.items()
                if (cell.encoder, cell.tuning, cell.percent) == (name, tuning, percent)
            ]
            first = interval([100 * cell["history"][0]["val_accuracy"] for cell in cells])
            rows.append(
                [
                    f"{percent:g} % ({cells[0]['pictures']})",
                    name,
                    _shown(first),
                    _shown(interval([100 * cell["test"]["accuracy"] for cell in cells])),
                    ""
                    if name == "random"
                    else _shown(
                        interval(100 * np.array(gaps(results, name, tuning, percent))), sign="+"
                    ),
                    _shown(interval([cell["test"]["loss"] for cell in cells]), digits=3),
                    ""
                    if name == "random"
                    else _shown(
                        interval(gaps(results, name, tuning, percent, "loss")), sign="+", digits=3
                    ),
                ]
            )
        document.heading(f"The encoder {tuning}")
        document.table(
            [
                "labels (pictures)",
                "encoder",
                "validation accuracy after epoch 1, %",
                "test accuracy, %",
                "against random",
                "test loss",
                "against random",
            ],
            rows,
        )
    document.heading("Test accuracy against random")
    document.list(verdict(results))
    document.text(CLAIM)
    document.picture("curves.png", "accuracy and loss by epoch, training and validation")
    if dataset.name == "samples":
        document.text(table.RUNS_ONLY)
    return document


CLAIM = (
    "The report's claim: the pretrained classifier starts higher and ends a little higher, with a "
    "lower test loss; it prints no figures. Its encoder had ImageNet's weights before it learned "
    "to colour, so what it shows is not due to colorization alone: colorization here began from "
    "random weights, and imagenet was never trained to colour."
)


def verdict(results: Results) -> list[str]:
    """Where an encoder is better or worse than a random one by more than its interval: a list."""
    lines = []
    for name, tuning, percent in sorted(
        {(cell.encoder, cell.tuning, cell.percent) for cell in results if cell.encoder != "random"}
    ):
        mean, half = interval(100 * np.array(gaps(results, name, tuning, percent)))
        if half is None:
            return ["One classifier of each kind does not measure chance: take SEEDS=5."]
        outcome = (
            "not distinct from"
            if abs(mean) <= half
            else "better than"
            if mean > 0
            else "worse than"
        )
        lines.append(
            f"{name}, {tuning}, {percent:g} % of the labels: {outcome} random, {mean:+.1f} "
            f"points ({mean - half:+.1f} to {mean + half:+.1f})"
        )
    return lines


def _shown(of, sign="", digits=1):
    mean, half = of
    text = f"{mean:{sign}.{digits}f}"
    return text if half is None else f"{text} ± {half:.{digits}f}"


def draw_curves(path: Path, results: Results) -> None:
    """Accuracy and loss by epoch, means over the seeds, as a PNG: a row a tuning and figure."""
    from matplotlib.figure import Figure

    encoders = [name for name in ENCODERS if any(cell.encoder == name for cell in results)]
    percents = sorted({cell.percent for cell in results})
    rows = list(itertools.product(TUNINGS, ("accuracy", "loss")))
    figure = Figure(figsize=(5 * len(percents), 3.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(percents), squeeze=False)
    for (tuning, key), line in zip(rows, panels, strict=True):
        for percent, axes in zip(percents, line, strict=True):
            for number, name in enumerate(encoders):
                cells = [
                    result["history"]
                    for cell, result in results.items()
                    if (cell.encoder, cell.tuning, cell.percent) == (name, tuning, percent)
                ]
                for prefix, style in (("", ":"), ("val_", "-")):
                    curve = np.mean([[epoch[prefix + key] for epoch in each] for each in cells], 0)
                    axes.plot(
                        np.arange(1, len(curve) + 1),
                        curve,
                        style,
                        color=f"C{number}",
                        label=f"{name}, {'validation' if prefix else 'training'}",
                    )
            axes.set(xlabel="epoch", ylabel=key, title=f"{tuning}, {percent:g} % of the labels")
    logs.save_curves(path, figure, panels.ravel())


if __name__ == "__main__":
    sys.exit(cli.run(main))
