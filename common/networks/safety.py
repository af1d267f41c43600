"""What an .h5 file may hold, checked before Keras reads it.

Keras builds whatever class a file's configuration names, and some classes run code, read other
files or allocate what they are asked for; which of them Keras itself refuses depends on its
version. Here a file may hold the layers that colorizers are made of, in the sizes of the weights
that it stores, and nothing that leads out of it. What is loaded is the configuration that
`configuration` returns, not the file's own.
"""

import copy
import functools
import inspect
import itertools
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import h5py
import keras

from common.cli import UserError, one_line

# fmt: off
MODELS = frozenset({"Functional", "Model", "Sequential"})
LAYERS = frozenset({
    "Activation", "ActivityRegularization", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D",
    "Add", "AdditiveAttention", "AlphaDropout", "Attention", "Average", "AveragePooling1D",
    "AveragePooling2D", "BatchNormalization", "CenterCrop", "Concatenate", "Conv1D",
    "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Cropping1D", "Cropping2D", "Dense",
    "DepthwiseConv1D", "DepthwiseConv2D", "Dot", "Dropout", "ELU", "EinsumDense", "Embedding",
    "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GroupNormalization",
    "GroupQueryAttention", "Identity", "InputLayer", "LayerNormalization", "LeakyReLU",
    "MaxPooling1D", "MaxPooling2D", "Maximum", "Minimum", "MultiHeadAttention", "Multiply",
    "Normalization", "PReLU", "Permute", "RMSNormalization", "RandomBrightness", "RandomContrast",
    "RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU",
    "RepeatVector", "Rescaling", "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D",
    "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpectralNormalization", "Subtract",
    "UnitNormalization", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
})
INITIALIZERS = frozenset({
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity",
    "IdentityInitializer", "LecunNormal", "LecunUniform", "Ones", "Orthogonal",
    "OrthogonalInitializer", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "VarianceScaling", "Zeros",
})
REGULARIZERS = frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"})
CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
ACTIVATIONS = frozenset({
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink",
    "threshold",
})
DTYPES = frozenset({
    "bfloat16", "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "mixed_bfloat16", "mixed_float16", "uint8", "uint16", "uint32",
})
# fmt: on
MODULES = {
    "keras": MODELS,
    "keras.models": MODELS,
    "keras.src.models.functional": MODELS,
    "keras.src.models.sequential": MODELS,
    "keras.layers": LAYERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": REGULARIZERS,
    "keras.constraints": CONSTRAINTS,
}
POLICIES = frozenset({"DTypePolicy", "FloatDTypePolicy", "Policy"})
FUNCTIONS = (None, "builtins", "keras.activations", "keras.src.activations.activations")
REASONS = {
    **dict.fromkeys(
        ("Lambda", "__lambda__"),
        "which is Python code; Rescaling or another built-in layer can replace it",
    ),
    **dict.fromkeys(
        ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"), "which runs code"
    ),
    **dict.fromkeys(
        ("IntegerLookup", "StringLookup", "TextVectorization"), "which can read other files"
    ),
    **dict.fromkeys(
        ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"),
        "an operation as Keras 2 stored it, which Keras 3 does not load; a layer such as "
        "Rescaling or Add can replace it",
    ),
}
OPERATION = (
    "an operation of keras.ops, which Keras does not load from an .h5; a layer such as Rescaling "
    "can replace it"
)
UNKNOWN = "which is none of the built-in parts that a colorizer is made of"

EXPANSION = 10  # times the file's size that its data may take in memory
PATIENCE = 60  # seconds for what takes less than one
LARGEST = 2**31 - 1  # whole number in a layer: at a larger one TensorFlow ends the process
ELEMENTS = 2**31  # of a tensor between two layers, for one picture: 8 GiB


def check_storage(path: str | Path, file: h5py.File) -> None:
    """`UserError` where an HDF5 file leads out of itself, or unpacks to far more than its size.

    It may hold groups and arrays of numbers: no links (soft, external), no external or virtual
    data sets, no references or objects.
    """
    names: list[tuple[str, Any]] = []
    file.visititems_links(lambda name, link: names.append((name, link)))
    size = 0
    for name, link in names:
        if not isinstance(link, h5py.HardLink):
            raise _refusal(path, f"{name}, a link to {getattr(link, 'filename', 'elsewhere')}")
        item = file[name]
        if isinstance(item, h5py.Group):
            continue
        if not isinstance(item, h5py.Dataset):
            raise _refusal(path, f"{name}, which is no array")
        if item.external or item.is_virtual:
            raise _refusal(path, f"{name}, whose data are in another file")
        if item.shape is None or item.dtype.kind not in "biufV" or item.dtype.names:
            raise _refusal(path, f"{name}, which is no array of numbers")
        size += math.prod(item.shape) * item.dtype.itemsize
    stored = os.path.getsize(path)
    if size > EXPANSION * stored:
        raise _refusal(
            path, f"arrays of {size:,} bytes, although it has {stored:,} itself: most is not stored"
        )


def configuration(path: str | Path, file: h5py.File) -> dict[str, Any]:
    """{"class_name", "config"} of the network in an opened .h5, with known parts only.

    Left out is what Keras would do beyond building layers: what the network was compiled with, and
    the shapes that it was built for. Parts that Keras 2 wrote otherwise are rewritten as Keras 3
    reads them. `UserError` names a part that is not known, and its layer.
    """
    stored = json.loads(file.attrs["model_config"])
    if stored["class_name"] not in MODELS:
        raise _refusal(path, f"a model of the class {stored['class_name']}, {UNKNOWN}")
    return _Reading(path).part(stored, "the model")


def check_shapes(path: str | Path, file: h5py.File, network: Mapping[str, Any]) -> None:
    """`UserError` where the layers of a `network` are larger than the weights that `file` stores.

    The network is built without its variables' values, so that nothing is allocated. Where that
    does not end it is given up: Keras 3.10 takes any IndexError for a wrong order of the layers.
    """
    try:
        declared, outputs = _in_time(functools.partial(_declared, network))
    except TimeoutError:
        raise UserError(f"{path} cannot be loaded: its layers do not fit together.") from None
    stored = list(_stored(path, file))
    if [len(shapes) for shapes in declared] != [len(shapes) for shapes in stored]:
        raise UserError(
            f"{path} is damaged: its layers have {sum(map(len, declared))} weights, and it stores "
            f"{sum(map(len, stored))}. Export it anew."
        )
    for (name, shape), found in zip(sum(declared, []), sum(stored, []), strict=True):
        if shape != found:
            raise _refusal(path, f"{found} as {name}, whose layer declares {shape}")
    for name, size in outputs:
        if size > ELEMENTS:
            raise _refusal(path, f"layer {name}, whose output has {size:,} numbers a picture")


class _Reading:
    """The configuration in a file, part by part."""

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def part(self, stored: dict[str, Any], layer: str) -> Any:
        """A dictionary with a class_name as Keras may build it. layer: the name to report."""
        name, module, config = str(stored["class_name"]), stored.get("module"), stored.get("config")
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            layer = config["name"]
        if name in ("__tuple__", "TensorShape"):
            return tuple(self.value(stored.get("items"), layer))
        if name in ("__keras_tensor__", "__numpy__", "__tensor__"):
            return {"class_name": name, "config": self.value(config, layer)}
        if name in POLICIES and isinstance(config, dict):
            return self.word("dtype", config.get("name"), layer)
        if name == "function" and module in FUNCTIONS:
            return self.word("activation", config, layer)
        # Operations have layers' names, as Add; but only layers have a dtype.
        operation = not module and "inbound_nodes" in stored and "dtype" not in (config or ())
        places = [str(module)] if module else MODULES
        if not any(name in MODULES.get(place, ()) for place in places):
            reason = REASONS.get(name, OPERATION if operation else UNKNOWN)
            raise self.refusal(f"{name}{f' of {module}' if module else ''}, {reason}", layer)
        if stored.get("registered_name") not in (None, name):
            raise self.refusal(
                f"{name} registered as {stored['registered_name']}, {UNKNOWN}", layer
            )
        if operation and name in LAYERS - {"InputLayer"}:
            raise self.refusal(f"{name}, {OPERATION}", layer)
        part = {"class_name": name, "config": self.config(name, config, layer)}
        if name in MODELS - {"Sequential"}:
            self.graph(part["config"], layer)
        if module:
            part |= {"module": module, "registered_name": None}
        for key in ("name", "inbound_nodes"):
            if key in stored:
                part[key] = self.value(stored[key], layer)
        return part

    def config(self, name: str, stored: Any, layer: str) -> Any:
        """The constructor's arguments of a part of the class `name`."""
        if not isinstance(stored, dict):
            return self.value(stored, layer)
        return {
            key: self.word(key, value, layer)
            for key, value in stored.items()
            if _taken(name, key)
            or not (value is None or value is False or key in _UNUSED.get(name, ()))
        }

    def graph(self, config: dict[str, Any], model: str) -> None:
        """Check that the calls of a model's layers can be made in some order, as Keras 3 counts.

        Keras 2 counted a nested model's calls from 1; `config` is changed in place. Some versions
        of Keras look for an order without end where there is none.
        """
        kinds = {layer["name"]: layer["class_name"] for layer in config["layers"]}
        if len(kinds) < len(config["layers"]):
            raise self.refusal("two layers of the same name", model)
        old = [
            tensor
            for layer in config["layers"]
            for call in layer["inbound_nodes"]
            if isinstance(call, list)
            for tensor in call
        ]
        for tensor in old:
            tensor[1] -= kinds.get(tensor[0]) in MODELS and tensor[1] > 0
        if old:
            for end in _ends(config["output_layers"]):
                end[1] -= kinds.get(end[0]) == "Sequential" and end[1] > 0
        made = {name: int(kind == "InputLayer") for name, kind in kinds.items()}
        waiting = [
            (layer["name"], list(_calls(call)))
            for layer in config["layers"]
            for call in layer["inbound_nodes"]
        ]
        while waiting:
            later = []
            for name, needed in waiting:
                if all(made.get(other, 0) > index for other, index in needed):
                    made[name] += 1
                else:
                    later.append((name, needed))
            if len(later) == len(waiting):
                raise self.refusal(
                    "layers that follow one another in a circle or on nothing", model
                )
            waiting = later

    def word(self, key: str, stored: Any, layer: str) -> Any:
        """The value of an argument; text that names a function or a class must name a known one."""
        if isinstance(stored, str):
            for kind, known in _WORDS.items():
                if key.endswith(kind) and _plain(stored) not in known:
                    raise self.refusal(f"{key} {stored}, {UNKNOWN}", layer)
            return stored
        if key == "seed" and isinstance(stored, int):  # which may have more bits
            return stored
        return self.value(stored, layer)

    def value(self, stored: Any, layer: str) -> Any:
        """Any value of a configuration."""
        if isinstance(stored, list):
            return [self.value(item, layer) for item in stored]
        if isinstance(stored, int) and abs(stored) > LARGEST:
            raise self.refusal(f"the number {stored}, larger than {LARGEST:,}", layer)
        if not isinstance(stored, dict):
            return stored
        if "class_name" in stored:
            return self.part(stored, layer)
        return {key: self.word(key, value, layer) for key, value in stored.items()}

    def refusal(self, what: str, layer: str) -> UserError:
        return _refusal(self._path, what, layer)


def _ends(structure) -> Iterator[list[Any]]:
    """The [layer, call, tensor] of a model's inputs or outputs, in whatever structure."""
    if isinstance(structure, list) and len(structure) == 3 and isinstance(structure[0], str):
        yield structure
    elif isinstance(structure, (list, tuple, dict)):
        for item in structure.values() if isinstance(structure, dict) else structure:
            yield from _ends(item)


def _calls(call) -> Iterator[tuple[str, int]]:
    """(layer, number of its call) of every tensor that a layer is called with."""
    if isinstance(call, list) and len(call) in (3, 4) and isinstance(call[0], str):  # of Keras 2
        yield call[0], call[1]
    elif isinstance(call, dict) and call.get("class_name") == "__keras_tensor__":
        yield tuple(call["config"]["keras_history"][:2])
    elif isinstance(call, (list, tuple, dict)):
        for item in call.values() if isinstance(call, dict) else call:
            yield from _calls(item)


def _refusal(path, what, holder="it"):
    return UserError(f"{path} is refused: {one_line(holder, 60)} holds {one_line(what, 240)}.")


@functools.cache
def _taken(name, argument):
    """Whether this version's constructor of a class has an argument; True for a model."""
    spaces = (keras.layers, keras.initializers, keras.regularizers, keras.constraints)
    classes = [getattr(space, name) for space in spaces if hasattr(space, name)]
    bases = [base for each in classes for base in each.__mro__]
    return not bases or any(
        argument in inspect.signature(base.__init__).parameters for base in bases
    )


def _plain(name):
    """A name whether written GlorotUniform or glorot_uniform."""
    return name.replace("_", "").lower()


# Arguments that other versions of Keras write, and that change nothing where they are not taken.
_UNUSED = {
    **dict.fromkeys(INITIALIZERS, ("dtype",)),
    **dict.fromkeys(
        ("SeparableConv1D", "SeparableConv2D"),
        ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    ),
    **dict.fromkeys(
        ("Conv1DTranspose", "Conv2DTranspose", "DepthwiseConv1D", "DepthwiseConv2D"), ("groups",)
    ),
    "BatchNormalization": ("renorm_momentum",),
}
_WORDS = {
    "activation": {_plain(name) for name in ACTIVATIONS},
    "_initializer": {_plain(name) for name in INITIALIZERS | {"normal", "one", "uniform", "zero"}},
    "_regularizer": {_plain(name) for name in REGULARIZERS},
    "_constraint": {_plain(name) for name in CONSTRAINTS},
    "dtype": {_plain(name) for name in DTYPES},
}


def build(network: Mapping[str, Any]) -> keras.Model:
    """The network that `configuration` returned, with its initial weights."""
    kind = keras.Sequential if network["class_name"] == "Sequential" else keras.Model
    return kind.from_config(copy.deepcopy(network["config"]))  # from_config takes things out


def _in_time(work: Callable[[], Any]) -> Any:
    """work() in a thread of its own, with which ends what it leaves in Keras's state."""
    future: Future[Any] = Future()

    def run():
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(PATIENCE)


def _declared(network):
    """([(weight, shape)] of each layer that has weights, [(layer, size of its output)])."""
    with keras.StatelessScope(initialize_variables=False):
        model = build(network)
        weights = [  # in the order in which an .h5 stores them
            [(weight.path, tuple(weight.shape)) for weight in weights]
            for layer in model.layers
            if (weights := layer.trainable_weights + layer.non_trainable_weights)
        ]
        return weights, list(_outputs(model))


def _outputs(model) -> Iterator[tuple[str, int]]:
    """(layer, numbers of its output for one picture), where the output has a fixed size."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _outputs(layer)
            continue
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # it is called several times, at several shapes
            continue
        for tensor in outputs:
            yield layer.name, math.prod(size or 1 for size in tensor.shape[1:])


def _stored(path, file) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of each layer's weights in an .h5, of layers that have any."""
    try:
        weights = file["model_weights"]
        for layer in _names(weights, "layer_names"):
            names = _names(weights[layer], "weight_names")
            if names:
                yield [weights[layer][name].shape for name in names]
    except (AttributeError, KeyError, TypeError, UnicodeError):
        raise UserError(f"{path} is damaged: weights are missing. Export it anew.") from None


def _names(group, attribute):
    """A list of names, which Keras stores in attributes NAME0, NAME1, ... where it is long."""
    parts = (f"{attribute}{number}" for number in itertools.count())
    whole = attribute in group.attrs
    keys = [attribute] if whole else itertools.takewhile(group.attrs.__contains__, parts)
    names = (name for key in keys for name in group.attrs[key])
    return [name.decode() if isinstance(name, bytes) else name for name in names]
