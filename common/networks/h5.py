"""Exported .h5 models: wrapping a network in Lab units, saving, loading safely, listing.

An exported model takes L* and returns ab, both in Lab units and float32, and consists of built-in
layers only: `keras.models.load_model(path, compile=False)` opens it anywhere.
"""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers

from common import files, seals
from common.cli import UserError, first_line
from common.color import bins
from common.config import Config
from common.networks import model_files, provenance, safety
from common.networks.interface import classifies, views
from common.networks.metadata import ATTRIBUTE, of_h5
from common.networks.precision import choose_jit, in_precision, rebuilt

# Arguments that Keras 3.10 does not know, at the defaults that they have in later versions.
NEWER = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}


def wrap(
    network: keras.Model, config: Config, decode: Callable[[Any], Any] = bins.annealed_mean
) -> keras.Model:
    """The network in Lab units: `l` (N, H, W, 1) in [0, 100] -> `ab` (N, H, W, 2), float32.

    `config.l_scale, l_offset, ab_scale, ab_offset`: network value = Lab value * scale + offset.
    The network is nested under its own name between two `Rescaling` layers. Inputs that take L* at
    another size (`views`) are computed from `l` by `Resizing`; other inputs, such as `embedding`,
    stay. Outputs other than `ab` are left out, and logits of the bins become ab by `decode`.
    """
    if isinstance(network.output, dict):
        network = keras.Model(network.input, network.output["ab"], name=network.name)
    network = rebuilt(network, "float32")
    resized = views(network)
    inputs = {
        name: keras.Input(tensor.shape[1:], name=name, dtype="float32")
        for name, tensor in network.input.items()
        if name not in resized
    }
    scaled = dict(inputs)
    scaled["l"] = layers.Rescaling(
        config.l_scale, config.l_offset, name="l_to_network", dtype="float32"
    )(inputs["l"])
    for name, (height, width) in resized.items():
        scaled[name] = layers.Resizing(
            height, width, antialias=True, name=f"l_to_{name.removeprefix('l_')}", dtype="float32"
        )(scaled["l"])
    y = network(scaled)
    if classifies(network):
        ab = decode(y)
    else:
        ab = layers.Rescaling(
            1 / config.ab_scale, -config.ab_offset / config.ab_scale, name="ab", dtype="float32"
        )(y)
    return choose_jit(keras.Model(inputs, ab, name=f"{network.name}_lab"))


def export(model: keras.Model, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Save the result of `wrap` as an uncompiled .h5 with its metadata, whole or not at all.

    metadata: any JSON object; the versions and the commit are added.
    """
    metadata = {**metadata, "versions": provenance.versions(), "commit": provenance.commit()}
    save(model, path, {ATTRIBUTE: json.dumps(metadata)})


def save(model: keras.Model, path: str | Path, attributes: Mapping[str, str] | None = None) -> None:
    """Save any network as an uncompiled .h5, with attributes of the file, whole or not at all.

    It is sealed (`common.seals`).
    """
    with InMemory() as file:
        with _without_warnings():  # Keras warns that .h5 is its older format; we rely on it
            model.save(file, include_optimizer=False)
        file.attrs["model_config"] = for_older(file.attrs["model_config"])
        file.attrs.update(attributes or {})
        file.write_to(path)


class InMemory(h5py.File):
    """A new HDF5 file in memory, since HDF5 ends the whole process where a disk gets full."""

    def __init__(self) -> None:
        super().__init__("model.h5", "w", driver="core", backing_store=False)

    def __str__(self) -> str:
        return "model.h5"  # as a path is named, by whose ending Keras knows the format

    def write_to(self, path: str | Path) -> None:
        """Write the file, sealed, whole or not at all."""
        self.flush()
        with files.replacing(path) as temporary:
            temporary.write_bytes(self.id.get_file_image())
            seals.seal(temporary)


def for_older(model_config: str) -> str:
    """A network's JSON in an .h5, without what would keep Keras 3.10 from reading it: `NEWER`.

    What differs from the defaults stays, and such a network needs the newer version.
    """

    def without(part):
        if isinstance(part, list):
            return [without(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            name: without(value)
            for name, value in part.items()
            if name not in NEWER or value != NEWER[name]
        }

    return json.dumps(without(json.loads(model_config)))


def metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of an exported model; {} for a model that was not exported by `export`.

    `UserError` where there is no such file, where it is no HDF5 file, or where its metadata are
    damaged.
    """
    return of_h5(path)


def load(path: str | Path, precision: str = "float32") -> keras.Model:
    """An exported model, ready to predict; `precision` is a dtype policy for its network.

    An .h5 file can hold code, which would run while it is loaded, or layers larger than the
    memory. `UserError` for anything but the built-in layers of a colorizer (`safety`), for a
    damaged file, and for a model without the inputs and the output of a colorizer.
    """
    with model_files.opened(path) as file:
        try:
            if "model_config" not in file.attrs:
                raise UserError(f"{path} {model_files.without_network(file)}")
            if Path(path).suffix not in (".h5", ".hdf5"):  # by which Keras tells the format
                raise UserError(
                    f"{path} is an .h5 of another name. Rename it: {Path(path).stem}.h5."
                )
            safety.check_storage(path, file)
            network = safety.configuration(path, file)
            with warnings.catch_warnings(action="ignore"):  # of Keras 2's names of arguments
                safety.check_shapes(path, file, network)
                model = safety.build(network)
                model.load_weights(path)
        except UserError:
            raise
        except Exception as error:  # whatever a damaged file makes h5py and Keras raise
            # Keras puts the reason behind the whole configuration of the layer.
            reason = str(error).rpartition("Exception encountered: ")[2] or type(error).__name__
            raise UserError(
                f"{path} cannot be loaded ({first_line(Exception(reason))}). Export it anew."
            ) from None
    if not _colorizes(model):
        raise UserError(
            f"{path} is no colorizer: it needs an input `l` (L*), (N, S, S, 1), perhaps one named "
            "`embedding`, (N, 1000), and an output of two channels (ab)."
        )
    if precision != "float32":
        model = in_precision(model, precision)
    return choose_jit(model)


def is_decoded(model: keras.Model) -> bool:
    """Whether a model ends in the layers of `bins.annealed_mean`, which `redecoded` replaces."""
    found = {layer.name: layer for layer in model.layers}
    return (
        {"ab_temperature", "ab"} <= found.keys()
        and isinstance(found["ab"], layers.UpSampling2D)
        and found["ab_temperature"].input.shape[-1] == len(bins.CENTRES)
    )


def redecoded(model: keras.Model, decode: Callable[[Any, int], Any]) -> keras.Model:
    """An exported classifier of ab whose logits become ab by decode(logits, factor) instead.

    factor: from the logits' size to that of ab. The network is shared.
    """
    logits, factor = model.get_layer("ab_temperature").input, model.get_layer("ab").size[0]
    return choose_jit(keras.Model(model.input, decode(logits, factor), name=model.name))


def shares(model: keras.Model) -> keras.Model:
    """An exported classifier of ab up to the shares of the 313 bins whose mean is ab."""
    return choose_jit(keras.Model(model.input, model.get_layer("ab_softmax").output))


def without_upsampling(model: keras.Model) -> keras.Model:
    """A model that ends before its last layer if that enlarges ab; else the model itself."""
    last = model.outputs[0]._keras_history[0]  # `output` may be a list of one
    if not isinstance(last, layers.UpSampling2D):
        return model
    return choose_jit(keras.Model(model.input, last.input, name=model.name))


def _colorizes(model):
    """Whether a model has the inputs and the output of a colorizer (`interface`)."""
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    l: tuple[int | None, ...] = inputs.pop("l", ())
    outputs = model.output if isinstance(model.output, dict) else {"ab": model.outputs[0]}
    ab: tuple[int | None, ...] = tuple(getattr(outputs.get("ab"), "shape", ()))
    return (
        (len(l), len(ab)) == (3, 4)
        and (l[0], l[2], ab[3]) == (l[1], 1, 2)
        and len(model.outputs) == len(outputs)
        and inputs in ({}, {"embedding": (1000,)})
    )


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
