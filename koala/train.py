"""Train Koala: `python -m koala.train --help`, or `make train-koala`."""

import sys

import keras

from common import cli, training
from koala.config import CONFIGS
from koala.model import build_model


def compile_model(model, config, steps, loss=None):
    """Adam and the mean squared error (K12)."""
    rate = training.learning_rate(config, steps)
    model.compile(keras.optimizers.Adam(rate), loss or keras.losses.MeanSquaredError())


def main(argv=None):
    """From pictures to models/koala.h5."""
    return training.main(
        argv, report="koala", configs=CONFIGS, build_model=build_model, compile_model=compile_model
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
