"""Metrics over a split: of the network in training, its export, and the mean colour."""

import collections
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import metrics
from common.color import lab
from common.color.dial import Dial
from common.networks.interface import ab_of, classifies
from common.networks.precision import choose_jit
from common.training.batches import Batches

# A batch of the data set -> (ab (N, S, S, 2) in Lab units, {metric: mean over the batch}).
Predict = Callable[[dict[str, Any]], tuple[np.ndarray, dict[str, float]]]


class Validation:
    """Metrics of a compiled network, and of anything else that predicts ab for its data.

    dial: decodes the logits of a network that classifies ab.
    """

    def __init__(self, model: keras.Model, batches: Batches, dial: Dial | None = None):
        self.model, self.batches, self.dial = model, batches, dial

    def predict(self, batch: dict[str, Any]) -> tuple[np.ndarray, dict[str, float]]:
        """(the network's ab for a batch of the data set, in Lab units; {"loss": a float, ...})."""
        x, y = self.batches.scaled(batch)
        predicted = keras.tree.map_structure(
            keras.ops.convert_to_tensor, self.model.predict_on_batch(x)
        )
        targets = keras.tree.map_structure(keras.ops.convert_to_tensor, y)
        loss = self.model.compute_loss(x, targets, predicted, training=False)
        scores = {"loss": float(loss)}
        if isinstance(y, dict):
            known = y["label"] >= 0
            right = keras.ops.convert_to_numpy(predicted["label"]).argmax(-1) == y["label"]
            scores["label_accuracy"] = float(right[known].mean()) if known.any() else 0.0
        ab = ab_of(predicted)
        if classifies(self.model):
            return keras.ops.convert_to_numpy(self._decode(ab)), scores
        return lab.unscale_ab(keras.ops.convert_to_numpy(ab), self.batches.config), scores

    def mean_colour(self, batch: dict[str, Any]) -> tuple[np.ndarray, dict[str, float]]:
        """The baseline: the mean ab of the training split, for every pixel."""
        return np.broadcast_to(self.batches.dataset.mean_ab, (*batch["rgb"].shape[:3], 2)), {}

    @functools.cached_property
    def _decode(self):
        """Logits of a network that classifies ab -> ab in Lab units."""
        assert self.dial is not None
        logits = keras.Input(ab_of(self.model.output).shape[1:])
        return choose_jit(keras.Model(logits, self.dial.decode(logits)))

    def __call__(
        self,
        predict: Predict,
        split: str = "validation",
        stopped: Callable[[], bool] = lambda: False,
    ) -> dict[str, float | None]:
        """Means over the pictures of a split: MSE (ab), PSNR (RGB), "accuracy", and more.

        More are those of `metrics.METRICS` that the config's `watched` names, and what `predict`
        returns besides ab. {} once stopped() is true.
        """
        values: dict[str, list[float | None]] = collections.defaultdict(list)
        for batch in self.batches.of_split(split):
            if stopped():
                return {}
            ab, scores = predict(batch)
            colours = lab.rgb_to_lab(batch["rgb"])
            for key, value in scores.items():
                values[key].extend([value] * len(ab))
            values["accuracy"].extend(metrics.argmax_ab(colours[..., 1:], ab))
            values["mse_ab"].extend(metrics.mse_ab(colours[..., 1:], ab))
            pictures = {
                "rgb": batch["rgb"],
                "ab": colours[..., 1:],
                "ab_predicted": ab,
                "rgb_predicted": metrics.recolour(colours[..., :1], ab),
            }
            for key in ("psnr_rgb", *self.batches.config.watched):
                metric = metrics.METRICS[key]
                assert isinstance(metric, metrics.PictureMetric | metrics.BatchMetric)
                if isinstance(metric, metrics.BatchMetric):
                    column = [metric.of(colours[..., 1:], ab)] * len(ab)
                elif self.batches.dataset.image_size < metric.smallest:
                    column = [None] * len(ab)
                else:
                    column = metric.function(*(pictures[name] for name in metric.pictures))
                values[key].extend(column)
        return {key: metrics.summary(column).mean for key, column in values.items()}
