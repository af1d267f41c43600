"""Weights of a keras.applications network: `auto`, `imagenet`, `random` or from a file.

The functions take the name of the network's variable (EMBEDDING_WEIGHTS, VGG16_WEIGHTS, ...), so
that every message can name the variable to set.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from common.cli import UserError, first_line
from common.networks import downloads, model_files, safety
from common.networks.imagenet import Application, Packaged

RANDOM_SEED = 0
NOT_PRETRAINED = (
    "the encoder is then not pretrained, and results are those of a network with random filters."
)
PACKAGES = "`make weights` (`colorization weights`)"  # what makes `imagenet.Packaged` files
TOPS = (  # tops that a weights file may hold; TensorFlow's slim networks have a background class
    {"include_top": False},
    {"classes": 1000},
    {"classes": 1001},
)

_Value = TypeVar("_Value")


def load(
    weights: str,
    *,
    name: str,
    variable: str,
    build: Callable[[], keras.Model],
    imagenet: Callable[[], keras.Model],
    read: Callable[[Path], keras.Model],
    consequence: str = "",
    missing: str = "neither in Keras's cache nor to be downloaded",
    remedy: str = "connect to the internet",
    packaged: Packaged | None = None,
) -> tuple[keras.Model, str]:
    """(network, the source of its weights: `imagenet`, `random` or the file's name).

    weights: `auto`, `imagenet`, `random` or a path. `auto` and `imagenet` return imagenet() or,
    where that fails, what read() makes of the packaged file in the cache. Without one, `auto`
    returns build() with seeded random weights after a warning, and `imagenet` raises `UserError`.
    A path is passed to read(path). consequence: a sentence for the warning, about what random
    weights mean for the results. missing, remedy: for the messages, where imagenet() looked and
    what helps other than a file.
    """
    if weights not in ("auto", "imagenet", "random"):
        return read(Path(weights)), Path(weights).name
    if weights != "random":
        if packaged:
            remedy = f"run {PACKAGES}, which fetches {packaged.origin}, or {remedy}"
        try:
            return imagenet(), "imagenet"
        except downloads.Changed:  # not a reason to go on with others
            raise
        except Exception as error:  # keras.utils.get_file raises a bare Exception
            if packaged and (cache() / packaged.file).is_file():
                print(
                    f"ImageNet weights of {name}: {packaged.origin}. Keras's are {missing}.",
                    file=sys.stderr,
                    flush=True,
                )
                return read(cache() / packaged.file), packaged.file
            if weights == "imagenet":
                raise UserError(
                    f"ImageNet weights of {name} are {missing} ({first_line(error)}). Name a "
                    f"weights file, {variable}=file, or {remedy}."
                ) from None
            _warn(
                f"ImageNet weights of {name} are {missing} ({first_line(error)}). Going on with "
                f"seeded RANDOM weights: {consequence} Models and tables record `random`. To use "
                f"trained weights: {variable}=file, or {remedy}."
            )
    return randomise(build()), "random"


def fill(
    encoder: keras.Model,
    weights: str,
    *,
    application: Application,
    variable: str,
    consequence: str = NOT_PRETRAINED,
) -> dict[str, str]:
    """Set the weights of an encoder cut out of a network of keras.applications, by layers' names.

    weights: as in `load`; a file may hold the network with a top of 1000 or 1001 classes, or
    without. An encoder of one channel gets the sum over three, see `transfer`. consequence: as in
    `load`. Returns {"network", "weights", "sha256"}. Raises `UserError`.
    """

    def build(weights: str | None = None, top: dict[str, Any] = TOPS[0]) -> keras.Model:
        with in_float32():
            return application.build(weights=weights, input_shape=(224, 224, 3), **top)

    packaged = application.packaged

    def from_file(path: Path) -> keras.Model:
        network = read(
            path,
            [functools.partial(build, top=top) for top in TOPS],
            name=encoder.name,
            variable=variable,
        )
        if packaged:
            _check(path, weights_sha256(network), packaged)
        return network

    network, source = load(
        weights,
        name=encoder.name,
        variable=variable,
        build=build,
        imagenet=lambda: fetch(
            lambda: build("imagenet"), encoder.name, application.file(top=False)
        ),
        read=from_file,
        consequence=consequence,
        packaged=packaged,
    )
    transfer(network, encoder)
    return {"network": encoder.name, "weights": source, "sha256": weights_sha256(encoder)}


def _check(path: Path, sha256: str, packaged: Packaged) -> None:
    """`UserError` where a file, by its tensors' hash, is not what its name or its use promises."""
    if path.name == packaged.file and sha256 != packaged.sha256:
        wrong = f"does not hold the weights that its name stands for, {packaged.origin}"
    elif sha256 == packaged.unconverted:
        wrong = "holds weights for another preprocessing of pictures than Keras's"
    else:
        return
    raise UserError(f"{path} {wrong}. {PACKAGES} writes {packaged.file} in {cache()}.")


def transfer(network: keras.Model, encoder: keras.Model) -> None:
    """Copy a network's weights to the layers of an encoder that have the same names.

    Where the network's first convolution takes three channels and the encoder's takes one, the
    kernel is summed over the three: applied to a grey picture it gives what the whole kernel gives
    for three equal channels.
    """
    for layer in encoder.layers:
        if layer.weights:
            values = network.get_layer(layer.name).get_weights()
            shape = layer.weights[0].shape
            if len(shape) == 4 and shape[2] == 1 and values[0].shape[2] == 3:
                values[0] = values[0].sum(2, keepdims=True)
            layer.set_weights(values)


def weights_sha256(network: keras.Model) -> str:
    """The SHA-256 over the variables' names, shapes and float32 bytes, in the network's order.

    Names are those within their layers (`kernel`), since the numbers in automatic layer names
    differ between processes. 64 hex digits.
    """
    digest = hashlib.sha256()
    for variable in network.variables:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable), np.float32)
        digest.update(f"{variable.name}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def randomise(network: keras.Model) -> keras.Model:
    """Set Glorot-uniform kernels, seeded and drawn by NumPy, so that all backends get the same.

    Other variables keep their values. Returns the same network.
    """
    rng = np.random.default_rng(RANDOM_SEED)
    for variable in network.variables:
        if variable.name.endswith("kernel"):
            shape = variable.shape
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))
    return network


def cache() -> Path:
    """The folder in which Keras caches weights; no public function of Keras returns it."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def fetch(build: Callable[[], _Value], name: str, cached: str) -> _Value:
    """Call build(), which takes a file from Keras's cache or downloads it, with a short time-out.

    name: the network, for the line on standard error that announces a download. cached: the file's
    name in `cache()`, which is held to what it was at first, see `downloads.recorded`. What build()
    raises when there is no connection passes through.
    """
    if not (cache() / cached).exists():
        print(f"Fetching the ImageNet weights of {name} ...", file=sys.stderr, flush=True)
    with downloads.recorded(cache() / cached), downloads.by_https():
        return build()


def read(
    path: Path, builders: Iterable[Callable[[], keras.Model]], *, name: str, variable: str
) -> keras.Model:
    """The first network among those of `builders` whose weights a Keras file holds, with them.

    `UserError` where there is no file, or where it fits none of the networks or is not finite.
    """
    if not path.is_file():
        raise UserError(
            f"There is no weights file {path}. {variable} is auto, imagenet, random or "
            "a Keras weights file."
        )
    if path.suffix in (".h5", ".hdf5"):
        try:
            with model_files.opened(path) as file:
                safety.check_storage(path, file)
        except UserError as error:
            raise UserError(
                f"{error} It does not hold weights of {name}. {variable} is auto, imagenet, "
                "random or a Keras weights file of that network."
            ) from None
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


def read_classifier(
    path: Path,
    build: Callable[[int], keras.Model],
    others: Iterable[Callable[[], keras.Model]] = (),
    *,
    name: str,
    variable: str,
) -> keras.Model:
    """A classifier of 1000 classes, build(classes), with the weights of a Keras file.

    Of 1001 classes the first is dropped, the background of TensorFlow's slim networks. others:
    builders that are tried first. Raises `UserError`, as `read` does.
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
def in_float32() -> Iterator[None]:
    """A context in which networks are built in float32, channels last, whatever Keras is set to."""
    policy, order = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(order)


def _warn(text: str) -> None:
    width = min(shutil.get_terminal_size().columns, 79)
    print(
        "",
        "!" * width,
        textwrap.fill(text, width, break_on_hyphens=False),
        "!" * width,
        "",
        sep="\n",
        file=sys.stderr,
        flush=True,
    )
