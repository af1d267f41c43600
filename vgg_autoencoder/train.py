"""Train the VGG16 autoencoder: `make train-vgg_autoencoder`, or `colorization train ... --help`."""

import sys

import keras

import vgg_autoencoder
from common import cli, training
from common.commands import train
from common.networks import imagenet, pretrained
from common.networks.flags import variable_of
from vgg_autoencoder.config import Config
from vgg_autoencoder.model import ENCODERS


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """Adam (Z12)."""
    return keras.optimizers.Adam(training.learning_rate(config, steps))


def loss(config: Config) -> keras.losses.Loss:
    """The mean squared error (Z10); the layers' penalties are added to it (Z11)."""
    return keras.losses.MeanSquaredError()


def metrics(config: Config) -> list[keras.metrics.Metric]:
    """Keras's accuracy, and the error without the penalties that the loss includes."""
    return [training.accuracy(), keras.metrics.MeanSquaredError(name="mse")]


def load_encoder(network: keras.Model, config: Config, weights: str) -> dict[str, str]:
    """Set the encoder's weights: `auto`, `imagenet`, `random` or a file, see `pretrained.fill`."""
    name = config.encoder
    return pretrained.fill(
        network.get_layer(name),
        weights,
        variable=variable_of(name),
        application=imagenet.NETWORKS[name],
    )


PRETRAINED = dict.fromkeys(ENCODERS, load_encoder)


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/vgg_autoencoder.h5."""
    return train.main(argv, report=vgg_autoencoder)


if __name__ == "__main__":
    sys.exit(cli.run(main))
