"""A report whose step depends on the whole batch: `python -m tests.training.normalised` trains it.

It has batch normalisation, two kinds of dropout, and the moving average of its weights.
"""

import os
import signal
import sys

import keras
from keras import layers

from common import cli, training
from common.commands import train
from tests import drawn

CONFIGS = {"normalised": drawn.Config(augment=("flip",), decay="cosine", epochs=2, steps=5)}


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


class Die(keras.callbacks.Callback):
    """Kills its own process after some steps, as a lost host."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if not self.steps:
            os.kill(os.getpid(), signal.SIGKILL)


def main(argv=None):
    """Train it by the command; with DIE= in the environment, die after so many steps."""
    if "DIE" not in os.environ:
        return train.main(argv, report=REPORT)
    request = train.parse(argv, REPORT)
    training.train(
        REPORT,
        request.config,
        request.data,
        request.options,
        callbacks=[Die(int(os.environ["DIE"]))],
    )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
