"""A report whose step depends on the whole batch: `python -m tests.training.normalised` trains it.

It has batch normalisation, two kinds of dropout, and the moving average of its weights.
"""

import dataclasses
import os
import sys

import keras
from keras import layers

from common import cli, files, training
from common.commands import train
from tests import drawn
from tests.training import home

CONFIGS = {"normalised": drawn.Config(augment=("flip",), epochs=2, steps=5)}


def build_model(config):
    """A colorizer of a few hundred parameters."""
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    x = layers.Conv2D(8, 3, 2, "same", name="conv1")(l)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.Activation("relu")(x)
    x = layers.Dropout(0.2, seed=1, name="dropout")(x)
    x = layers.SpatialDropout2D(0.2, seed=2, name="dropout_of_maps")(x)
    x = layers.Conv2DTranspose(8, 3, 2, "same", activation="relu", name="conv2")(x)
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="conv3")(x)
    return keras.Model({"l": l}, x, name="normalised")


def optimizer(config, steps):
    """Adam, with the moving average of the weights."""
    rate = training.learning_rate(config, steps)
    return keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.9)


REPORT = training.Report(
    "normalised",
    CONFIGS,
    build_model,
    optimizer,
    drawn.loss,
    lambda config: [training.accuracy()],
)


class Tell(keras.callbacks.Callback):
    """Prints a hash of the last weights."""

    def on_train_end(self, logs=None):
        content = b"".join(weights.tobytes() for weights in self.model.get_weights())
        print("weights", files.sha256(content))


def main(argv=None):
    """Train by the command's flags, without the evaluation; the weights are told.

    With SIGNAL= in the environment the process gets that signal after three steps.
    """
    request = train.parse(argv, REPORT)
    number = os.environ.get("SIGNAL")
    callbacks = [Tell(), *([home.Stop(3, int(number))] if number else [])]
    options = dataclasses.replace(request.options, callbacks=callbacks)
    run = training.train(REPORT, request.config, request.data, options)
    return 128 + run.stopped_by if run.stopped_by else 0


if __name__ == "__main__":
    training.batches.accelerated = lambda: True  # views and Lab in the compiled step, as on GPUs
    sys.exit(cli.run(main))
