"""Whether a picture is grey, or toned as old prints are."""

import numpy as np

from common.color import lab
from common.photos.geometry import fit

GREY = 3.0  # largest distance of a grey picture's ab from the tone of its L*
TONE = 40.0  # largest ab of such a tone; that of sepia is 35
_SIDE = 64  # at this size the noise of a scan is averaged


def is_grey(rgb: np.ndarray) -> bool:
    """Whether a picture, (S, S, 3) uint8 sRGB, has no colours but a weak tone: sepia, an old print.

    At 99 % of its pixels ab depends on L* alone. Of 3,320 photos in colour one is taken for grey.
    """
    tone, off = tone_of(lab.rgb_to_lab(fit(rgb, min(len(rgb), _SIDE), "squash")))
    return bool(np.quantile(np.abs(off).max(-1), 0.99) < GREY and np.abs(tone).max() < TONE)


def tone_of(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lab (..., 3) -> the mean ab of each L*, rounded (n, 2), and how far each ab is off it."""
    level, ab = np.rint(colours[..., 0]).astype(int), colours[..., 1:]
    sums = [np.bincount(level.ravel(), each.ravel()) for each in (ab[..., 0], ab[..., 1])]
    tone = np.stack(sums, axis=-1) / np.maximum(np.bincount(level.ravel()), 1)[:, None]
    tone = tone.astype(np.float32)
    return tone, ab - tone[level]
