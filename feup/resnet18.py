"""ResNet-18, cut in the middle (He et al. 2016; Melas 2018 for the cut).

Layers have torchvision's names, with _ instead of a dot, so that weights are matched by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

from common.cli import UserError
from common.networks import pretrained, torch_files
from common.networks.flags import variable_of
from common.networks.layers import padded_convolution
from feup.config import Config

STAGES = (64, 128, 256, 512)
EPSILON = 1e-5  # of batch normalisation, as in the training of the published weights
IMAGENET = "resnet18-f37072fd.pth"  # torchvision's
VARIABLE = variable_of("resnet18")


def encoder(config: Config) -> keras.Model:
    """The network up to its 128 channels: L* (N, S, S, 1) -> (N, S/8, S/8, 128). P5."""
    return network(config.image_size, channels=1, stages=2, momentum=config.momentum)


def network(
    image_size: int, channels: int = 3, stages: int = 4, classes: int = 0, momentum: float = 0.9
) -> keras.Model:
    """ResNet-18 or its first stages; with classes, global average and a dense layer of logits.

    (N, S, S, channels) -> (N, S / 2**(stages + 1), same, 64 * 2**(stages - 1)), or (N, classes).
    All four stages with 1000 classes have 11,689,512 trainable parameters.
    """
    inputs = keras.Input((image_size, image_size, channels))
    x = _normalised(inputs, 64, 7, 2, "conv1", "bn1", momentum)  # S/2
    x = layers.ReLU(name="relu")(x)
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(
        x
    )  # after a ReLU zero padding is equivalent to -inf
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)  # S/4
    for stage, filters in enumerate(STAGES[:stages], start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _block(x, filters, stride, f"layer{stage}_{block}", momentum)
    if classes:
        x = layers.GlobalAveragePooling2D(name="avgpool")(x)
        x = layers.Dense(classes, name="fc")(x)
    return keras.Model(inputs, x, name="resnet18")


def _block(x: Any, filters: int, stride: int, name: str, momentum: float) -> Any:
    """Two 3x3 convolutions plus a shortcut, which is a 1x1 convolution where the shape changes."""
    shortcut = x
    if stride > 1:
        shortcut = _normalised(
            x, filters, 1, stride, f"{name}_downsample_0", f"{name}_downsample_1", momentum
        )
    x = _normalised(x, filters, 3, stride, f"{name}_conv1", f"{name}_bn1", momentum)
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = _normalised(x, filters, 3, 1, f"{name}_conv2", f"{name}_bn2", momentum)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _normalised(
    x: Any, filters: int, kernel_size: int, stride: int, name: str, norm: str, momentum: float
) -> Any:
    x = padded_convolution(x, filters, kernel_size, stride, name=name, use_bias=False)
    return layers.BatchNormalization(momentum=momentum, epsilon=EPSILON, name=norm)(x)


# --- weights ----------------------------------------------------------------------------------


def load(colorizer: keras.Model, config: Config, weights: str) -> dict[str, str]:
    """Set the encoder's weights: `auto`, `imagenet`, `random` or a file.

    A file is one of PyTorch with torchvision's names, in either of its formats, or a Keras .h5 of
    `network`, whole or cut. A first kernel over three channels is summed to one. Returns
    {"network", "weights", "sha256"}. Raises `UserError`.
    """
    encoder = colorizer.get_layer("resnet18")
    source_network, source = pretrained.load(
        weights,
        name="ResNet-18",
        variable=VARIABLE,
        build=lambda: _network(1),
        read=_read,
        imagenet=lambda: from_torch(torch_files.torchvision(IMAGENET, "ResNet-18")),
        consequence="the encoder then begins from random weights, and results are those of a "
        "network trained on this data alone.",
    )
    pretrained.transfer(source_network, encoder)
    return {"network": "resnet18", "weights": source, "sha256": pretrained.weights_sha256(encoder)}


def _network(channels: int, **whole: int) -> keras.Model:
    with pretrained.in_float32():
        return network(32, channels, **(whole or {"stages": 2}))


def _read(path: Path) -> keras.Model:
    """A network of one or three channels with the weights of a file."""
    if not path.is_file() or h5py.is_hdf5(path):
        return pretrained.read(
            path,
            [lambda: _network(1), lambda: _network(3), lambda: _network(3, classes=1000)],
            name="ResNet-18",
            variable=VARIABLE,
        )
    return from_torch(torch_files.read(path), path)


def from_torch(state: Mapping[str, np.ndarray], path: str | Path = "the file") -> keras.Model:
    """The first two stages with the weights of a state_dict with torchvision's names.

    path: for the message of the `UserError` that tensors of another network raise.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    kernel = state.get("conv1.weight")
    encoder = _network(1 if kernel is not None and kernel.shape[1:2] == (1,) else 3)
    used = set()
    for layer in encoder.layers:
        if layer.weights:
            values = []
            for variable in layer.weights:
                name = f"{layer.name.replace('_', '.')}.{_TORCH[variable.name]}"
                value = state.get(name)
                if value is not None and value.ndim == 4:
                    value = value.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
                if value is None or value.shape != variable.shape:
                    has = "none" if value is None else f"one of shape {value.shape}"
                    raise UserError(
                        f"{path} does not hold weights of ResNet-18: {name} must be of "
                        f"shape {tuple(variable.shape)}, there is {has}."
                    )
                values.append(value)
                used.add(name)
            layer.set_weights(values)
    # A deeper ResNet has these tensors too, and more in the same stages.
    for name in sorted(state.keys() - used):
        if name.startswith(("layer1.", "layer2.")) and not name.endswith("num_batches_tracked"):
            raise UserError(f"{path} does not hold weights of ResNet-18, which has no {name}.")
    return encoder


_TORCH = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
