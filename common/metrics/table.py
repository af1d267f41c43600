"""The table of metrics: the columns of every evaluation, in their order."""

import abc
import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from common.metrics import ssim
from common.metrics.argmax import argmax_ab
from common.metrics.auc import auc_ab
from common.metrics.batch import BATCH, psnr_ab_batch, ssim_ab_batch
from common.metrics.ciede2000 import ciede2000
from common.metrics.colourfulness import colourfulness, colourfulness_error
from common.metrics.lightness import l_drift
from common.metrics.mse import mse_ab
from common.metrics.psnr import psnr_ab, psnr_rgb
from common.metrics.ssim import ssim_ab, ssim_rgb


@dataclasses.dataclass(frozen=True)
class Metric(abc.ABC):
    """A column of the evaluation.

    better: "higher", "lower", or "truth", which means as close as possible to the true pictures'
    value. digits: printed after the point. brief: whether the terminal's table includes it.
    by_rarity: whether it takes `weights` of colours, and its mean weights pictures by `rarity`.
    """

    key: str
    title: str
    better: str
    digits: int = dataclasses.field(default=2, kw_only=True)
    unit: str = dataclasses.field(default="", kw_only=True)
    brief: bool = dataclasses.field(default=True, kw_only=True)
    by_rarity: bool = dataclasses.field(default=False, kw_only=True)

    @property
    @abc.abstractmethod
    def definition(self) -> str:
        """Its definition in a sentence."""

    @property
    @abc.abstractmethod
    def switches(self) -> dict[str, Any]:
        """{name: value} of the settings that the evaluation computes it with."""


@dataclasses.dataclass(frozen=True)
class PictureMetric(Metric):
    """A metric that a function computes from pictures.

    pictures: the function's arguments, of "rgb", "ab" and "lab", each with "_predicted" for the
    prediction's. smallest: the least side of a picture that it is defined for. given: switches
    that differ from the function's defaults.
    """

    function: Callable[..., Any]
    pictures: tuple[str, ...]
    smallest: int = dataclasses.field(default=1, kw_only=True)
    given: dict[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)

    @property
    def definition(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").splitlines()[0]

    @property
    def switches(self) -> dict[str, Any]:
        """The function's keywords."""
        parameters = inspect.signature(self.function).parameters.values()
        switches = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | self.given
        if self.by_rarity:
            switches["weights"] = "color.bins.balance of the training split"
        return switches


@dataclasses.dataclass(frozen=True)
class BatchMetric(Metric):
    """A metric that a function computes from the ab of a batch of pictures, on request.

    function: (true ab, predicted ab), (N, H, W, 2) each, -> a float, NaN where it is undefined.
    smallest: as in `PictureMetric`.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    smallest: int = dataclasses.field(default=1, kw_only=True)

    @property
    def definition(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").splitlines()[0]

    def of(self, ab: np.ndarray, ab_predicted: np.ndarray) -> float | None:
        """The metric of a batch; None where it is undefined."""
        value = None if min(ab.shape[1:3]) < self.smallest else self.function(ab, ab_predicted)
        return None if value is None or math.isnan(value) else value

    @property
    def switches(self) -> dict[str, Any]:
        """The size of a batch in an evaluation."""
        return {"batch": BATCH}


@dataclasses.dataclass(frozen=True)
class NetworkMetric(Metric):
    """A metric that networks compute on request, in `evaluation.network_metrics`.

    text: its definition. given: its switches, known once the network is loaded.
    """

    text: str
    given: dict[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)

    @property
    def definition(self) -> str:
        """The text."""
        return self.text

    @property
    def switches(self) -> dict[str, Any]:
        """What the evaluation recorded about the network."""
        return self.given


_RGB, _AB, _LAB = (("rgb", "rgb_predicted"), ("ab", "ab_predicted"), ("lab", "lab_predicted"))
_RESULT = ("rgb_predicted",)
PICTURE_METRICS = {
    metric.key: metric
    for metric in (
        PictureMetric("psnr_rgb", "PSNR RGB", "higher", psnr_rgb, _RGB, unit="dB"),
        PictureMetric(
            "ssim_rgb", "SSIM RGB", "higher", ssim_rgb, _RGB, digits=4, smallest=ssim.WINDOW
        ),
        PictureMetric("ciede2000", "CIEDE2000", "lower", ciede2000, _LAB),
        PictureMetric("mse_ab", "MSE ab", "lower", mse_ab, _AB, digits=1),
        PictureMetric("psnr_ab", "PSNR ab", "higher", psnr_ab, _AB, unit="dB", brief=False),
        PictureMetric(
            "ssim_ab",
            "SSIM ab",
            "higher",
            ssim_ab,
            _AB,
            digits=4,
            smallest=ssim.WINDOW,
            brief=False,
        ),
        PictureMetric("auc_ab", "AuC ab", "higher", auc_ab, _AB, unit="%"),
        PictureMetric(
            "auc_ab_balanced", "AuC balanced", "higher", auc_ab, _AB, unit="%", by_rarity=True
        ),
        PictureMetric(
            "argmax_ab", 'Keras "accuracy"', "higher", argmax_ab, _AB, digits=3, brief=False
        ),
        PictureMetric("colourfulness", "Colourfulness", "truth", colourfulness, _RESULT),
        PictureMetric(
            "colourfulness_error",
            "Colourfulness off",
            "lower",
            colourfulness_error,
            _RGB,
            brief=False,
        ),
        PictureMetric(
            "colourfulness_absolute",
            "Colourfulness, absolute",
            "truth",
            colourfulness,
            _RESULT,
            given={"absolute": True},
            brief=False,
        ),
        PictureMetric(
            "colourfulness_absolute_error",
            "Colourfulness off, absolute",
            "lower",
            colourfulness_error,
            _RGB,
            given={"absolute": True},
            brief=False,
        ),
        PictureMetric("l_drift", "L* drift", "lower", l_drift, _LAB, brief=False),
        PictureMetric(
            "l_drift_largest",
            "L* drift, largest",
            "lower",
            l_drift,
            _LAB,
            given={"largest": True},
            brief=False,
        ),
    )
}
BATCH_METRICS = {
    metric.key: metric
    for metric in (
        BatchMetric(
            "psnr_ab_batch", "PSNR ab, range of the batch", "higher", psnr_ab_batch, unit="dB"
        ),
        BatchMetric(
            "ssim_ab_batch",
            "SSIM ab, range of the batch",
            "higher",
            ssim_ab_batch,
            digits=4,
            smallest=ssim.WINDOW,
        ),
    )
}
NETWORK_METRICS = {
    metric.key: metric
    for metric in (
        NetworkMetric(
            "lpips",
            "LPIPS",
            "lower",
            "Distance of the maps of a network's layers, Zhang et al. 2018; "
            "LPIPS with the published weights alone, else unweighted.",
            digits=4,
        ),
        NetworkMetric(
            "fid",
            "FID",
            "lower",
            "Squared Fréchet distance of Inception-v3's features of all "
            "predictions and all true pictures, Heusel et al. 2017; Keras's network, not the "
            "TensorFlow graph of 2015, so that published figures do not compare to the digit.",
        ),
        NetworkMetric(
            "kid",
            "KID",
            "lower",
            "Squared kernel distance of Inception-v3's features, Bińkowski et "
            "al. 2018, mean over subsets and below it their standard deviation; unbiased, a "
            "prediction's pair with its own true picture left out. Keras's network, as in FID.",
            digits=5,
        ),
        NetworkMetric(
            "frechet",
            "Fréchet distance",
            "lower",
            "What FID is, on another network's features: figures do not compare with FID.",
        ),
        NetworkMetric(
            "kernel",
            "Kernel distance",
            "lower",
            "What KID is, on another network's features: figures do not compare with KID.",
            digits=5,
        ),
        NetworkMetric(
            "top1",
            "Top-1",
            "higher",
            "Share of pictures for which an ImageNet classifier predicts the "
            "class that their folder names.",
            digits=1,
            unit="%",
        ),
        NetworkMetric(
            "top1_agreement",
            "Agreement",
            "higher",
            "Share of pictures for which an ImageNet classifier "
            "predicts the same class as for the true picture.",
            digits=1,
            unit="%",
        ),
    )
}
METRICS: dict[str, Metric] = {**PICTURE_METRICS, **BATCH_METRICS, **NETWORK_METRICS}
OF_TRUTH = ("colourfulness", "colourfulness_absolute")  # defined without a prediction


def chosen(by_rarity: bool = False) -> dict[str, PictureMetric]:
    """{key: metric} that need no network, with or without those balanced by rarity of colours."""
    return {
        key: metric for key, metric in PICTURE_METRICS.items() if by_rarity or not metric.by_rarity
    }


def of_batches(keys: Iterable[str]) -> dict[str, BatchMetric]:
    """{key: metric} of those keys that name a metric of batches."""
    return {key: BATCH_METRICS[key] for key in keys if key in BATCH_METRICS}
