"""The ImageNet networks of keras.applications that are used here: one row a network.

What each was trained to see, and what Keras calls its weights file in the cache.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Application:
    """A network of keras.applications.

    It was trained on `size` x `size` pictures, their values of 0 to 255 times `scale` plus
    `offset`, a number a channel, blue first where `bgr`.
    """

    title: str
    build: Callable
    size: int
    scale: tuple
    offset: tuple
    cached: str  # its weights file, less what follows
    bare: str = "_notop"  # behind that, in the file without the top
    bgr: bool = False

    def enter(self, rgb):
        """sRGB of 0 to 255, (..., 3) of any array library -> the network's input."""
        rgb = rgb[..., ::-1] if self.bgr else rgb
        return rgb * np.float32(self.scale) + np.float32(self.offset)

    def file(self, top=True):
        """The name of its weights file in Keras's cache."""
        return f"{self.cached}{'' if top else self.bare}.h5"

    @property
    def entered(self):
        """`enter` in words."""
        scale, offset = (
            "/".join(f"{value:.5g}" for value in dict.fromkeys(values))
            for values in (self.scale, self.offset)
        )
        return f"{'BGR' if self.bgr else 'RGB'} of 0 to 255 times {scale} plus {offset}"


_TF = {"scale": (1 / 127.5,) * 3, "offset": (-1.0,) * 3}
_CAFFE = {"scale": (1.0,) * 3, "offset": (-103.939, -116.779, -123.68), "bgr": True}
_TORCH = {
    "scale": tuple(1 / (255 * each) for each in (0.229, 0.224, 0.225)),
    "offset": tuple(
        -mean / each
        for mean, each in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ),
}

NETWORKS = {
    "vgg16": Application(
        "VGG16",
        keras.applications.VGG16,
        224,
        cached="vgg16_weights_tf_dim_ordering_tf_kernels",
        **_CAFFE,
    ),
    "resnet50": Application(
        "ResNet-50",
        keras.applications.ResNet50,
        224,
        cached="resnet50_weights_tf_dim_ordering_tf_kernels",
        **_CAFFE,
    ),
    "densenet121": Application(
        "DenseNet-121",
        keras.applications.DenseNet121,
        224,
        cached="densenet121_weights_tf_dim_ordering_tf_kernels",
        **_TORCH,
    ),
    "mobilenet_v2": Application(
        "MobileNetV2",
        keras.applications.MobileNetV2,
        224,
        cached="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224",
        bare="_no_top",
        **_TF,
    ),
    "inception_v3": Application(
        "Inception-v3",
        keras.applications.InceptionV3,
        299,
        cached="inception_v3_weights_tf_dim_ordering_tf_kernels",
        **_TF,
    ),
    "inception_resnet_v2": Application(
        "Inception-ResNet-v2",
        keras.applications.InceptionResNetV2,
        299,
        cached="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels",
        **_TF,
    ),
}
