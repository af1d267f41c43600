"""What a colorizer takes and gives: inputs by name, views of L*, the ab of its output."""

import keras

from common.color import bins


def views(network):
    """{name: (height, width)} of the inputs that see L* at a size of their own, beside `l`."""
    return {
        name: tensor.shape[1:3]
        for name, tensor in network.input.items()
        if name != "l" and len(tensor.shape) == 4
    }


def classifies(network):
    """Whether the network's ab output are logits over the bins of `ab_bins`."""
    return ab_of(network.output).shape[-1] == len(bins.CENTRES)


def ab_of(outputs):
    """The ab of what a network gives: its only output, or the one of that name."""
    return outputs["ab"] if isinstance(outputs, dict) else outputs


def predict(model, inputs):
    """`model` on a batch, a dict of arrays -> ab, (N, S, S, 2) float32 NumPy in Lab units.

    Inputs that the model does not take are left out.
    """
    wanted = {name: inputs[name] for name in input_names(model)}
    ab = model.predict_on_batch(wanted)
    return keras.ops.convert_to_numpy(ab_of(ab))


def input_names(model):
    """The names of a model's inputs."""
    return [tensor.name for tensor in model.inputs]
