"""Losses of ab beside Keras's own: rebalanced by rarity, over the 313 bins, and perceptual."""

from typing import Any

import keras
import numpy as np
from keras import ops

from common.color import bins, lab
from common.config import Config
from common.networks.perceptual import Distance


class RebalancedMeanSquaredError(keras.losses.Loss):
    """The mean squared error of ab, each pixel weighted by how rare its true colour is.

    weights: (313,), one for each bin of `color.bins`, as `bins.rarity` returns them; with ones it
    is the mean squared error. `y_true` and `y_pred` are (N, H, W, 2) in the network's scaling, Lab
    units * `ab_scale` + `ab_offset`. The idea is from Zhang, Isola, Efros 2016, section 2.2, where
    the loss is a cross-entropy. Weights of another shape raise ValueError.
    """

    def __init__(
        self,
        weights: np.ndarray,
        ab_scale: float,
        ab_offset: float = 0.0,
        *,
        name: str = "rebalanced_mean_squared_error",
        **options: Any,
    ):
        super().__init__(name=name, dtype="float32", **options)
        self.weights = _checked(weights)
        self.ab_scale, self.ab_offset = ab_scale, ab_offset
        self._of_cells = self.weights[bins.nearest_of_cells()]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N, H, W, 2) twice -> the loss of each pixel, (N, H, W)."""
        cells = bins.cells(lab.unscale(y_true, self.ab_scale, self.ab_offset))
        return ops.take(self._of_cells, cells) * ops.mean(ops.square(y_pred - y_true), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        return {
            **super().get_config(),
            "weights": self.weights.tolist(),
            "ab_scale": self.ab_scale,
            "ab_offset": self.ab_offset,
        }


class BinCrossEntropy(keras.losses.Loss):
    """The cross-entropy between softly encoded true ab and logits of the 313 bins.

    `y_true` is (N, H, W, 2) in the network's scaling, `y_pred` (N, h, w, 313), where H and W are
    multiples of h and w: true ab is averaged over each position of the logits. weights: (313,) or
    None; each position is weighted by its nearest bin. Zhang, Isola, Efros 2016, section 2.2.

    Sizes that do not fit raise ValueError.
    """

    def __init__(
        self,
        ab_scale: float,
        ab_offset: float = 0.0,
        weights: np.ndarray | None = None,
        *,
        name: str = "bin_cross_entropy",
        **options: Any,
    ):
        super().__init__(name=name, dtype="float32", **options)
        self.weights = None if weights is None else _checked(weights)
        self.ab_scale, self.ab_offset = ab_scale, ab_offset

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N, H, W, 2) and (N, h, w, 313) -> the loss of each position, (N, h, w)."""
        size, logits_size = y_true.shape[1:3], y_pred.shape[1:3]
        factors = tuple(full // few for full, few in zip(size, logits_size, strict=True))
        if tuple(few * by for few, by in zip(logits_size, factors, strict=True)) != tuple(size):
            raise ValueError(
                "BinCrossEntropy needs true ab of a whole multiple of the logits' size, because "
                f"it averages ab over each position. Received: ab {size}, logits {logits_size}. "
                "Make config.image_size a multiple of 4."
            )
        if factors != (1, 1):
            y_true = ops.average_pool(y_true, factors, factors, data_format="channels_last")
        chosen, shares = bins.encode(lab.unscale(y_true, self.ab_scale, self.ab_offset))
        loss = ops.logsumexp(y_pred, axis=-1) - ops.sum(shares * _picked(y_pred, chosen), axis=-1)
        return loss if self.weights is None else loss * ops.take(self.weights, chosen[..., 0])

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        weights = None if self.weights is None else self.weights.tolist()
        return {
            **super().get_config(),
            "ab_scale": self.ab_scale,
            "ab_offset": self.ab_offset,
            "weights": weights,
        }


class KeptBinCrossEntropy(BinCrossEntropy):
    """`BinCrossEntropy` from two targets: the true ab, and the distribution of an older network.

    keep: the share of the latter, in [0, 1]. `y_true` is (N, h, w, 2 + 313), as `teacher.Teacher`
    makes it, or true ab alone as in `BinCrossEntropy`, whose loss it then is.
    """

    def __init__(self, *args: Any, keep: float = 0.0, **options: Any):
        super().__init__(*args, **options)
        self.keep = keep

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """-> the loss of each position, (N, h, w)."""
        loss = super().call(y_true[..., :2], y_pred)
        if y_true.shape[-1] == 2:
            return loss
        shares = ops.cast(y_true[..., 2:], "float32")
        kept = ops.logsumexp(y_pred, axis=-1) - ops.sum(shares * y_pred, axis=-1)
        return (1 - self.keep) * loss + self.keep * kept

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        return {**super().get_config(), "keep": self.keep}


class PerceptualLoss(keras.losses.Loss):
    """A perceptual distance between the coloured picture and the true one.

    `y_true` is (N, H, W, 3), L* and ab in the network's scaling, `y_pred` ab (N, H, W, 2): both
    are converted to sRGB with the true L*, clipped to the gamut as every result is. distance: a
    `perceptual.Distance`. scaling: the config, for `l_scale`, `l_offset`, `ab_scale`, `ab_offset`.
    """

    def __init__(
        self,
        distance: Distance,
        scaling: Config,
        *,
        name: str = "perceptual_loss",
        **options: Any,
    ):
        super().__init__(name=name, dtype="float32", **options)
        self.distance, self.scaling = distance, scaling

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N, H, W, 3) and (N, H, W, 2) -> the distance of each picture, (N,)."""
        l = lab.unscale_l(y_true[..., :1], self.scaling)
        both = [lab.unscale_ab(ab, self.scaling) for ab in (y_true[..., 1:], y_pred)]
        return self.distance(*(lab.lab_to_rgb(ops.concatenate([l, ab], -1), ops) for ab in both))


def of_ab(
    config: Config, classifies: bool, rarity: np.ndarray | None, keep: float = 0.0
) -> keras.losses.Loss | None:
    """The loss of ab of a network that classifies it, or weighted by rarity; None: the report's.

    rarity: (313,), the weight of each bin, see `bins.rarity`. keep: the share of a `Teacher`'s
    answer in the loss.
    """
    if classifies and keep:
        return KeptBinCrossEntropy(config.ab_scale, config.ab_offset, rarity, keep=keep)
    if classifies:
        return BinCrossEntropy(config.ab_scale, config.ab_offset, rarity)
    if rarity is not None:
        return RebalancedMeanSquaredError(rarity, config.ab_scale, config.ab_offset)
    return None


def _checked(weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, np.float32)
    if weights.shape != (len(bins.CENTRES),):
        raise ValueError(
            f"weights must be one for each of the {len(bins.CENTRES)} bins, because a pixel is "
            f"weighted by its bin. Received: shape {weights.shape}. Use bins.rarity."
        )
    return weights


def _picked(values: Any, indices: Any) -> Any:
    """`take_along_axis` of the last axis, whose gradient is twice as fast on flat tensors."""
    rows = ops.reshape(
        ops.arange(ops.size(indices[..., 0]), dtype="int32"), ops.shape(indices[..., :1])
    )
    flat = rows * values.shape[-1] + indices
    return ops.take(ops.reshape(values, (-1,)), flat)
