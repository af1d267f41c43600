"""Metrics computed by networks, for `make eval METRICS=lpips,fid,kid,frechet,kernel,top1` or `all`.

Of one picture: LPIPS, and the class that an ImageNet classifier predicts. Of all pictures of a row
at once: the Fréchet and the kernel distance between the features of the predictions and of the true
pictures, called FID and KID for Inception-v3 and by the network's name for others.

Without its weights a column stays empty, and a sentence under the table gives the reason. Random
weights are used only where they are asked for, and the column's title shows it.
"""

import contextlib
import dataclasses
import re
import tempfile
from pathlib import PurePosixPath
from typing import IO

import keras
import numpy as np

from common import metrics
from common.cli import UserError
from common.evaluation import feature_networks
from common.evaluation.feature_networks import FeatureNetwork
from common.evaluation.rows import Summary, Truth
from common.metrics import kernel
from common.networks import imagenet, perceptual
from common.networks.flags import variable_of

NAMES = "lpips", "fid", "kid", "frechet", "kernel", "top1"  # what METRICS= may ask for
AGREEMENT = "top1_agreement"  # comes with top1
_WORDNET = re.compile(r"n\d{8}")
CLASSIFIER, INCEPTION, PERCEPTUAL = "mobilenet_v2", "inception_v3", "alexnet"


@dataclasses.dataclass(frozen=True)
class Request:
    """The metrics of networks that an evaluation includes.

    asked: some of `NAMES`; another name is a `UserError`. classifier: the network for top1, frechet
    and kernel. perceptual: the network for lpips. weights: {variable: value}; a missing variable
    means `auto`.
    """

    asked: tuple[str, ...] = NAMES
    classifier: str = CLASSIFIER
    perceptual: str = PERCEPTUAL
    weights: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        unknown = [name for name in self.asked if name not in NAMES]
        if unknown:
            raise UserError(
                f"There is no metric {unknown[0] or 'of an empty name'}. METRICS is all, "
                f"or some of {','.join([*metrics.BATCH_METRICS, *NAMES])}; the others are always "
                "there."
            )

    def load(self, names: list[str], size: int) -> "Networks":
        """The networks for these pictures, whose sides are `size`."""
        return Networks(self, names, size)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the networks of an evaluation give of some pictures, at `positions` of the split.

    features: those that are compared, (N, D) float32, of each of `Networks.features_of`, else None.
    """

    positions: list[int]
    distances: list[float]
    features: list[np.ndarray | None]
    classes: list[int]


class Networks:
    """The networks of an evaluation and the columns that they compute.

    names: the pictures' files, whose class folders may be WordNet ids. size: the pictures' side.
    `columns` is {key: metrics.Metric}, `notes` are sentences shown under the table. Weights that
    are named but missing raise `UserError`; with `auto` their columns stay empty. As a context
    manager it drops the features of all rows when it ends.
    """

    def __init__(self, request: Request, names: list[str], size: int):
        self.columns: dict[str, metrics.Metric] = {}
        self.notes: list[str] = []
        self._request = request
        self._weights, self._size, self._count = request.weights, size, len(names)
        self._lacks: dict[str, str] = {}  # why a column is empty
        self._sets: dict[str, FeatureNetwork] = {}  # whose features a column compares
        self.targets: list[int | None] | None = None  # the pictures' classes
        self.distance = self.classifier = None
        self._open = contextlib.ExitStack()
        asked = request.asked
        if "lpips" in asked:
            self._load_distance(request.perceptual)
        self._load_network(
            [key for key in ("fid", "kid") if key in asked],
            {"fid": "FID", "kid": "KID"},
            INCEPTION,
            "INCEPTION_V3_WEIGHTS",
        )
        title = imagenet.NETWORKS[request.classifier].title
        of_classifier: list[str] = [key for key in ("frechet", "kernel", "top1") if key in asked]
        if "top1" in of_classifier:
            of_classifier.append(AGREEMENT)
            self._load_classes(names)
            if self.targets is None and "top1" not in self._lacks:
                of_classifier.remove("top1")
        self.classifier = self._load_network(
            of_classifier,
            {
                "frechet": f"{title} Fréchet distance",
                "kernel": f"{title} kernel distance",
                "top1": f"Top-1, {title}",
                AGREEMENT: f"Agreement, {title}",
            },
            request.classifier,
            "CLASSIFIER_WEIGHTS",
        )

    def __reduce__(self):
        return type(self), (self._request, [], self._size)  # to see pictures with, which needs none

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._open.close()

    @property
    def features_of(self) -> dict[FeatureNetwork, bool]:
        """{network: whether its features are compared}, each once."""
        compared = dict.fromkeys(self._sets.values())
        networks = dict.fromkeys(compared, True)
        return networks | (
            {self.classifier: self.classifier in compared} if self.classifier else {}
        )

    def see(self, start: int, pictures: list, true: np.ndarray | None) -> Seen:
        """Apply the networks to pictures from position `start` on, (S, S, 3) uint8 or None each.

        true: the true ones, (N, S, S, 3), or None where `pictures` are the true ones.
        """
        present = [at for at, picture in enumerate(pictures) if picture is not None]
        distances: list[float] = []
        classes: list[int] = []
        features: list[np.ndarray | None] = [None] * len(self.features_of)
        if present:
            shown = np.stack([pictures[at] for at in present])
            if self.distance and true is not None:
                distances = _distances(self.distance, shown, true[present])
            for at, (network, compared) in enumerate(self.features_of.items()):
                found, logits = network(shown)
                if compared:
                    features[at] = np.ascontiguousarray(found, np.float32)
                if network is self.classifier:
                    classes = logits.argmax(-1).tolist()
        return Seen([start + at for at in present], distances, features, classes)

    def outputs(self) -> "Outputs":
        """New `Outputs`, for the pictures of one row or for the true ones."""
        return self._open.enter_context(Outputs(self))

    def _weights_of(self, variable):
        return self._weights.get(variable, "auto")

    def _load_distance(self, network):
        own, of_lpips = variable_of(network), self._weights_of(perceptual.VARIABLE)
        known = perceptual.LPIPS.get(network)
        if known and self._size < known.smallest:
            self._lack(
                ["lpips"],
                "too small",
                f"LPIPS needs pictures of {known.smallest} pixels a side. They have {self._size}.",
            )
        else:
            weights = self._weights_of(own)
            self.distance = self._available(
                ["lpips"],
                "LPIPS",
                {weights, of_lpips} <= {"auto", "none"},
                lambda: perceptual.load(
                    network, "imagenet" if weights == "auto" else weights, of_lpips
                ),
            )
        if self.distance is None:
            self._add("lpips", "LPIPS", {})
            return
        metadata = self.distance.metadata
        self._add(
            "lpips",
            self.distance.title,
            {
                "network": f"{metadata['network']}, {metadata['weights']} weights",
                "sha256": metadata["sha256"],
                "input": "sRGB at the data set's size",
            },
        )

    def _load_network(self, keys, titles, name, variable):
        if not keys:
            return None
        weights = self._weights_of(variable)
        network = self._available(
            [key for key in keys if key not in self._lacks],
            ", ".join(titles[key] for key in keys),
            weights == "auto",
            lambda: feature_networks.load(name, weights, variable, top="fid" not in titles),
        )
        for key in keys:
            if network and key in _SWITCHES:
                self._sets[key] = network
            random = network is not None and network.weights == "random"
            self._add(
                key,
                titles[key] + (", RANDOM weights" if random else ""),
                network.about | _SWITCHES.get(key, {}) if network else {},
            )
        return network

    def _load_classes(self, names):
        """The class of each picture whose folder is a WordNet id, else None."""
        folders = [PurePosixPath(name).parent.name for name in names]
        if not any(map(_WORDNET.fullmatch, folders)):
            self.notes.append(
                "No top-1 accuracy: the pictures' folders are no WordNet ids "
                "(n01440764, ...). Agreement is with what the classifier predicts for the "
                "true picture."
            )
            return
        known = self._available(
            ["top1"], "Top-1", True, feature_networks.classes, lacks="no classes"
        )
        if known:
            self.targets = [known.get(folder) for folder in folders]
            if self.targets.count(None) == len(names):
                self.targets = None
                self.notes.append(
                    "No top-1 accuracy: the WordNet ids of the pictures' folders are "
                    "none of ImageNet's 1,000 classes."
                )

    def _available(self, keys, titles, is_auto, load, lacks="no weights"):
        try:
            return load()
        except UserError as error:
            if not is_auto:
                raise
            self._lack(keys, lacks, f"{titles}: {lacks}. {error}")
            return None

    def _lack(self, keys, reason, note):
        self._lacks |= dict.fromkeys(keys, reason)
        self.notes.append(note)

    def _add(self, key, title, switches):
        metric = metrics.METRICS[key]
        assert isinstance(metric, metrics.NetworkMetric)
        self.columns[key] = dataclasses.replace(metric, title=title, given=switches)

    def results(
        self, outputs: "Outputs", true: "Outputs"
    ) -> tuple[dict[str, list], dict[str, Summary]]:
        """(values by picture, figures) of a row, or of the true pictures where both are the same.

        The figures are still without their intervals.
        """
        values = outputs.values(true)
        means = {key: metrics.summary(values[key]) for key in self.columns if key in values}
        figures = {key: Summary(mean.mean, mean.n, mean.infinite) for key, mean in means.items()}
        if outputs is not true:
            figures |= {key: self._of_sets(key, outputs, true) for key in self._sets}
            figures |= {key: Summary(None, 0, lacks=reason) for key, reason in self._lacks.items()}
        return values, figures

    def _of_sets(self, key, outputs, true):
        positions, network = outputs.positions, self._sets[key]
        count = len(positions)
        if count < 4:  # halves of two
            return Summary(None, count)
        if key in ("fid", "frechet"):
            distance = metrics.frechet_distance(
                true.moments(network, positions), outputs.moments(network, positions)
            )
            return Summary(distance, count)
        mean, deviation, size = metrics.kernel_distance(
            outputs.features(network, positions), true.features(network, positions)
        )
        return Summary(mean, count, deviation=deviation, subset=size)

    def closing_notes(self, truth: Truth) -> list[str]:
        """`notes`, and those that need the figures of the true pictures."""
        notes = list(self.notes)
        for key in ("fid", "frechet"):
            of = self._sets.get(key)
            if of and self._count < of.dimensions:
                notes.append(
                    f"{self.columns[key].title} is over {self._count:,} pictures, fewer than the "
                    f"{of.dimensions:,} dimensions of its features: it comes out too high, and "
                    "compares only between rows of the same pictures."
                )
        if "top1" in truth.figures:
            notes.append(
                f"{self.columns['top1'].title}, of the true pictures is "
                f"{truth.figures['top1'].mean:.1f} %."
            )
        return notes


_FRECHET = {"features": "what enters the last layer", "covariance": "n - 1"}
_KERNEL = {
    "features": "what enters the last layer",
    "kernel": "(x . y / D + 1)^3",
    "subsets": kernel.SUBSETS,
    "subset": f"{kernel.SUBSET:,} pictures, or half of them",
    "seed": kernel.SEED,
}
_SWITCHES = {"fid": _FRECHET, "frechet": _FRECHET, "kid": _KERNEL, "kernel": _KERNEL}


def _distances(distance, pictures, true):
    """The distance of each of some pictures to the true one."""
    (distances,) = feature_networks.in_batches(
        lambda rgb, other: [
            keras.ops.convert_to_numpy(distance(np.float32(rgb) / 255, np.float32(other) / 255))
        ],
        pictures,
        true,
    )
    return list(map(float, distances))


class Outputs:
    """The outputs of `networks` for one row's pictures, or for the true ones.

    Features go to temporary files, so that memory does not grow with the pictures; leaving the
    context drops them.
    """

    def __init__(self, networks: Networks):
        self._networks = networks
        self.positions: list[int] = []  # of the pictures, in the order of their features
        self._classes: dict[int, int] = {}
        self._distances: dict[int, float] = {}
        self._moments: dict[FeatureNetwork, metrics.Moments] = {}
        self._files: dict[FeatureNetwork, IO[bytes]] = {}
        self._open = contextlib.ExitStack()
        for network, compared in networks.features_of.items():
            if compared:
                self._files[network] = self._open.enter_context(_temporary_file())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._open.close()

    def add(self, seen: Seen) -> None:
        """Add what the networks give of further pictures, in the order of their positions."""
        self.positions += seen.positions
        self._distances |= zip(seen.positions, seen.distances, strict=False)  # none of true ones
        for network, features in zip(self._networks.features_of, seen.features, strict=True):
            if network in self._files and features is not None:
                self._files[network].write(features.data)
        self._classes |= zip(seen.positions, seen.classes, strict=False)  # none without classifier

    def values(self, true: "Outputs") -> dict[str, list]:
        """{key: values in the pictures' order, None where there is none}."""
        networks, values = self._networks, {}
        if "lpips" in networks.columns and networks.distance and self is not true:
            values["lpips"] = [self._distances.get(position) for position in true.positions]
        if networks.classifier and "top1" in networks.columns and networks.targets:
            values["top1"] = [
                None
                if target is None or position not in self._classes
                else 100.0 * (self._classes[position] == target)
                for position, target in zip(true.positions, networks.targets, strict=True)
            ]
        if networks.classifier and AGREEMENT in networks.columns and self is not true:
            values[AGREEMENT] = [
                None
                if position not in self._classes
                else 100.0 * (self._classes[position] == true._classes[position])
                for position in true.positions
            ]
        return values

    def features(self, network: FeatureNetwork, positions: list[int]) -> "_Rows":
        """The features of the pictures at `positions`, (n, D) float32, read as they are used."""
        file = self._files[network]
        file.flush()
        stored = np.memmap(file, np.float32, "r", shape=(len(self.positions), network.dimensions))
        return _Rows(stored, np.searchsorted(self.positions, positions))

    def moments(self, network: FeatureNetwork, positions: list[int]) -> metrics.Moments:
        """The moments of these features; those of all pictures are kept for the next row."""
        if positions != self.positions:
            return metrics.Moments(self.features(network, positions))
        if network not in self._moments:
            self._moments[network] = metrics.Moments(self.features(network, positions))
        return self._moments[network]


def _temporary_file():
    return tempfile.TemporaryFile()


class _Rows:
    """Some rows of an array, read when they are used."""

    def __init__(self, array, at):
        self._array, self._at = array, at
        self.shape = (len(at), array.shape[1])

    def __len__(self):
        return len(self._at)

    def __getitem__(self, index):
        return np.asarray(self._array[self._at[index]])
