"""L* -> the 1,000 logits of an ImageNet network, in batches of one size.

The embedding depends on L* alone: the network's input is the grey picture of that lightness in all
three channels, so that a colour photo in training and its grey version at inference get the same
embedding.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from common import files
from common.cli import UserError
from common.color import lab
from common.networks import efficientnet_lite, h5, imagenet, pretrained
from common.networks.precision import choose_jit

APPLICATIONS = {name: imagenet.NETWORKS[name] for name in ("inception_resnet_v2", "mobilenet_v2")}
NETWORKS: dict[str, imagenet.Network] = {**APPLICATIONS, **efficientnet_lite.NETWORKS}
STAND_IN = "efficientnet_lite2"  # its weights are among the shipped models
VARIABLE = "EMBEDDING_WEIGHTS"
CLASSES = 1000
BATCH = 16  # one size, so that a picture's embedding has the same bits at any position


class Embedder:
    """An ImageNet network without its softmax, as a function of L*.

    `embedder(l)`: (N, H, W, 1) float32 L* in [0, 100], any size -> (N, 1000) float32 logits.
    With pad=True the last batch is padded to the size of the others. `size`: the network's own, to
    which L* of another size is brought. `metadata` holds the network's name, the source of its
    weights, their hash and the precision.
    """

    def __init__(self, network: str, classifier: keras.Model, weights: str) -> None:
        self.network, self.weights = network, weights
        self.sha256 = pretrained.weights_sha256(classifier)
        self.metadata = {
            "network": network,
            "weights": weights,
            "sha256": self.sha256,
            "precision": "float32",
        }
        self._classifier = classifier
        self.size = size = NETWORKS[network].size
        grey = keras.Input((None, None, 1), dtype="float32")
        channels = "channels_last"  # whatever Keras is set to
        x = layers.Resizing(size, size, antialias=True, data_format=channels, dtype="float32")(grey)
        self._model = choose_jit(keras.Model(grey, self.logits(x)))

    def __reduce__(self):
        return type(self), (self.network, self._classifier, self.weights)

    def __call__(self, l: np.ndarray, pad: bool = False) -> np.ndarray:
        return self.of_grey(self.grey(l), pad)

    @staticmethod
    def grey(l: np.ndarray) -> np.ndarray:
        """What `of_grey` takes, in [0, 255]: may be computed in a thread, beside the network."""
        return 255 * lab.l_to_grey(l)

    def of_grey(self, grey: np.ndarray, pad: bool = False) -> np.ndarray:
        """As the embedder itself, from the grey picture of L*."""
        chunks = []
        for start in range(0, len(grey), BATCH):
            part = grey[start : start + BATCH]
            count = len(part)
            if pad and count < BATCH:
                part = np.concatenate([part, np.repeat(part[-1:], BATCH - count, 0)])
            logits = keras.ops.convert_to_numpy(self._model.predict_on_batch(part))
            chunks.append(logits[:count])
        return np.concatenate(chunks) if chunks else np.empty((0, CLASSES), np.float32)

    def logits(self, grey: Any) -> Any:
        """Grey values in [0, 255] at the network's own size, tensor (N, S, S, 1) -> (N, 1000).

        A network that scales its three channels alike takes one grey channel three times.
        """
        preprocess = NETWORKS[self.network].preprocess
        x = layers.Rescaling(preprocess.scale[0], preprocess.offset[0], dtype="float32")(grey)
        return self._classifier(layers.Concatenate(dtype="float32")([x, x, x]))

    def keep(self, folder: str | Path) -> None:
        """Save the weights to folder/embeddings, where `find` looks for them.

        A network of keras.applications is saved as weights, and with ImageNet's not at all: Keras
        has those in its own cache. Any other is saved as a whole network, which Keras alone loads.
        """
        path = kept(folder, self.metadata)
        if path.exists():
            return
        if self.network not in APPLICATIONS:
            h5.save(self._classifier, path)
        elif self.weights != "imagenet":
            with files.replacing(path) as temporary:
                self._classifier.save_weights(temporary)


def load(network: str, weights: str = "auto") -> Embedder:
    """An `Embedder` with weights `auto`, `imagenet`, `random` or from a weights file.

    `auto` takes Keras's cache, then a download, or for EfficientNet-Lite the installed package;
    with none, seeded random weights after a warning. `imagenet` raises `UserError` instead, as an
    unknown network does.
    """
    if network not in NETWORKS:
        raise UserError(
            f"There is no embedding network {network}. Choose one of {', '.join(NETWORKS)}."
        )
    consequence = (
        "the embedding then carries almost no information about the picture, and results are those "
        "of a network without one."
    )
    if network not in APPLICATIONS:
        classifier, source = efficientnet_lite.load(
            network, weights, variable=VARIABLE, consequence=consequence
        )
        return Embedder(network, classifier, source)
    classifier, source = pretrained.load(
        weights,
        name=network,
        variable=VARIABLE,
        build=lambda: _build(network),
        imagenet=lambda: _imagenet(network),
        read=lambda path: _from_file(network, path),
        consequence=consequence,
        remedy="connect to the internet, or take another network, whose weights come with this "
        f"library: EMBEDDING={STAND_IN}",
    )
    return Embedder(network, classifier, source)


def find(
    metadata: Mapping[str, str],
    weights: str | Path | None = None,
    folder: str | Path = "models",
) -> Embedder:
    """The `Embedder` whose weights have the hash in `metadata`, an `Embedder.metadata`.

    They are looked for in `weights` or else EMBEDDING_WEIGHTS, in folder/embeddings, and where
    `load` takes ImageNet weights from. `UserError` if none of these has the hash.
    """
    network, source = metadata["network"], metadata["weights"]
    named = os.path.expanduser(weights or os.environ.get("EMBEDDING_WEIGHTS") or "")
    candidates = [str(kept(folder, metadata))]
    if named and named not in ("auto", "imagenet", "random"):
        candidates.insert(0, named)
    if source in ("imagenet", "random"):
        candidates.append(source)
    for candidate in candidates:
        if candidate in ("imagenet", "random") or Path(candidate).exists():
            embedder = load(network, candidate)
            if embedder.sha256 == metadata["sha256"]:
                return embedder
    raise UserError(
        f"The model was trained on the embedding of {network} with weights {source} (hash "
        f"{metadata['sha256'][:12]}), which are not at hand. Name their file: "
        "EMBEDDING_WEIGHTS=file."
    )


def kept(folder: str | Path, metadata: Mapping[str, str]) -> Path:
    """The file where `Embedder.keep` saves weights, and `find` looks for them."""
    suffix = ".weights.h5" if metadata["network"] in APPLICATIONS else ".h5"
    name = f"{metadata['network']}-{metadata['sha256'][:12]}{suffix}"
    return Path(folder) / "embeddings" / name


def _build(network: str, classes: int = CLASSES, weights: str | None = None) -> keras.Model:
    with pretrained.in_float32():
        return NETWORKS[network].build(weights=weights, classes=classes, classifier_activation=None)


def _imagenet(network: str) -> keras.Model:
    return pretrained.fetch(
        lambda: _build(network, weights="imagenet"), network, APPLICATIONS[network].file()
    )


def _from_file(network: str, path: Path) -> keras.Model:
    return pretrained.read_classifier(
        path, functools.partial(_build, network), name=network, variable=VARIABLE
    )
