"""Weights of a keras.applications network: `auto`, `imagenet`, `random` or from a file.

Whoever uses such a network names its variable (EMBEDDING_WEIGHTS, VGG16_WEIGHTS, ...), so that
every message tells the way out.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import socket
import sys
import textwrap
import warnings
from pathlib import Path

import keras
import numpy as np

from common.cli import UserError, first_line

DOWNLOAD_TIMEOUT = 10  # seconds without an answer
RANDOM_SEED = 0
WEIGHTS_HELP = "auto, imagenet, random, or a Keras weights file"
BLIND = (
    "the encoder then has never seen an object, and results stand for a network that looks at "
    "pictures through random filters."
)
TOPS = (  # what a weights file may end in; TensorFlow's slim networks have a background class
    {"include_top": False},
    {"classes": 1000},
    {"classes": 1001},
)


def variable_of(network):
    """The environment variable and make variable of a network's weights: VGG16_WEIGHTS."""
    return f"{network.upper()}_WEIGHTS"


def add_weights(parser, network, help=WEIGHTS_HELP):
    """Add the flag of a network's weights to an argparse parser.

    `vgg16` -> `--vgg16-weights`. Its default is the environment variable VGG16_WEIGHTS, or `auto`.
    """
    parser.add_argument(
        f"--{network.replace('_', '-')}-weights",
        type=os.path.expanduser,
        default=os.environ.get(variable_of(network), "auto"),
        help=help,
    )


def load(weights, *, name, variable, without, build, imagenet, read):
    """(network, where its weights are from: `imagenet`, `random` or the file's name).

    weights: `auto`, `imagenet`, `random` or a path. `auto` is imagenet() and, where that fails,
    build() with seeded random weights and a warning; `imagenet` makes that a `UserError`. A path
    goes to read(path). without: what results are worth without ImageNet weights, for the warning.
    """
    if weights not in ("auto", "imagenet", "random"):
        return read(Path(weights)), Path(weights).name
    if weights != "random":
        try:
            return imagenet(), "imagenet"
        except Exception as error:  # keras.utils.get_file raises a bare Exception
            if weights == "imagenet":
                raise UserError(
                    f"ImageNet weights of {name} are neither in Keras's cache nor to be "
                    f"downloaded ({first_line(error)}). Name a weights file: {variable}=file."
                ) from None
            _warn(name, variable, without, first_line(error))
    return randomise(build()), "random"


def fill(encoder, weights, *, application, variable, without=BLIND):
    """Put weights into an encoder cut out of a network of keras.applications, by layers' names.

    weights: as in `load`; a file may hold the network with its top of 1000 or 1001 classes or
    without. An encoder of one channel gets the sum over three, see `transfer`. application: the
    `applications.Application`. without: as in `load`. Returns {"network", "weights", "sha256"}.
    Raises `UserError`.
    """

    def build(weights=None, top=TOPS[0]):
        with in_float32():
            return application.build(weights=weights, input_shape=(224, 224, 3), **top)

    network, source = load(
        weights,
        name=encoder.name,
        variable=variable,
        build=build,
        imagenet=lambda: fetch(
            lambda: build("imagenet"), encoder.name, application.file(top=False)
        ),
        read=lambda path: read(
            path,
            [functools.partial(build, top=top) for top in TOPS],
            name=encoder.name,
            variable=variable,
        ),
        without=without,
    )
    transfer(network, encoder)
    return {"network": encoder.name, "weights": source, "sha256": weights_sha256(encoder)}


def transfer(network, encoder):
    """Give an encoder the weights of a network's layers of the same names.

    Where the network's first convolution sees red, green and blue and the encoder's one channel,
    the kernel is summed over the three: it does to a grey picture what the whole does to its three
    equal channels.
    """
    for layer in encoder.layers:
        if layer.weights:
            values = network.get_layer(layer.name).get_weights()
            shape = layer.weights[0].shape
            if len(shape) == 4 and shape[2] == 1 and values[0].shape[2] == 3:
                values[0] = values[0].sum(2, keepdims=True)
            layer.set_weights(values)


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


def randomise(network):
    """Give a network Glorot-uniform kernels, drawn by NumPy, layer by layer: backends agree."""
    rng = np.random.default_rng(RANDOM_SEED)
    for variable in network.variables:
        if variable.name.endswith("kernel"):
            shape = variable.shape
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))
    return network


def cache():
    """The folder that Keras keeps weights in; no public function of Keras names it."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def fetch(build, name, cached):
    """build() a network with ImageNet weights, from Keras's cache or downloaded into it."""
    if not (cache() / cached).exists():
        print(f"Fetching the ImageNet weights of {name} ...", file=sys.stderr, flush=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return build()
    finally:
        socket.setdefaulttimeout(timeout)


def read(path, builders, *, name, variable):
    """The first of the networks that `builders` build whose weights a Keras file holds."""
    if not path.is_file():
        raise UserError(
            f"There is no weights file {path}. {variable} is auto, imagenet, random or "
            "a Keras weights file."
        )
    reasons = []
    for build in builders:
        network = build()
        for weight in network.weights:  # a file that leaves some out may pass with a warning only
            weight.assign(np.full(weight.shape, np.nan))
        try:
            with warnings.catch_warnings(action="ignore"):
                network.load_weights(path)
            if all(
                np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in network.weights
            ):
                return network
            reasons.append("it lacks some, or some are not finite")
        except (OSError, ValueError, KeyError) as error:
            reasons.append(first_line(error))
    raise UserError(
        f"{path} does not hold weights of {name} ({reasons[0]}). {variable} is auto, "
        "imagenet, random or a Keras weights file of that network."
    )


def read_classifier(path, build, others=(), *, name, variable):
    """A classifier of 1000 classes, build(classes), with the weights of a Keras file.

    Of 1001 classes the first is dropped, the background that TensorFlow's slim networks have.
    others: builders that are tried before.
    """
    network = read(
        path,
        [*others, functools.partial(build, 1000), functools.partial(build, 1001)],
        name=name,
        variable=variable,
    )
    if network.output_shape[-1] != 1001:
        return network
    narrow = build(1000)
    *values, kernel, bias = network.get_weights()
    narrow.set_weights([*values, kernel[:, 1:], bias[1:]])
    return narrow


@contextlib.contextmanager
def in_float32():
    """Build networks in float32 whatever the process's dtype policy is."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _warn(name, variable, without, reason):
    width = min(shutil.get_terminal_size().columns, 79)
    said = (
        f"No ImageNet weights for {name}: not in Keras's cache, no download ({reason}). "
        f"Going on with seeded RANDOM weights: {without} Models and tables say `random`. "
        f"Better: {variable}=file, or a machine with a network."
    )
    print(
        "",
        "!" * width,
        textwrap.fill(said, width, break_on_hyphens=False),
        "!" * width,
        "",
        sep="\n",
        file=sys.stderr,
        flush=True,
    )
