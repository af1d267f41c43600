"""Drawn pictures and tiny networks for the tests: seeded, smooth, and in colour."""

import dataclasses
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers

from common import config


def picture(seed, height=48, width=None):
    """(H, W, 3) uint8: a few soft colour fields, different for every seed."""
    rng = np.random.default_rng(seed)
    height, width = height, width or height
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    out = np.zeros((height, width, 3))
    for _ in range(4):
        cx, cy, spread = rng.random(), rng.random(), rng.uniform(0.1, 0.5)
        field = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / spread**2)
        out += field[..., None] * rng.uniform(0, 255, 3)
    return np.clip(out, 0, 255).astype(np.uint8)


# A program's own peak of memory, in KiB, as its last word. Not `ru_maxrss`, which on Linux begins
# at the size of the process that started it.
PRINT_PEAK = """
import re
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read()).group(1))
"""


def folder(path, count=12, size=48, suffix=".png"):
    """Write `count` drawn pictures into a folder and return it."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        cv2.imwrite(str(path / f"picture-{seed:03d}{suffix}"), picture(seed, size)[..., ::-1])
    return path


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """The smallest config, whose networks learn quickly."""

    image_size: int = 32
    learning_rate: float = 1e-2
    batch_size: int = 4
    epochs: int = 3


def build_model(config):
    """A colorizer of a few hundred parameters, with an embedding where the config fuses one."""
    inputs = {"l": keras.Input((config.image_size, config.image_size, 1), name="l")}
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="conv1")(inputs["l"])
    if config.embedding:
        from common.networks.layers import fuse

        inputs["embedding"] = keras.Input((1000,), name="embedding")
        x = fuse(x, layers.Dense(4, name="narrow")(inputs["embedding"]))
    x = layers.Dropout(0.1, name="dropout")(x)
    x = layers.Conv2DTranspose(8, 3, 2, "same", activation="relu", name="conv2")(x)
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="conv3")(x)
    return keras.Model(inputs, x, name="tiny")


def optimizer(config, steps):
    """Adam."""
    from common import training

    return keras.optimizers.Adam(training.learning_rate(config, steps))


def loss(config):
    """The mean squared error."""
    return keras.losses.MeanSquaredError()


def classifier(config=None):
    """The same network with 313 bins of ab, whose shares are far from uniform."""
    from common.color import bins

    keras.utils.set_random_seed(0)
    network = bins.with_head(build_model(config or Config()))
    head = network.get_layer("ab_bins")
    head.set_weights([80 * weights for weights in head.get_weights()])
    return network


def exported(path, config=None, data=None, train_sha256="", embedding=None):
    """Export an untrained tiny colorizer and return its path."""
    from common.networks import h5

    config = config or Config()
    keras.utils.set_random_seed(1)
    h5.export(
        h5.wrap(build_model(config), config),
        path,
        {
            "title": Path(path).stem,
            "config": dataclasses.asdict(config),
            "image_size": config.image_size,
            "cut": config.cut,
            "embedding": embedding,
            "data": {"name": data or "drawn", "split_sha256": "", "train_sha256": train_sha256},
        },
    )
    return path


def with_dial(path):
    """Export an untrained classifier of ab with a dial, whose own ab are faithful; its path."""
    from common.color import bins
    from common.color.dial import Dial
    from common.networks import h5

    config = Config(faithful=(1.0, 0.0), vivid=(0.38, 0.7), export_both=True)
    network = bins.with_head(build_model(config))
    head = network.get_layer("ab_bins")
    head.set_weights([80 * weights for weights in head.get_weights()])
    dial = dataclasses.replace(Dial.of(config, np.full(313, 1 / 313), True), default=0.0)
    about = {"image_size": 32, "cut": "squash", "dial": dataclasses.asdict(dial)}
    h5.export(h5.wrap(network, config, dial.decode), path, about)
    return path
