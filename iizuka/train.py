"""Train Iizuka's network: `python -m iizuka.train --help`, or `make train-iizuka`."""

import sys

import keras

from common import cli, training
from iizuka.config import CONFIGS, Iizuka2016
from iizuka.model import build_model


def compile_model(model, config, steps, loss=None):
    """Adam, or the original's ADADELTA; mean squared error and, where there is a head, classes."""
    rate = training.learning_rate(config, steps)
    original = isinstance(config, Iizuka2016)
    optimizer = (keras.optimizers.Adadelta if original else keras.optimizers.Adam)(rate)
    loss = loss or keras.losses.MeanSquaredError()
    if not isinstance(model.output, dict):
        model.compile(optimizer, loss, metrics=training.accuracy(model))
        return
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(
        optimizer,
        {"ab": loss, "label": classes},
        loss_weights={"ab": 1.0, "label": config.class_weight},
        metrics={
            "ab": training.accuracy(model),
            "label": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        },
    )


def main(argv=None):
    """From pictures to models/iizuka.h5."""
    return training.main(
        argv, report="iizuka", configs=CONFIGS, build_model=build_model, compile_model=compile_model
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
