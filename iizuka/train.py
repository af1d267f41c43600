"""Train Iizuka's network: `make train-iizuka`, or `colorization train iizuka --help`."""

import sys

import keras

import iizuka
from common import cli, training
from common.commands import train
from iizuka.config import Config, Iizuka2016


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """Adam (J12), or the original's ADADELTA (J15)."""
    original = isinstance(config, Iizuka2016)
    kind = keras.optimizers.Adadelta if original else keras.optimizers.Adam
    return kind(training.learning_rate(config, steps))


def loss(config: Config) -> keras.losses.Loss:
    """The mean squared error."""
    return keras.losses.MeanSquaredError()


def metrics(config: Config) -> list[keras.metrics.Metric]:
    """Keras's accuracy."""
    return [training.accuracy()]


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/iizuka.h5."""
    return train.main(argv, report=iizuka)


if __name__ == "__main__":
    sys.exit(cli.run(main))
