"""An exported .h5 that Keras computes, in the form in which a `Colorizer` takes any network."""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.color.dial import Dial
from common.networks import embeddings, h5
from common.networks.interface import predict
from common.networks.precision import choose_policy


class KerasNetwork:
    """An .h5 of `h5.export`, or any Keras model from `l` to `ab`. Raises `UserError`.

    precision: "float32", "mixed_bfloat16" or "auto". `inputs`: {name: shape, None for any size};
    `metadata` as in the file; `has_logits`: whether its ab is decoded from logits of the bins;
    `parameters`: their number, None where the runtime does not count them.
    """

    runtime = "Keras"

    def __init__(self, path: str | Path, precision: str = "float32") -> None:
        self._folder = Path(path).parent
        self.metadata = h5.metadata(path)
        self._exported = h5.load(path, choose_policy(precision)[0])
        self.inputs = {tensor.name: tuple(tensor.shape) for tensor in self._exported.inputs}
        self.has_logits = h5.is_decoded(self._exported)
        self.parameters: int | None = self._exported.count_params()
        self._use(self._exported)

    def _use(self, model):
        self._model, self._small = model, h5.without_upsampling(model)
        self._shares = functools.cache(lambda: h5.shares(model))

    def decoded(self, dial: Dial, vivid: float) -> "KerasNetwork":
        """The same network, whose logits become ab at `vivid` in [0, 1] of the dial."""
        other = copy.copy(self)
        other._use(
            self._exported
            if vivid == dial.default
            else h5.redecoded(
                self._exported, lambda logits, factor: dial.decode(logits, vivid, factor)
            )
        )
        return other

    def predict(self, inputs: Mapping[str, np.ndarray], small: bool = False) -> np.ndarray:
        """Arrays by input's name -> ab (N, H, W, 2) float32, Lab units.

        small: before the model's last layer, if that enlarges ab.
        """
        return predict(self._small if small else self._model, inputs)

    def shares(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Arrays by input's name -> the shares of the bins whose mean is ab, (N, h, w, 313).

        Only where `has_logits`.
        """
        return predict(self._shares(), inputs)

    def embedder(self, about: Mapping[str, str], weights: str | Path | None) -> embeddings.Embedder:
        """The embedding network of the metadata `about`, looked for in `weights` first."""
        return embeddings.find(about, weights, self._folder)
