"""ImageNet networks as functions of pictures: the features and classes that metrics compare."""

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from common.cli import UserError, first_line
from common.networks import downloads, imagenet, pretrained
from common.networks.precision import choose_jit

BATCH = 16  # one size is one compilation
RESIZING = "bilinear with antialiasing (keras.layers.Resizing)"


class FeatureNetwork:
    """An ImageNet network as a function of 8-bit pictures.

    (N, H, W, 3) uint8 -> (features (N, D), logits (N, 1000)), float32; a network without its top
    returns the features twice.
    """

    def __init__(self, application: imagenet.Application, network: keras.Model, weights: str):
        self.application, self.weights = application, weights
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

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(features, logits) of pictures."""
        # Scaling is linear, channel by channel, so that it may come before resizing.
        outputs = in_batches(
            lambda rgb: self._model.predict_on_batch(self.application.preprocess(np.float32(rgb))),
            pictures,
        )
        return tuple(map(keras.ops.convert_to_numpy, outputs))


def in_batches(function: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
    """function(*arrays), a tuple of arrays, computed in batches of one size: a list of arrays."""
    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        batch = [np.asarray(array[start : start + BATCH]) for array in arrays]
        count = len(batch[0])
        filled = [np.concatenate([each, np.repeat(each[-1:], BATCH - count, 0)]) for each in batch]
        parts.append([part[:count] for part in function(*filled)])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def load(name: str, weights: str, variable: str, top: bool = True) -> FeatureNetwork:
    """A network of `imagenet.NETWORKS`; `UserError` where its weights are not available.

    weights: as in `pretrained.load`, except that `auto` never falls back to random ones. Without
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
    return FeatureNetwork(of, network, source)


def classes() -> dict[str, int]:
    """{WordNet id: class of ImageNet's 1,000}, from Keras's cache or a download; `UserError`."""
    decode = keras.applications.imagenet_utils.decode_predictions
    try:
        named = pretrained.fetch(
            lambda: decode(np.eye(1000, dtype=np.float32), top=1),
            "the classes",
            "imagenet_class_index.json",
        )
    except downloads.Changed:
        raise
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        raise UserError(
            "The numbers of ImageNet's classes (imagenet_class_index.json) are neither in Keras's "
            f"cache nor to be downloaded ({first_line(error)})."
        ) from None
    return {wordnet: at for at, ((wordnet, _, _),) in enumerate(named)}
