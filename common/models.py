"""Export and load .h5 models, safely; list what is in models/.

An exported model takes L* and gives ab, both in Lab units, in float32, and is made of built-in
layers only: `keras.models.load_model(path, compile=False)` opens it anywhere.
"""

import contextlib
import json
import logging
import platform
import subprocess
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from common import ab_bins, files, normalization
from common.cli import UserError

ATTRIBUTE = "colorization"  # the one JSON attribute of the file


def wrap(network, config):
    """The network in Lab units: inputs as the network's own, `l` in [0, 100]; output `ab`.

    `config.l_scale, l_offset, ab_scale, ab_offset`: network value = Lab value * scale + offset.
    The network is nested under its own name, between two `Rescaling` layers. What else it takes
    of L* (`views`) is made of `l` by `Resizing`, outputs beside `ab` are cut off, and a network
    that classifies ab is decoded.
    """
    if isinstance(network.output, dict):
        network = keras.Model(network.input, network.output["ab"], name=network.name)
    network = _rebuilt(network, "float32")
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
        ab = ab_bins.annealed_mean(y)
    else:
        ab = layers.Rescaling(
            1 / config.ab_scale, -config.ab_offset / config.ab_scale, name="ab", dtype="float32"
        )(y)
    return choose_jit(keras.Model(inputs, ab, name=f"{network.name}_lab"))


def views(network):
    """{name: (height, width)} of the inputs that see L* at a size of their own, beside `l`."""
    return {
        name: tensor.shape[1:3]
        for name, tensor in network.input.items()
        if name != "l" and len(tensor.shape) == 4
    }


def classifies(network):
    """Whether the network's ab output are logits over the bins of `ab_bins`."""
    return ab_of(network.output).shape[-1] == len(ab_bins.CENTRES)


def ab_of(outputs):
    """The ab of what a network gives: its only output, or the one of that name."""
    return outputs["ab"] if isinstance(outputs, dict) else outputs


def in_precision(model, policy, fused=None):
    """A copy of a functional model under a dtype policy, its first and last layers in float32.

    The last layers are those behind which none with weights comes: their output is the picture,
    which eight bits of mantissa would band. The first are those that bring L* to the network's
    input, `Rescaling` or a name in `l_to_`. fused: whether batch normalisation takes
    TensorFlow's fused kernel; None is where it pays.
    """
    return _rebuilt(model, policy, normalization.fused_pays() if fused is None else fused)


def _rebuilt(model, policy, fused=False):
    settings = model.get_config()
    _set_policy(settings, policy)
    normalization.exchange(settings, fused)
    copy = model.__class__.from_config(settings)
    copy.set_weights(model.get_weights())
    return copy


def _set_policy(settings, policy, ends=True):
    """Name the policy in the configuration of every layer, those of nested models included.

    ends: whether the model's outputs go through no further layer with weights.
    """
    inner = set() if ends else {layer["name"] for layer in settings["layers"]}
    for layer in reversed(settings["layers"]):  # stored in the order of the graph
        config = layer["config"]
        exact = layer["name"] not in inner
        if "layers" in config:
            _set_policy(config, policy, ends=exact)
        elif layer["class_name"] != "InputLayer":
            first = layer["class_name"] == "Rescaling" or layer["name"].startswith("l_to_")
            config["dtype"]["config"]["name"] = "float32" if exact or first else policy
        # A frozen layer at the end is a table of colours: it makes up for no rounding before it.
        if not exact or (_WEIGHTED & config.keys() and config.get("trainable", True)):
            inner.update(_sources(layer["inbound_nodes"]))


def _sources(nodes):
    """Yield the names of the layers that a layer's configuration takes its inputs from."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        nodes = list(nodes.values())
    if isinstance(nodes, (list, tuple)):
        for node in nodes:
            yield from _sources(node)


_WEIGHTED = {"kernel_initializer", "depthwise_initializer", "layers"}


PRECISIONS = ("auto", "float32", "mixed_bfloat16")


def precision(name):
    """(dtype policy, why) for `auto`, `float32` or `mixed_bfloat16`.

    `auto` is mixed bfloat16 where it is fast: AMX or AVX512-BF16, or a GPU of Ampere or newer.
    """
    if name != "auto":
        return name, "as asked"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(gpu)
            return _of_gpu(details.get("device_name", "GPU"), details.get("compute_capability"))
    elif keras.backend.backend() == "jax":
        import jax

        for device in jax.local_devices():
            if device.platform == "gpu":
                version = getattr(device, "compute_capability", None)
                return _of_gpu(device.device_kind, version and tuple(map(int, version.split("."))))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").split()
    except OSError:
        flags = []
    for flag, title in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if flag in flags:
            return "mixed_bfloat16", f"the processor has {title}"
    return "float32", "the processor has neither AMX nor AVX512-BF16"


def _of_gpu(name, capability):
    if capability and capability[0] >= 8:
        return "mixed_bfloat16", f"{name} is Ampere or newer"
    return "float32", f"{name} is older than Ampere"


def choose_jit(model):
    """Let XLA compile the model but on TensorFlow's CPU, where oneDNN is over twice as fast."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            model.jit_compile = False
    return model


def predict(model, inputs):
    """`model` on a batch, a dict of arrays -> ab, (N, S, S, 2) float32 NumPy in Lab units.

    Inputs that the model does not take are left out.
    """
    wanted = {name: inputs[name] for name in input_names(model)}
    ab = model.predict_on_batch(wanted)
    return keras.ops.convert_to_numpy(ab_of(ab))


def input_names(model):
    """The names of a model's inputs."""
    return [tensor.name for tensor in model.inputs]


def export(model, path, metadata):
    """Save a model of `wrap` as an uncompiled .h5 with its metadata; whole or not at all.

    `metadata` is any JSON object; the versions and the commit are added.
    """
    metadata = {**metadata, "versions": versions(), "commit": commit()}
    with files.replacing(path) as temporary:
        with _without_warnings():  # that .h5 is an older format: here it is the contract
            model.save(temporary, include_optimizer=False)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(metadata)


def metadata(path):
    """The metadata of an exported model; {} for a model that is not ours."""
    with _opened(path) as file:
        return json.loads(file.attrs.get(ATTRIBUTE, "{}"))


def load(path, precision="float32"):
    """An exported model, ready to predict; `precision` is a dtype policy for its network.

    `.h5` files can carry code, which runs while they load; one with a Lambda or a class that
    Keras does not know is refused.
    """
    with _opened(path) as file:
        _refuse_code(path, file)
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # whatever a damaged configuration makes Keras raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(f"{path} cannot be loaded ({reason}). Export it anew.") from None
    if "l" not in input_names(model) or model.output_shape[-1] != 2:
        raise UserError(
            f"{path} is no colorizer: it needs an input `l` (L*) and an output of two "
            "channels (ab)."
        )
    if precision != "float32":
        model = in_precision(model, precision)
    return choose_jit(model)


def available(folder="models"):
    """The exported models of a folder, sorted by name."""
    return sorted(
        path for path in Path(folder).glob("*.h5") if not path.name.endswith(".weights.h5")
    )


def named(name, folder="models"):
    """The path of a model given by path or by its name in `folder`; `UserError` if missing."""
    for path in (Path(name), Path(folder) / f"{name}.h5", Path(folder) / name):
        if path.is_file():
            return path
    there = ", ".join(path.stem for path in available(folder)) or "no model"
    raise UserError(
        f"There is no model {name}; {folder}/ holds {there}. Train one: `make train-koala`."
    )


def versions():
    """The versions of Python, Keras, its backend and NumPy."""
    backend = keras.backend.backend()
    module = __import__(backend)
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: module.__version__,
        "numpy": np.__version__,
    }


def commit():
    """The commit of this code, with `+` if files were changed since; None outside Git."""

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


@contextlib.contextmanager
def _without_warnings():
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _opened(path):
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise UserError(f"There is no model {path}. Train one: `make train-koala`.") from None
    except OSError:
        raise UserError(f"{path} is no HDF5 file or is damaged. Export it anew.") from None


def _refuse_code(path, file):
    if "model_config" not in file.attrs:
        raise UserError(f"{path} holds no model, perhaps only weights. Use an exported model.")
    for name, module in _classes(json.loads(file.attrs["model_config"])):
        if module is None:
            trusted = hasattr(layers, name) or name in ("Functional", "__keras_tensor__")
        else:
            trusted = module.split(".")[0] == "keras"
        if name in ("Lambda", "__lambda__") or not trusted:
            raise UserError(
                f"{path} holds {name} of {module or 'unknown origin'}, which could run "
                "code of its own, and is refused. Only Keras's own classes are loaded."
            )


def _classes(config):
    """Yield (class name, module) of everything that a configuration names."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config["class_name"], config.get("module")
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)
