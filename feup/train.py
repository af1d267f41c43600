"""Train the networks of the report: `make train-feup`, or `colorization train feup --help`."""

import sys

import keras

import feup
from common import cli, training
from common.commands import train
from common.training import losses
from feup import densenet, resnet18
from feup.config import Config

PRETRAINED = {"resnet18": resnet18.load, "densenet": densenet.load}


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """Adam (P4)."""
    return keras.optimizers.Adam(training.learning_rate(config, steps))


def loss(config: Config) -> keras.losses.Loss:
    """The mean squared error (P4); of logits the cross-entropy over the bins (P12)."""
    if config.classify:
        return losses.BinCrossEntropy(config.ab_scale, config.ab_offset)
    return keras.losses.MeanSquaredError()


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/feup.h5."""
    return train.main(argv, report=feup)


if __name__ == "__main__":
    sys.exit(cli.run(main))
