"""Mixed precision: the dtype policy that is fast on a machine, and copies of a network under it."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import keras

from common.cli import UserError
from common.networks import normalization
from common.networks.flags import PRECISIONS

CAP = "ONEDNN_MAX_CPU_ISA"  # oneDNN's variable: the newest instruction set that it may use
_BELOW_BFLOAT16 = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)
_WEIGHTED = {"kernel_initializer", "depthwise_initializer", "layers"}  # keys of layers with weights


def set_defaults() -> None:
    """Set Keras to what the networks are built for; its keras.json may be another project's."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")  # Keras keeps the one that `floatx` once gave
    keras.config.set_epsilon(1e-7)


def in_precision(model: keras.Model, policy: str, fused: bool | None = None) -> keras.Model:
    """A copy of a functional model under a dtype policy, its first and last layers in float32.

    The last layers are those after which no layer with weights follows: their output is the
    picture, in which eight bits of mantissa would show as bands. The first are those that bring L*
    to the network's input: `Rescaling`, and layers whose name begins with `l_to_`. fused: whether
    batch normalisation uses TensorFlow's fused kernel; None means where that is faster.
    """
    return rebuilt(model, policy, normalization.fused_pays() if fused is None else fused)


def rebuilt(model: keras.Model, policy: str, fused: bool = False) -> keras.Model:
    """As `in_precision`, by default with Keras's own batch normalisation."""
    settings = model.get_config()
    _set_policy(settings, policy)
    normalization.exchange(settings, fused)
    copy = model.__class__.from_config(settings)
    copy.set_weights(model.get_weights())
    return copy


def _set_policy(settings: dict[str, Any], policy: str, ends: bool = True) -> None:
    """Write the policy into the configuration of every layer, those of nested models included.

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
            name = "float32" if exact or first else policy
            if isinstance(config["dtype"], str):  # as SpatialDropout2D writes it
                config["dtype"] = name
            else:
                config["dtype"]["config"]["name"] = name
        # A frozen layer at the end is a table of colours: training cannot adapt it to the rounding
        # of the layers before it, which therefore stay in float32 as well.
        if not exact or (_WEIGHTED & config.keys() and config.get("trainable", True)):
            inner.update(_sources(layer["inbound_nodes"]))


def _sources(nodes: Any) -> Iterator[str]:
    """Yield the names of the layers that a layer's configuration takes its inputs from."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        nodes = list(nodes.values())
    if isinstance(nodes, (list, tuple)):
        for node in nodes:
            yield from _sources(node)


def choose_policy(name: str) -> tuple[str, str]:
    """(dtype policy, the reason in words) for a name in `PRECISIONS`.

    `auto` is the value of PRECISION in the environment, else mixed bfloat16 where it is fast: on a
    processor with AMX or AVX512-BF16, unless ONEDNN_MAX_CPU_ISA excludes them, and on a GPU of
    Ampere or newer. Other names are returned as they are. `UserError` where PRECISION is not in
    `PRECISIONS`.
    """
    if name != "auto":
        return name, "as asked"
    asked = os.environ.get("PRECISION") or "auto"
    if asked not in PRECISIONS:
        raise UserError(
            f"PRECISION in the environment must be one of {', '.join(PRECISIONS)}. "
            f"Received: {asked}."
        )
    if asked != "auto":
        return asked, "as PRECISION in the environment asks"
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
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        cpuinfo = ""
    return _of_processor(cpuinfo.split(), os.environ.get(CAP, ""))


def _of_processor(flags: Collection[str], cap: str) -> tuple[str, str]:
    """(dtype policy, reason) from the processor's flags and the value of `CAP`, "" for no cap."""
    cap = cap.upper()
    titles = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
    present = [title for flag, title in titles.items() if flag in flags]
    for title in present:
        excluded = cap in _BELOW_BFLOAT16 or (
            title == "AMX" and "AMX" not in cap and cap not in ("", "ALL", "DEFAULT")
        )
        if not excluded:
            return "mixed_bfloat16", f"the processor has {title}"
    if present:
        return "float32", f"{CAP}={cap} excludes the processor's {present[0]}"
    return "float32", "the processor has neither AMX nor AVX512-BF16"


def _of_gpu(name: str, capability: tuple[int, ...] | None) -> tuple[str, str]:
    if capability and capability[0] >= 8:
        return "mixed_bfloat16", f"{name} is Ampere or newer"
    return "float32", f"{name} is older than Ampere"


def choose_jit(model: keras.Model) -> keras.Model:
    """Turn XLA off for a model on TensorFlow without a GPU: oneDNN is over twice as fast there.

    Returns the same model.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            model.jit_compile = False
    return model
