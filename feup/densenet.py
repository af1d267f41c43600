"""DenseNet-121, cut in the middle (Huang et al. 2016)."""

import keras

from common.networks import imagenet, pretrained
from common.networks.flags import variable_of
from feup.config import Config

APPLICATION = imagenet.NETWORKS["densenet121"]
CUT = "pool3_relu"  # P8: after the second dense block, before its transition halves the map


def encoder(config: Config) -> keras.Model:
    """The network to the end of its second block: L* (N, S, S, 1) -> (N, S/8, S/8, 512). P8."""
    size = config.image_size
    whole = APPLICATION.build(include_top=False, weights=None, input_shape=(size, size, 1))
    cut = keras.Model(whole.input, whole.get_layer(CUT).output, name="densenet")
    for layer in cut.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.momentum
    return cut


def load(colorizer: keras.Model, config: Config, weights: str) -> dict[str, str]:
    """Set the encoder's weights: `auto`, `imagenet`, `random` or a Keras file, see `fill`.

    Returns {"network", "weights", "sha256"}. Raises `UserError`.
    """
    return pretrained.fill(
        colorizer.get_layer("densenet"),
        weights,
        application=APPLICATION,
        variable=variable_of("densenet"),
        consequence="the encoder then begins from random weights, and results are those of a "
        "network trained on this data alone.",
    )
