"""A report whose network begins with a frozen encoder, as small as can be."""

import keras
from keras import layers

from common import training
from common.networks import pretrained
from tests import drawn


def build_model(config):
    """L* -> a frozen encoder of two maps -> a decoder that also fuses the finer one."""
    l = keras.Input((config.image_size, config.image_size, 1), name="l")
    picture = keras.Input(l.shape[1:])
    fine = layers.Conv2D(3, 3, 2, "same", activation="relu", name="fine")(picture)
    coarse = layers.Conv2D(4, 3, 2, "same", activation="relu", name="coarse")(fine)
    encoder = keras.Model(picture, [fine, coarse], name="encoder")
    encoder.trainable = False
    fine, coarse = encoder(layers.Rescaling(0.5, name="l_to_encoder")(l), training=False)
    x = layers.Dropout(0.1, name="dropout")(layers.UpSampling2D(2, name="up1")(coarse))
    x = layers.Concatenate(name="both")([x, fine])
    x = layers.Conv2DTranspose(8, 3, 2, "same", activation="relu", name="conv2")(x)
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="conv3")(x)
    return keras.Model({"l": l}, x, name="mapped")


def load_encoder(network, config, weights):
    """Seeded random weights, whatever is asked for."""
    encoder = pretrained.randomise(network.get_layer("encoder"))
    digest = pretrained.weights_sha256(encoder)
    return {"network": "encoder", "weights": "random", "sha256": digest}


CONFIGS = {
    "flips": drawn.Config(augment=("flip",), batch_size=2, epochs=2, maps=True),
    "zooms": drawn.Config(augment=("flip", "zoom"), batch_size=2, epochs=1, maps=True),
    "thaws": drawn.Config(batch_size=2, epochs=2, unfreeze_after=1, maps=True),
}
REPORT = training.Report(
    "mapped",
    CONFIGS,
    build_model,
    drawn.optimizer,
    drawn.loss,
    pretrained={"encoder": load_encoder},
)
