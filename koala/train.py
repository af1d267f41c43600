"""Train Koala: `make train-koala`, or `colorization train koala --help`."""

import sys

import keras

import koala
from common import cli, training
from common.commands import train
from koala.config import Config


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """Adam (K12)."""
    return keras.optimizers.Adam(training.learning_rate(config, steps))


def loss(config: Config) -> keras.losses.Loss:
    """The mean squared error (K12)."""
    return keras.losses.MeanSquaredError()


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/koala.h5."""
    return train.main(argv, report=koala)


if __name__ == "__main__":
    sys.exit(cli.run(main))
