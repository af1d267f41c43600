"""How far two pictures differ to the eye of a network: LPIPS, and feature distances beside it.

Zhang, Isola, Efros, Shechtman, Wang 2018, "The unreasonable effectiveness of deep features as a
perceptual metric": the maps of some layers, each place brought to length 1, their squared
difference weighted channel by channel, averaged over places, summed over layers. The published
weights were fitted on torchvision's networks and mean nothing on others: only both together are
called LPIPS here. On any other network each channel counts alike, under another name.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from common import files
from common.cli import UserError, first_line
from common.networks import imagenet, pretrained, torch_files
from common.networks.layers import padded_convolution
from common.networks.precision import in_precision

VARIABLE = "LPIPS_WEIGHTS"
WEIGHTS_HELP = (
    "of LPIPS: auto, none (the features alone, unweighted), or a folder with torchvision's weights "
    "and the linear ones"
)
LINEAR = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
)
EPSILON = 1e-10  # below the square root: a place without features has no direction


class Distance:
    """The distance of pictures in the maps of a network.

    `distance(rgb, other)`: (N, H, W, 3) float sRGB in [0, 1], of one size -> (N,) float32, by
    `keras.ops`, with gradients. title: its name, which says LPIPS, or whose features and whether
    its weights are random. metadata: {"name", "network", "weights", "sha256"}.
    """

    def __init__(self, name, network, weights, taps, enter, linear=None):
        self._taps, self._enter, self._linear = taps, enter, linear
        taps.trainable = False
        self.title = f"{name}, RANDOM weights" if weights == "random" else name
        self.metadata = {
            "name": self.title,
            "network": network,
            "weights": weights,
            "sha256": pretrained.weights_sha256(taps),
        }

    def __call__(self, rgb, other):
        total = 0.0
        maps = zip(self._maps(rgb), self._maps(other), strict=True)
        for number, (ours, theirs) in enumerate(maps):
            off = ops.square(ours - theirs)
            if self._linear is not None:
                off = off * self._linear[number]
            total += ops.mean(ops.sum(off, axis=-1), axis=(1, 2))
        return total

    def _maps(self, rgb):
        """The maps of all layers, each place of length 1, float32."""
        for x in self._taps(self._enter(rgb), training=False):
            x = ops.cast(x, "float32")
            yield x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + EPSILON)

    def in_precision(self, policy):
        """The same distance with its network under a dtype policy; ends stay float32."""
        copy = object.__new__(Distance)
        copy.__dict__ = {**self.__dict__, "_taps": in_precision(self._taps, policy)}
        return copy


# --- LPIPS ------------------------------------------------------------------------------------


def _vgg16():
    """torchvision's VGG16 up to its last ReLU; a layer `features.0` of the file is `features_0`."""
    x = inputs = keras.Input((None, None, 3))
    taps, number = [], 0
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        if taps:
            x = layers.MaxPooling2D(2, name=f"features_{number}")(x)
            number += 1
        for _ in range(count):
            x = layers.Conv2D(filters, 3, 1, "same", activation="relu", name=f"features_{number}")(
                x
            )
            number += 2  # its ReLU is one of its own in torchvision
        taps.append(x)
    return keras.Model(inputs, taps, name="vgg16")


def _alexnet():
    """torchvision's AlexNet (Krizhevsky 2014, one tower) up to its last ReLU."""
    x = inputs = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(2, name="features_0_pad")(x)
    x = layers.Conv2D(64, 11, 4, activation="relu", name="features_0")(x)
    taps = [x]
    for number, filters, kernel_size, pooled in (
        (3, 192, 5, True),
        (6, 384, 3, True),
        (8, 256, 3, False),
        (10, 256, 3, False),
    ):
        if pooled:
            x = layers.MaxPooling2D(3, 2, name=f"features_{number - 1}")(x)
        x = padded_convolution(
            x, filters, kernel_size, activation="relu", name=f"features_{number}"
        )
        taps.append(x)
    return keras.Model(inputs, taps, name="alexnet")


@dataclasses.dataclass(frozen=True)
class _Published:
    """A network of torchvision, and the file of linear weights that were fitted on it."""

    title: str
    build: Callable
    network: str  # torchvision's file
    linear: str  # of LPIPS 0.1
    sha256: str  # of that
    smallest: int  # the least side of a picture


LPIPS = {
    "vgg16": _Published(
        "VGG16",
        _vgg16,
        "vgg16-397923af.pth",
        "vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        16,
    ),
    "alexnet": _Published(
        "AlexNet",
        _alexnet,
        "alexnet-owt-7be5be79.pth",
        "alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        31,
    ),
}

# What LPIPS makes of sRGB in [-1, 1]: the deviations and means of ImageNet, to three digits.
_SHIFT, _SCALE = np.float32([-0.030, -0.088, -0.188]), np.float32([0.458, 0.448, 0.450])


def lpips(network="alexnet", weights="auto"):
    """LPIPS 0.1 as a `Distance`; `UserError` where its weights are not at hand.

    network: alexnet, which its authors compare with, or vgg16, which they train with. weights:
    `auto`, Keras's cache or a download into it, or a folder with torchvision's file of the network
    and LPIPS's linear weights under their own names. Both are checked by their hashes.
    """
    of = LPIPS[network]
    if weights == "auto":
        try:
            state = torch_files.torchvision(of.network, f"torchvision's {of.title}")
            path = pretrained.fetch(
                lambda: keras.utils.get_file(
                    f"lpips-{of.linear}", LINEAR + of.linear, cache_subdir="models"
                ),
                "LPIPS",
                f"lpips-{of.linear}",
            )
        except Exception as error:  # keras.utils.get_file raises a bare Exception
            raise UserError(
                f"LPIPS on {of.title} needs torchvision's weights and its own, which are neither "
                f"in Keras's cache nor to be downloaded ({first_line(error)}). Name a "
                f"folder with {of.network} and {of.linear}: {VARIABLE}=folder."
            ) from None
    else:
        path = Path(weights) / of.linear
        for file in (path, Path(weights) / of.network):
            if not file.is_file():
                raise UserError(
                    f"There is no {file}. {VARIABLE} is auto, none, or a folder with "
                    f"{of.network} and {of.linear}."
                )
        torch_files.check_name(Path(weights) / of.network, of.network)
        state = torch_files.read(Path(weights) / of.network)
    return published(network, state, _linear(path, of))


def published(network, state, linear):
    """LPIPS of torchvision's tensors by name and the linear weights, a (C,) array a layer."""
    of = LPIPS[network]
    with pretrained.in_float32():
        taps = of.build()
    for layer in taps.layers:
        if layer.weights:
            name = layer.name.replace("_", ".")
            try:
                layer.set_weights(
                    [state[f"{name}.weight"].transpose(2, 3, 1, 0), state[f"{name}.bias"]]
                )
            except (KeyError, ValueError):
                raise UserError(
                    f"The weights are not those of torchvision's {of.title}: {name} is "
                    "missing or of another shape."
                ) from None
    return Distance(
        f"LPIPS ({of.title})",
        network,
        "imagenet",
        taps,
        lambda rgb: (2 * rgb - 1 - _SHIFT) / _SCALE,
        linear,
    )


def _linear(path, of):
    """The linear weights of a file that is what it is called: a list of (C,) float32."""
    if files.sha256(Path(path)) != of.sha256:
        raise UserError(
            f"{path} is not the file {of.linear} of LPIPS 0.1. Name a folder that has "
            f"it: {VARIABLE}=folder."
        )
    state = torch_files.read(path)
    return [state[f"lin{number}.model.1.weight"].reshape(-1) for number in range(len(state))]


# --- any other network ------------------------------------------------------------------------


FEATURES = {  # the layers of a keras.applications network that are looked at
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    "mobilenet_v2": (
        "block_1_expand_relu",
        "block_3_expand_relu",
        "block_6_expand_relu",
        "block_13_expand_relu",
    ),
}


def features(network="vgg16", weights="auto"):
    """The unweighted distance of the features of a keras.applications network, a `Distance`.

    weights: `auto`, `imagenet`, `random` or a file, see `pretrained.load`; the name says where
    they are random.
    """
    of = imagenet.NETWORKS[network]
    with pretrained.in_float32():
        whole = of.build(include_top=False, weights=None, input_shape=(None, None, 3))
        maps = [whole.get_layer(name).output for name in FEATURES[network]]
        taps = keras.Model(whole.input, maps, name=network)
    found = pretrained.fill(
        taps,
        weights,
        application=of,
        variable=pretrained.variable_of(network),
        without="the distance is then that of random filters, which see edges and colours but have "
        "not learned what differs to the eye.",
    )
    return Distance(
        f"{of.title} feature distance",
        network,
        found["weights"],
        taps,
        lambda rgb: of.enter(255 * rgb),
    )


def load(network, weights="auto", lpips_weights="auto"):
    """LPIPS on a network where it exists and its weights are at hand, else `features` of it.

    lpips_weights: `none` asks for the features at once; a folder makes what it lacks a
    `UserError`. What it became is said on standard output and is in the `Distance`'s title.
    """
    reason = None
    if network in LPIPS and lpips_weights != "none":
        try:
            return lpips(network, lpips_weights)
        except UserError as error:
            if lpips_weights != "auto" or network not in FEATURES:
                raise
            reason = str(error)
    if reason:
        print(reason + " Going on with the features alone, unweighted.", flush=True)
    return features(network, weights)
