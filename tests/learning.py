"""Whether a report's network learns: a few smooth drawn pictures, scored in Lab units."""

import keras
import numpy as np

from common import metrics, training
from common.color import lab
from common.networks import h5, perceptual
from common.networks.interface import predict, views
from common.networks.precision import choose_jit
from common.training import losses
from tests import drawn

LOOK = 20  # steps between two looks at the error


def share_of_mean_colour(report, config, steps, pictures=4, seed=0, enough=0.0):
    """The error of a model to export as a share of the mean colour's, on what it was trained on.

    It is the MSE of ab, or the distance of the pictures where that is the config's loss. Training
    ends after so many steps, or as soon as a look finds a share below `enough`.

    report: a report's package, or a `training.Report`. The embeddings are drawn, one a picture, at
    the deviation of an ImageNet network's logits.
    seed: of the network's weights.
    """
    keras.utils.set_random_seed(seed)
    rgb = np.stack([drawn.picture(seed, config.image_size) for seed in range(pictures)])
    colours = lab.rgb_to_lab(rgb)
    ab = colours[..., 1:]
    inputs = {"l": colours[..., :1]}
    if config.embedding:
        inputs["embedding"] = (
            np.random.default_rng(0).normal(0, 1.7, (pictures, 1000)).astype(np.float32)
        )
    report = training.Report.of(report)
    network = report.build_model(config)
    distance = config.distance
    training.compile_model(
        report,
        network,
        config,
        steps,
        loss=distance and losses.PerceptualLoss(perceptual.features(distance, "random"), config),
    )
    choose_jit(network)
    x = {**inputs, "l": lab.scale_l(inputs["l"], config)}
    x |= {name: x["l"] for name in views(network)}  # of the same size here
    y = lab.scale_ab(ab, config)
    if distance:
        y = np.concatenate([x["l"], y], -1)
    colouring = network
    if isinstance(network.output, dict):
        colouring = keras.Model(network.input, network.output["ab"], name=network.name)
    exported = h5.wrap(colouring, config)
    mean_colour = np.broadcast_to(ab.mean((0, 1, 2)), ab.shape)
    distance_of = distance and perceptual.features(distance, "random")

    def error(colours):
        if not distance:
            return np.mean((colours - ab) ** 2)
        coloured = metrics.recolour(inputs["l"], colours) / 255
        return float(keras.ops.mean(distance_of(rgb / np.float32(255), coloured)))

    for step in range(1, steps + 1):
        network.train_on_batch(x, y)
        if step % LOOK == 0 or step == steps:
            exported.get_layer(colouring.name).set_weights(colouring.get_weights())
            share = error(predict(exported, inputs)) / error(mean_colour)
            if share < enough:
                break
    return share
