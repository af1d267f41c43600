"""Train the networks of CS230: `make train-cs230`, or `colorization train cs230 --help`."""

import sys

import keras

import cs230
from common import cli, training
from common.commands import train
from cs230.config import Config

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """The config's (C13)."""
    return OPTIMIZERS[config.optimizer](training.learning_rate(config, steps))


def loss(config: Config) -> keras.losses.Loss:
    """The mean squared error (C11)."""
    return keras.losses.MeanSquaredError()


def metrics(config: Config) -> list[keras.metrics.Metric]:
    """Keras's accuracy."""
    return [training.accuracy()]


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/cs230.h5."""
    return train.main(argv, report=cs230)


if __name__ == "__main__":
    sys.exit(cli.run(main))
