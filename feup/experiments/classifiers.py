"""The classifiers of the pretext task: how they differ, and their training. P17 to P20."""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from common import datasets
from common.cli import UserError
from common.color import lab
from common.networks.precision import choose_jit, in_precision
from feup.config import Config
from feup.model import build_classifier

ENCODERS = ("random", "colorization", "imagenet", "pretrained")
TUNINGS = ("fine-tuned", "frozen")
STEPS = 10  # the minimum of an epoch, since one percent of the labels may be a handful of pictures
SETTLING = 50

Weights = list[np.ndarray]


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
