"""Train the VGG16 autoencoder: `python -m vgg_autoencoder.train --help`."""

import sys

import keras

from common import cli, training
from common.networks import imagenet, pretrained
from common.networks.interface import classifies
from vgg_autoencoder.config import CONFIGS
from vgg_autoencoder.model import ENCODERS, build_model


def load_encoder(network, config, weights):
    """Put weights (`auto`, `imagenet`, `random` or a file) into the encoder; what they are."""
    name = config.encoder
    return pretrained.fill(
        network.get_layer(name),
        weights,
        variable=pretrained.variable_of(name),
        application=imagenet.NETWORKS[name],
    )


def compile_model(model, config, steps, loss=None):
    """Adam (Z12) and the mean squared error (Z10), or another loss; penalties come on top (Z11)."""
    rate = training.learning_rate(config, steps)
    metrics = training.accuracy(model)
    if not classifies(model):  # beside the loss, which holds the penalties as well
        metrics.append(keras.metrics.MeanSquaredError(name="mse"))
    model.compile(
        keras.optimizers.Adam(rate), loss or keras.losses.MeanSquaredError(), metrics=metrics
    )


def main(argv=None):
    """From pictures to models/vgg_autoencoder.h5."""
    return training.main(
        argv,
        report="vgg_autoencoder",
        configs=CONFIGS,
        build_model=build_model,
        compile_model=compile_model,
        pretrained=dict.fromkeys(ENCODERS, load_encoder),
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
