"""What is done to ab between the network and the photo: `REFINE=none|guided|tv|crf`.

none    enlarged bilinearly
guided  enlarged along the edges of L*, see `upsampling`
tv      total variation at the network's size, then guided
crf     a fully connected conditional random field over the 313 bins, then guided

docs/refine.md has what each is worth.
"""

import numpy as np

from common.cli import UserError
from common.color import bins

WAYS = ("none", "guided", "tv", "crf")
DEFAULT = "guided"

TV_WEIGHT = 10.0  # Lab units
# Of the random field: how far positions of the map act upon each other, how alike their L* is and
# the ab of their bins (deviations of Gaussians), how much, and how often messages are passed.
NEAR, ALIKE, COLOURS, WEIGHT, STEPS = 20.0, 5.0, 20.0, 1.0, 5

_RARE = 1e-3  # bins that are nowhere more probable are left out
_PAIRS = 1 << 23  # of positions, held in memory at a time


def parse(value: str) -> str:
    """One of `WAYS`; `UserError` for anything else."""
    if value not in WAYS:
        raise UserError(f"REFINE= is {', '.join(WAYS)}. Received: {value}.")
    return value


def check(way: str, has_bins: bool) -> None:
    """`UserError` where the model gives no distribution of the bins, which crf needs."""
    if way == "crf" and not has_bins:
        raise UserError(
            "REFINE=crf needs a model that classifies ab, as wombat or one trained with BINS=1. "
            "This one gives ab alone: take REFINE=guided or tv."
        )


def total_variation(ab: np.ndarray) -> np.ndarray:
    """ab (h, w, 2) -> the same with fewer small differences, float32 (Chambolle 2004)."""
    from skimage.restoration import denoise_tv_chambolle

    smooth = denoise_tv_chambolle(ab, weight=TV_WEIGHT, channel_axis=2)
    return np.asarray(smooth, np.float32)


def random_field(shares: np.ndarray, l: np.ndarray) -> np.ndarray:
    """The bins' shares (h, w, 313) and L* (h, w) -> ab (h, w, 2) float32, Lab units.

    The mean of the bins after mean field inference in a fully connected conditional random field
    (Krähenbühl, Koltun 2011), whose pairs are near each other and alike in L*, and whose labels may
    differ by how far apart their ab are. Every pair is computed, not a filter that approximates it.
    """
    height, width, _ = shares.shape
    kept = np.flatnonzero(shares.max((0, 1)) > _RARE)
    centres = bins.CENTRES[kept]
    alike = np.exp(np.square(centres[:, None] - centres).sum(-1) / (-2 * COLOURS**2))
    own = np.log(np.maximum(shares.reshape(height * width, -1)[:, kept], 1e-12))
    y, x = np.mgrid[:height, :width]
    points = np.stack([y / NEAR, x / NEAR, l / ALIKE], axis=-1).reshape(-1, 3).astype(np.float32)
    scale = np.concatenate([rows.sum(1) for rows in _kernel(points)])
    scale = (1 / np.sqrt(scale + 1e-9))[:, None]
    q = _softmax(own)
    for _ in range(STEPS):
        given = (scale * q) @ alike
        message = np.concatenate([rows @ given for rows in _kernel(points)])
        q = _softmax(own + WEIGHT * scale * message)
    return (q @ centres).reshape(height, width, 2).astype(np.float32)


def _kernel(points):
    """Yield rows of exp(-|p - q|² / 2) between all points (n, 3), without a point's own."""
    squares = np.square(points).sum(1)
    rows = max(1, _PAIRS // len(points))
    for start in range(0, len(points), rows):
        part = slice(start, start + rows)
        kernel = points[part] @ points.T
        kernel -= squares[part, None] / 2
        kernel -= squares / 2
        np.exp(kernel, out=kernel)
        count = len(kernel)
        kernel[np.arange(count), start + np.arange(count)] = 0
        yield kernel


def _softmax(x):
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)
