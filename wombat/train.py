"""Train wombat: `make train-wombat`, or `colorization train wombat --help`."""

import sys
from typing import Any

import keras

import wombat
from common import cli, training
from common.commands import train
from common.networks import efficientnet_lite, pretrained
from common.training import losses
from wombat.config import Config

CLIP = 1.0  # of the norm of all gradients
# The moving average of the weights, which is what is exported, is over about 500 steps, and at most
# a twentieth of the run.
AVERAGE = 0.998


class TwoRates(keras.optimizers.AdamW):
    """AdamW for a network with a pretrained encoder: its steps are shorter, by `share`.

    Only the kernels of the decoder decay.
    """

    def __init__(self, rate: Any, share: float, **options: Any) -> None:
        super().__init__(rate, **options)
        self.share = share

    def build(self, variables: list[Any]) -> None:
        """Called by Keras with the variables that train."""
        if not self.built:
            slow = [variable for variable in variables if efficientnet_lite.owns(variable)]
            biases = [variable for variable in variables if variable.name == "bias"]
            self.exclude_from_weight_decay(var_list=slow + biases)
            # TensorFlow gives `update_step` its own variable, which has no path.
            self._slow = {id(one) for variable in slow for one in (variable, variable.value)}
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step."""
        share = self.share if id(variable) in self._slow else 1.0
        super().update_step(gradient, variable, learning_rate * share)


def optimizer(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """AdamW, with the moving average of the weights (W6)."""
    return TwoRates(
        training.learning_rate(config, steps),
        config.encoder_rate,
        weight_decay=config.weight_decay,
        global_clipnorm=CLIP,
        use_ema=True,
        ema_momentum=min(AVERAGE, max(0.0, 1 - 20 / steps)),
    )


def loss(config: Config) -> keras.losses.Loss:
    """The cross-entropy of the bins (W5); `config.rebalance` weights it by rarity."""
    return losses.BinCrossEntropy(config.ab_scale, config.ab_offset)


def load_encoder(network: keras.Model, config: Config, weights: str) -> dict[str, str]:
    """Set the encoder's weights, those of the classifier, folded: see `efficientnet_lite.load`."""
    classifier, source = efficientnet_lite.load(config.encoder, weights)
    efficientnet_lite.fold(classifier, network.get_layer("efficientnet_lite"))
    return {
        "network": config.encoder,
        "weights": source,
        "sha256": pretrained.weights_sha256(classifier),
    }


PRETRAINED = {"efficientnet_lite": load_encoder}


def main(argv: list[str] | None = None) -> int:
    """From pictures to models/wombat.h5."""
    return train.main(argv, report=wombat)


if __name__ == "__main__":
    sys.exit(cli.run(main))
