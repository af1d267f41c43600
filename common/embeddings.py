"""L* -> the 1000 logits of an ImageNet network, batched on the accelerator.

The embedding is a function of L* alone: the network sees the grey picture of that lightness,
stacked three times, so a colour photo in training and its grey version at inference get the
same one. Both networks take their input in [-1, 1], made from grey values of 0 to 255.
"""

import hashlib
import os
import shutil
import socket
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from common import files, lab, models
from common.cli import UserError

# input size, builder, and the file that keras.applications keeps in its cache
NETWORKS = {
    "inception_resnet_v2": (
        299, keras.applications.InceptionResNetV2,
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5"),
    "mobilenet_v2": (
        224, keras.applications.MobileNetV2,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
}
CLASSES = 1000
BATCH = 16  # one size: the same picture then gets the same bits wherever it stands
DOWNLOAD_TIMEOUT = 10  # seconds without an answer
RANDOM_SEED = 0


class Embedder:
    """An ImageNet network without its softmax, over L*.

    `embedder(l)`: (N, H, W, 1) float32 L* in [0, 100], any size -> (N, 1000) float32 logits.
    With pad=True the last batch is filled up to the one size that all have. `metadata` names the
    network, where its weights came from, their hash and the precision.
    """

    def __init__(self, network, classifier, weights):
        self.network, self.weights = network, weights
        self.sha256 = weights_sha256(classifier)
        self.metadata = {"network": network, "weights": weights, "sha256": self.sha256,
                         "precision": "float32"}
        self._classifier = classifier
        size = NETWORKS[network][0]
        grey = keras.Input((None, None, 1), dtype="float32")
        x = layers.Resizing(size, size, antialias=True, dtype="float32")(grey)
        x = layers.Rescaling(1 / 127.5, -1, dtype="float32")(x)
        x = layers.Concatenate(dtype="float32")([x, x, x])
        self._model = models.choose_jit(keras.Model(grey, classifier(x)))

    def __call__(self, l, pad=False):
        chunks = []
        for start in range(0, len(l), BATCH):
            grey = 255 * lab.l_to_grey(l[start:start + BATCH])
            count = len(grey)
            if pad and count < BATCH:
                grey = np.concatenate([grey, np.repeat(grey[-1:], BATCH - count, 0)])
            logits = keras.ops.convert_to_numpy(self._model.predict_on_batch(grey))
            chunks.append(logits[:count])
        return np.concatenate(chunks) if chunks else np.empty((0, CLASSES), np.float32)

    def keep(self, folder):
        """Save the weights to folder/embeddings, where `find` and scripts look for them.

        Not ImageNet's, which Keras keeps in its own cache.
        """
        path = _kept(folder, self.metadata)
        if self.weights != "imagenet" and not path.exists():
            with files.replacing(path) as temporary:
                self._classifier.save_weights(temporary)


def weights_sha256(network):
    """The SHA-256 over the variables' names, shapes and float32 bytes, in the network's order.

    Names are those within their layers: the numbers in automatic layer names differ between
    processes.
    """
    digest = hashlib.sha256()
    for variable in network.variables:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable), np.float32)
        digest.update(f"{variable.name}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def load(network, weights="auto"):
    """An `Embedder` with weights `auto`, `imagenet`, `random` or from a Keras weights file.

    `auto` takes Keras's cache, then a download; with neither, seeded random weights and a
    warning. `imagenet` makes that an error.
    """
    if network not in NETWORKS:
        raise UserError(f"There is no embedding network {network}. Choose one of "
                        f"{', '.join(NETWORKS)}.")
    if weights == "random":
        return Embedder(network, _random(network), "random")
    if weights not in ("auto", "imagenet"):
        return Embedder(network, _from_file(network, Path(weights)), Path(weights).name)
    try:
        return Embedder(network, _imagenet(network), "imagenet")
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        if weights == "imagenet":
            raise UserError(
                f"ImageNet weights of {network} are neither in Keras's cache nor to be downloaded "
                f"({_first_line(error)}). Name a weights file: EMBEDDING_WEIGHTS=file.") from None
    _warn(network)
    return Embedder(network, _random(network), "random")


def find(metadata, weights=None, folder="models"):
    """The `Embedder` with the very weights that `metadata` names, wherever they are at hand.

    Looks at `weights`, at EMBEDDING_WEIGHTS, in folder/embeddings, in Keras's cache and at its
    download. `UserError` if none has the right hash.
    """
    network, source = metadata["network"], metadata["weights"]
    named = weights or os.environ.get("EMBEDDING_WEIGHTS")
    candidates = [str(_kept(folder, metadata))]
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
        "EMBEDDING_WEIGHTS=file.")


def _kept(folder, metadata):
    name = f"{metadata['network']}-{metadata['sha256'][:12]}.weights.h5"
    return Path(folder) / "embeddings" / name


def _build(network, classes=CLASSES, weights=None):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return NETWORKS[network][1](weights=weights, classes=classes, classifier_activation=None)
    finally:
        keras.config.set_dtype_policy(policy)


def _random(network):
    """Glorot-uniform kernels, drawn by NumPy, layer by layer, so that backends agree."""
    classifier = _build(network)
    rng = np.random.default_rng(RANDOM_SEED)
    for variable in classifier.variables:
        if variable.name.endswith("kernel"):
            shape = variable.shape
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))
    return classifier


def _imagenet(network):
    cached = Path(keras.config.keras_home(), "models", NETWORKS[network][2])
    if not cached.exists():
        print(f"Fetching the ImageNet weights of {network} ...", file=sys.stderr, flush=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return _build(network, weights="imagenet")
    finally:
        socket.setdefaulttimeout(timeout)


def _from_file(network, path):
    """The network with the weights of a Keras `.h5`; of 1001 classes the first is dropped."""
    if not path.is_file():
        raise UserError(f"There is no weights file {path}. EMBEDDING_WEIGHTS is auto, imagenet, "
                        "random or a Keras weights file.")
    try:
        classes = CLASSES + 1 if _has_width(path, CLASSES + 1) else CLASSES
        classifier = _build(network, classes)
        classifier.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not hold weights of {network} ({_first_line(error)})."
                        ) from None
    if classes == CLASSES:
        return classifier
    narrow = _build(network)
    *values, kernel, bias = classifier.get_weights()
    narrow.set_weights([*values, kernel[:, 1:], bias[1:]])
    return narrow


def _has_width(path, width):
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: found.append(
            isinstance(item, h5py.Dataset) and item.shape == (width,)))
    return any(found)


def _first_line(error):
    return str(error).strip().splitlines()[0][:160]


def _warn(network):
    width = min(shutil.get_terminal_size().columns, 79)
    print("\n" + "!" * width + f"""
No ImageNet weights for {network}: not in Keras's cache, no download.
Going on with seeded RANDOM weights: the embedding then tells almost nothing of
the picture, and results stand for a network without it. Models and tables say
`random`. Better: EMBEDDING_WEIGHTS=file, or a machine with a network.
""" + "!" * width + "\n", file=sys.stderr, flush=True)
