"""What a network was before its training, as a second target beside the true colours.

A network that is tuned to a few pictures forgets what it knew of others. Here a share of its target
is what it gave before, for the same view: Z. Li, D. Hoiem, *Learning without forgetting*, 2016,
after G. Hinton, O. Vinyals, J. Dean, *Distilling the knowledge in a neural network*, 2015.
"""

from collections.abc import Mapping

import keras
import numpy as np

from common.color import bins
from common.networks.interface import ab_of, classifies
from common.networks.precision import choose_jit, in_precision


class Teacher:
    """A copy of a network with the weights that it has now: `teacher(inputs, targets)`.

    keep: the old network's share of the targets, in (0, 1).
    """

    def __init__(self, network: keras.Model, keep: float, policy: str) -> None:
        self.keep = keep
        self._network = choose_jit(in_precision(network, policy))
        self._classifies = classifies(network)

    def __call__(self, inputs: Mapping[str, np.ndarray], targets: np.ndarray) -> np.ndarray:
        """The targets of a step, for the inputs of the same step.

        targets: ab in the network's scaling, (N, S, S, 2), or with L* before it, (N, S, S, 3), as
        `Batches.scaled` gives them. For a network that gives ab, the mean of both answers,
        weighted: of a squared error that is the gradient of the weighted sum of both errors. For
        one that classifies ab (N, S/4, S/4, 2 + 313): true ab, averaged over each position, and
        the old distribution, which `losses.KeptBinCrossEntropy` takes.
        """
        old = keras.ops.convert_to_numpy(ab_of(self._network.predict_on_batch(inputs)))
        if self._classifies:
            few, wide = old.shape[1], targets.shape[1] // old.shape[1]
            ab = targets.reshape(len(old), few, wide, few, wide, 2).mean((2, 4))
            return np.concatenate([ab, bins.shares_of(old, 1.0, 0.0)], -1)
        kept = targets.copy()
        kept[..., -2:] += np.float32(self.keep) * (old - targets[..., -2:])
        return kept
