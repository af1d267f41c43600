"""Metrics of one picture, and of two sets of pictures; one formula in each file.

mse            mean squared error of ab
psnr           peak signal-to-noise ratio, on RGB and on ab
ssim           structural similarity, on RGB and on ab
batch          both on ab, by the range of a batch
ciede2000      colour difference
auc            area under the curve of ab errors, also balanced by rarity of colours
argmax         Keras's "accuracy" of ab
colourfulness  by Hasler and Süsstrunk
lightness      the error of L*
frechet        Fréchet distance of features (FID)
kernel         kernel distance of features (KID)
recolour       L* and ab -> the 8-bit RGB that metrics receive
picture        a picture with a cache, and the checks of a metric's arguments
table          the table of metrics: titles, units, whether higher or lower is better
score          all metrics of one picture, and their means

Pictures are (H, W, C), or a batch (N, H, W, C); a metric of one picture is a float, of a batch
(N,) float64. RGB is uint8; ab and Lab are float in Lab units, neither rounded nor clipped. The
defaults of keywords are the protocol of `common.evaluation`, which records them beside its figures.
NaN or infinity in a picture, another dtype, other or unequal shapes raise ValueError.
"""

from common.metrics.argmax import argmax_ab
from common.metrics.auc import auc_ab, rarity
from common.metrics.batch import BATCH, psnr_ab_batch, ssim_ab_batch
from common.metrics.ciede2000 import ciede2000
from common.metrics.colourfulness import colourfulness, colourfulness_error
from common.metrics.frechet import Moments, frechet_distance
from common.metrics.kernel import kernel_distance
from common.metrics.lightness import l_drift
from common.metrics.mse import mse_ab
from common.metrics.picture import Picture
from common.metrics.psnr import psnr_ab, psnr_rgb
from common.metrics.recolour import recolour
from common.metrics.score import Mean, Truth, score, summary
from common.metrics.ssim import ssim_ab, ssim_rgb
from common.metrics.table import (
    BATCH_METRICS,
    METRICS,
    OF_TRUTH,
    BatchMetric,
    Metric,
    NetworkMetric,
    PictureMetric,
    chosen,
    of_batches,
)

__all__ = [
    "BATCH",
    "BATCH_METRICS",
    "METRICS",
    "OF_TRUTH",
    "BatchMetric",
    "Mean",
    "Metric",
    "Moments",
    "NetworkMetric",
    "Picture",
    "PictureMetric",
    "Truth",
    "argmax_ab",
    "auc_ab",
    "chosen",
    "ciede2000",
    "colourfulness",
    "colourfulness_error",
    "frechet_distance",
    "kernel_distance",
    "l_drift",
    "mse_ab",
    "of_batches",
    "psnr_ab",
    "psnr_ab_batch",
    "psnr_rgb",
    "rarity",
    "recolour",
    "score",
    "ssim_ab",
    "ssim_ab_batch",
    "ssim_rgb",
    "summary",
]
