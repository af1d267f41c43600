"""Train the networks of CS230: `python -m cs230.train --help`, or `make train-cs230`."""

import sys

import keras

from common import cli, training
from cs230.config import CONFIGS
from cs230.model import build_model

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def compile_model(model, config, steps, loss=None):
    """The config's optimiser (C13) and the mean squared error (C11), or another loss on ab."""
    rate = training.learning_rate(config, steps)
    model.compile(
        OPTIMIZERS[config.optimizer](rate),
        loss or keras.losses.MeanSquaredError(),
        metrics=training.accuracy(model),
    )


def main(argv=None):
    """From pictures to models/cs230.h5."""
    return training.main(
        argv, report="cs230", configs=CONFIGS, build_model=build_model, compile_model=compile_model
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
