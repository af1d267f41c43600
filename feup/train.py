"""Train the networks of the report: `python -m feup.train --help`, or `make train-feup`."""

import sys

import keras

from common import cli, training
from common.networks.interface import classifies
from common.training import losses
from feup import densenet, resnet18
from feup.config import CONFIGS
from feup.model import build_model


def compile_model(model, config, steps, loss=None):
    """Adam (P4) and the mean squared error, of a network of logits the cross-entropy (P12)."""
    if loss is None and classifies(model):
        loss = losses.BinCrossEntropy(config.ab_scale, config.ab_offset)
    rate = training.learning_rate(config, steps)
    model.compile(keras.optimizers.Adam(rate), loss or keras.losses.MeanSquaredError())


def main(argv=None):
    """From pictures to models/feup.h5."""
    return training.main(
        argv,
        report="feup",
        configs=CONFIGS,
        build_model=build_model,
        compile_model=compile_model,
        pretrained={"resnet18": resnet18.load, "densenet": densenet.load},
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
