"""Metrics that a network makes, for `make eval METRICS=lpips,fid,kid,frechet,kernel,top1` or `all`.

Of a picture: LPIPS, and what an ImageNet classifier says of it. Of all pictures of a row at once:
the Fréchet and the kernel distance between the features of the predictions and of the true
pictures, called FID and KID on Inception-v3 and by the network's name elsewhere.

Weights that are not at hand leave a column empty and a sentence under the table. Random ones are
only taken where they are asked for, and the column's title says so.
"""

import contextlib
import dataclasses
import functools
import re
import tempfile
from pathlib import PurePosixPath

import keras
import numpy as np
from keras import layers

from common import metrics
from common.cli import UserError, first_line
from common.metrics import set_distances
from common.networks import imagenet, perceptual, pretrained
from common.networks.precision import choose_jit

NAMES = "lpips", "fid", "kid", "frechet", "kernel", "top1"  # what METRICS= may ask for
AGREEMENT = "top1_agreement"  # comes with top1
BATCH = 16  # one size is one compilation
_WORDNET = re.compile(r"n\d{8}")
CLASSIFIER, INCEPTION, PERCEPTUAL = "mobilenet_v2", "inception_v3", "alexnet"
RESIZING = "bilinear with antialiasing (keras.layers.Resizing)"


# --- networks ---------------------------------------------------------------------------------


class Seer:
    """An ImageNet network that looks at 8-bit pictures.

    `seer(pictures)`: (N, H, W, 3) uint8 -> (features (N, D), logits (N, 1000)), float32; without
    its top the features stand for both.
    """

    def __init__(self, application, network, weights):
        self.of, self.weights = application, weights
        self.title = application.title
        self.about = {
            "network": f"Keras's {application.title}, {weights} weights",
            "sha256": pretrained.weights_sha256(network),
            "input": f"{application.size} x {application.size}, {RESIZING}, "
            f"{application.preprocess}",
        }
        has_top = isinstance(network.layers[-1], layers.Dense)
        features = network.layers[-2].output if has_top else network.output
        ends = keras.Model(network.input, [features, network.output])
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = layers.Resizing(application.size, application.size, antialias=True, dtype="float32")(
            inputs
        )
        self._model = choose_jit(keras.Model(inputs, ends(x)))
        self.dimensions = features.shape[-1]

    def __call__(self, pictures):
        # Scaling is linear, channel by channel: before resizing it does what it does after.
        found = _in_batches(
            lambda rgb: self._model.predict_on_batch(self.of.preprocess(np.float32(rgb))), pictures
        )
        return tuple(map(keras.ops.convert_to_numpy, found))


def _in_batches(function, *arrays):
    """What function(*arrays) gives, a tuple of arrays, by batches of one size: a list of arrays."""
    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        batch = [np.asarray(array[start : start + BATCH]) for array in arrays]
        count = len(batch[0])
        filled = [np.concatenate([each, np.repeat(each[-1:], BATCH - count, 0)]) for each in batch]
        parts.append([part[:count] for part in function(*filled)])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def seer(name, weights, variable, top=True):
    """A `Seer` of `applications.NETWORKS`; `UserError` where its weights are not at hand.

    weights: as in `pretrained.load`, but that `auto` never falls back to random ones. Without
    `top` a file may hold the network with it or without.
    """
    of = imagenet.NETWORKS[name]
    bare = {"include_top": False, "pooling": "avg"}

    def build(classes=1000, weights=None, **ends):
        ends = ends or {"classes": classes, "classifier_activation": None}
        with pretrained.in_float32():
            return of.build(weights=weights, **ends)

    network, source = pretrained.load(
        "imagenet" if weights == "auto" else weights,
        name=of.title,
        variable=variable,
        build=build,
        imagenet=lambda: pretrained.fetch(
            lambda: build(weights="imagenet", **({} if top else bare)), of.title, of.file(top)
        ),
        read=lambda path: pretrained.read_classifier(
            path,
            build,
            [] if top else [functools.partial(build, **bare)],
            name=of.title,
            variable=variable,
        ),
    )
    return Seer(of, network, source)


def classes():
    """{WordNet id: class of ImageNet's 1,000}, from Keras's cache or a download; `UserError`."""
    decode = keras.applications.imagenet_utils.decode_predictions
    try:
        named = pretrained.fetch(
            lambda: decode(np.eye(1000, dtype=np.float32), top=1),
            "the classes",
            "imagenet_class_index.json",
        )
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        raise UserError(
            "The numbers of ImageNet's classes (imagenet_class_index.json) are neither in Keras's "
            f"cache nor to be downloaded ({first_line(error)})."
        ) from None
    return {wordnet: at for at, ((wordnet, _, _),) in enumerate(named)}


# --- an evaluation ----------------------------------------------------------------------------


class Networks:
    """The networks of an evaluation and the columns that they make.

    asked: of `NAMES`. names: the pictures' files, whose class folders may be WordNet ids. size: the
    pictures' side. weights: {variable: value}; what is not in it is `auto`. `columns` is
    {key: metrics.Metric}, `notes` are sentences for under the table. Weights that are named and
    are not there raise `UserError`; `auto` ones that are not there leave their columns empty.
    """

    def __init__(
        self, asked, names, size, *, classifier=CLASSIFIER, network=PERCEPTUAL, weights=None
    ):
        self.columns, self.notes = {}, []
        self._weights, self._size, self._count = weights or {}, size, len(names)
        self._lacks, self._sets, self.targets = {}, {}, None  # key: why; key: `Seer`; classes
        self.distance = self.classifier = None
        if "lpips" in asked:
            self._load_distance(network)
        self._load_seer(
            [key for key in ("fid", "kid") if key in asked],
            {"fid": "FID", "kid": "KID"},
            INCEPTION,
            "INCEPTION_V3_WEIGHTS",
        )
        title = imagenet.NETWORKS[classifier].title
        of_classifier = [key for key in ("frechet", "kernel", "top1") if key in asked]
        if "top1" in of_classifier:
            of_classifier.append(AGREEMENT)
            self._find_targets(names)
            if self.targets is None and "top1" not in self._lacks:
                of_classifier.remove("top1")
        self.classifier = self._load_seer(
            of_classifier,
            {
                "frechet": f"{title} Fréchet distance",
                "kernel": f"{title} kernel distance",
                "top1": f"Top-1, {title}",
                AGREEMENT: f"Agreement, {title}",
            },
            classifier,
            "CLASSIFIER_WEIGHTS",
        )

    @property
    def seers(self):
        """{`Seer`: whether its features are wanted}, each once."""
        wanted = {*self._sets.values()}
        found = {seer: True for seer in wanted}
        return found | ({self.classifier: self.classifier in wanted} if self.classifier else {})

    def _weights_of(self, variable):
        return self._weights.get(variable, "auto")

    def _load_distance(self, network):
        own, of_lpips = pretrained.variable_of(network), self._weights_of(perceptual.VARIABLE)
        known = perceptual.LPIPS.get(network)
        if known and self._size < known.smallest:
            self._lack(
                ["lpips"],
                "too small",
                f"LPIPS needs pictures of {known.smallest} pixels a side. They have {self._size}.",
            )
        else:
            weights = self._weights_of(own)
            self.distance = self._at_hand(
                ["lpips"],
                "LPIPS",
                {weights, of_lpips} <= {"auto", "none"},
                lambda: perceptual.load(
                    network, "imagenet" if weights == "auto" else weights, of_lpips
                ),
            )
        found = self.distance
        self._add(
            "lpips",
            found.title if found else "LPIPS",
            {
                "network": f"{found.metadata['network']}, {found.metadata['weights']} weights",
                "sha256": found.metadata["sha256"],
                "input": "sRGB at the data set's size",
            }
            if found
            else {},
        )

    def _load_seer(self, keys, titles, name, variable):
        if not keys:
            return None
        weights = self._weights_of(variable)
        found = self._at_hand(
            [key for key in keys if key not in self._lacks],
            ", ".join(titles[key] for key in keys),
            weights == "auto",
            lambda: seer(name, weights, variable, top="fid" not in titles),
        )
        for key in keys:
            if found and key in _SWITCHES:
                self._sets[key] = found
            random = found is not None and found.weights == "random"
            self._add(
                key,
                titles[key] + (", RANDOM weights" if random else ""),
                found.about | _SWITCHES.get(key, {}) if found else {},
            )
        return found

    def _find_targets(self, names):
        """The class of each picture whose folder is a WordNet id, else None."""
        folders = [PurePosixPath(name).parent.name for name in names]
        if not any(map(_WORDNET.fullmatch, folders)):
            self.notes.append(
                "No top-1 accuracy: the pictures' folders are no WordNet ids "
                "(n01440764, ...). Agreement is with what the classifier says of the "
                "true picture."
            )
            return
        found = self._at_hand(["top1"], "Top-1", True, classes, lacks="no classes")
        if found:
            self.targets = [found.get(folder) for folder in folders]
            if self.targets.count(None) == len(names):
                self.targets = None
                self.notes.append(
                    "No top-1 accuracy: the WordNet ids of the pictures' folders are "
                    "none of ImageNet's 1,000 classes."
                )

    def _at_hand(self, keys, titles, is_auto, load, lacks="no weights"):
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
        self.columns[key] = dataclasses.replace(metrics.METRICS[key], title=title, given=switches)

    def finish(self, row, watch, true):
        """Put values and figures of a row into it. true: the `Watch` of the true pictures."""
        row["values"] |= watch.values(true)
        row["metrics"] |= {
            key: metrics.summary(row["values"][key]) for key in self.columns if key in row["values"]
        }
        if watch is not true:
            row["metrics"] |= {key: self._of_sets(key, watch, true) for key in self._sets}
            row["metrics"] |= {
                key: {"mean": None, "n": 0, "infinite": 0, "interval": None, "lacks": reason}
                for key, reason in self._lacks.items()
            }

    def _of_sets(self, key, watch, true):
        found = {"mean": None, "n": len(watch.places), "infinite": 0, "interval": None}
        if found["n"] < 4:  # halves of two
            return found
        of = self._sets[key]
        if key in ("fid", "frechet"):
            return found | {
                "mean": set_distances.frechet_distance(
                    true.moments(of, watch.places), watch.moments(of, watch.places)
                )
            }
        mean, deviation, size = set_distances.kernel_distance(
            watch.features(of, watch.places), true.features(of, watch.places)
        )
        return found | {"mean": mean, "deviation": deviation, "subset": size}

    def closing(self, truth):
        """`notes`, and what is to be said when all is measured."""
        notes = list(self.notes)
        for key in ("fid", "frechet"):
            of = self._sets.get(key)
            if of and self._count < of.dimensions:
                notes.append(
                    f"{self.columns[key].title} is over {self._count:,} pictures, fewer than the "
                    f"{of.dimensions:,} dimensions of its features: it comes out too high, and "
                    "compares only between rows of the same pictures."
                )
        if "top1" in truth["metrics"]:
            notes.append(
                f"{self.columns['top1'].title}, of the true pictures is "
                f"{truth['metrics']['top1']['mean']:.1f} %."
            )
        return notes


_FRECHET = {"features": "what enters the last layer", "covariance": "n - 1"}
_KERNEL = {
    "features": "what enters the last layer",
    "kernel": "(x . y / D + 1)^3",
    "subsets": set_distances.SUBSETS,
    "subset": f"{set_distances.SUBSET:,} pictures, or half of them",
    "seed": set_distances.SEED,
}
_SWITCHES = {"fid": _FRECHET, "frechet": _FRECHET, "kid": _KERNEL, "kernel": _KERNEL}


class Watch:
    """What `networks` see of one row's pictures, or of the true ones.

    Features go to temporary files, so that memory does not grow with the pictures.
    """

    def __init__(self, networks):
        self._networks = networks
        self.places, self._answers, self._distances = [], {}, {}
        self._moments, self._open = {}, contextlib.ExitStack()
        self._files = {}
        for seer, wanted in networks.seers.items():
            if wanted:
                self._files[seer] = self._open.enter_context(_temporary_file())

    def see(self, start, pictures, true):
        """Look at pictures from place `start` on, (S, S, 3) uint8 or None.

        true: the true ones, (N, S, S, 3), or None where these are they.
        """
        has = [at for at, picture in enumerate(pictures) if picture is not None]
        if not has:
            return
        shown, places = np.stack([pictures[at] for at in has]), [start + at for at in has]
        self.places += places
        if self._networks.distance and true is not None:
            (found,) = _in_batches(
                lambda rgb, other: [
                    keras.ops.convert_to_numpy(
                        self._networks.distance(np.float32(rgb) / 255, np.float32(other) / 255)
                    )
                ],
                shown,
                true[has],
            )
            self._distances |= zip(places, map(float, found), strict=True)
        for each in self._networks.seers:
            features, logits = each(shown)
            if each in self._files:
                self._files[each].write(np.ascontiguousarray(features, np.float32))
            if each is self._networks.classifier:
                self._answers |= zip(places, logits.argmax(-1).tolist(), strict=True)

    def values(self, true):
        """{key: values in the pictures' order, None where there is none}."""
        networks, found = self._networks, {}
        if "lpips" in networks.columns and networks.distance and self is not true:
            found["lpips"] = [self._distances.get(place) for place in true.places]
        if networks.classifier and "top1" in networks.columns and networks.targets:
            found["top1"] = [
                None
                if target is None or place not in self._answers
                else 100.0 * (self._answers[place] == target)
                for place, target in zip(true.places, networks.targets, strict=True)
            ]
        if networks.classifier and AGREEMENT in networks.columns and self is not true:
            found[AGREEMENT] = [
                None
                if place not in self._answers
                else 100.0 * (self._answers[place] == true._answers[place])
                for place in true.places
            ]
        return found

    def features(self, seer, places):
        """The features of the pictures at `places`, (n, D) float32, read as they are used."""
        file = self._files[seer]
        file.flush()
        found = np.memmap(file, np.float32, "r", shape=(len(self.places), seer.dimensions))
        return _Rows(found, np.searchsorted(self.places, places))

    def moments(self, seer, places):
        """The moments of these features; those of all pictures are kept for the next row."""
        if places != self.places:
            return set_distances.Moments(self.features(seer, places))
        if seer not in self._moments:
            self._moments[seer] = set_distances.Moments(self.features(seer, places))
        return self._moments[seer]

    def close(self):
        """Drop the features."""
        self._open.close()


def _temporary_file():
    return tempfile.TemporaryFile()


class _Rows:
    """Some rows of an array, taken when they are asked for."""

    def __init__(self, array, at):
        self._array, self._at = array, at
        self.shape = (len(at), array.shape[1])

    def __len__(self):
        return len(self._at)

    def __getitem__(self, index):
        return np.asarray(self._array[self._at[index]])


# --- the command ------------------------------------------------------------------------------


def add_arguments(parser):
    """The flags of an evaluation that say which networks look at its pictures."""
    parser.add_argument(
        "--metrics", help=f"of networks, beside the others: all, or some of {','.join(NAMES)}"
    )
    parser.add_argument(
        "--classifier",
        choices=imagenet.NETWORKS,
        default=CLASSIFIER,
        help="the ImageNet network of top1, frechet and kernel",
    )
    parser.add_argument(
        "--perceptual",
        default=PERCEPTUAL,
        choices=sorted({*perceptual.LPIPS, *perceptual.FEATURES}),
        help="the network of lpips, by its own name where it is not LPIPS",
    )
    for network, help in WEIGHTS.items():
        pretrained.add_weights(parser, network, help)


WEIGHTS = {  # network: help text of its flag of weights
    "classifier": f"of the classifier: {pretrained.WEIGHTS_HELP}",
    "inception_v3": "the same, of Inception-v3 for fid and kid",
    "vgg16": "the same, of VGG16's features for lpips",
    "mobilenet_v2": "the same, of MobileNetV2's features for lpips",
    "lpips": perceptual.WEIGHTS_HELP,
}


def of_arguments(args):
    """What the flags ask for, for `evaluate.evaluate`, or None."""
    if not args.metrics:
        return None
    asked = NAMES if args.metrics == "all" else tuple(args.metrics.split(","))
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        raise UserError(
            f"There is no metric {unknown[0] or 'of an empty name'}. METRICS is all, "
            f"or some of {','.join(NAMES)}; the others are always there."
        )
    return functools.partial(
        Networks,
        asked,
        classifier=args.classifier,
        network=args.perceptual,
        weights={
            pretrained.variable_of(network): vars(args)[f"{network}_weights"] for network in WEIGHTS
        },
    )
