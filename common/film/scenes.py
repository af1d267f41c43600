"""Where a scene ends, and whether it is in colour."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from common import photos
from common.film import flow, yuv
from common.film.yuv import Coding

SIDE = 64  # of the small frames that are compared
UNLIKE = 0.45  # of a frame's contrast: a larger part that motion does not explain is a cut
_DARK = 1.0  # L*: a lower contrast is noise
PERSISTENCE = 12  # frames in a row that change a scene from grey to colour, or back


def tiny(l: np.ndarray) -> np.ndarray:
    """L* (H, W) float32 -> (SIDE, SIDE), what `unlikeness` takes."""
    return cv2.resize(l, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def unlikeness(earlier: np.ndarray, later: np.ndarray) -> float:
    """How much of the later frame motion and light do not explain: 0, the same, to about 1.5."""
    motion = flow.moved(later, earlier, cv2.DISOPTICAL_FLOW_PRESET_FAST)
    brought = flow.fetched(earlier, flow.grid(SIDE) + motion)
    return min(_unexplained(brought, later), _unexplained(earlier, later))


def _unexplained(brought, later):
    """The mean difference, in units of contrast, with or without a change of the light's."""
    first, second = brought - brought.mean(), later - later.mean()
    contrasts = [max(float(each.std()), _DARK) for each in (first, second)]
    same = np.abs(second - first).mean() / max(contrasts)
    evened = np.abs(second / contrasts[1] - first / contrasts[0]).mean()
    return float(min(same, evened))


def in_colour(planes: list[np.ndarray], coding: Coding) -> bool:
    """Whether a frame has colours, rather than none or a single tone such as sepia."""
    if yuv.is_neutral(planes, coding):
        return False
    small = [cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for plane in planes]
    rgb = yuv.rgb(small, dataclasses.replace(coding, across=1, down=1))
    return not photos.is_grey(np.rint(rgb * 255).astype(np.uint8))


def decided(flags: Sequence[bool], before: bool | None) -> bool:
    """Whether a frame is taken for one in colour.

    flags: `in_colour` of the frame and of those behind it in its scene, as far as they are known.
    before: what the frame before was taken for, or None at a scene's beginning, where the majority
    decides. Within a scene `PERSISTENCE` frames must agree, so that a dark or pale moment does not.
    """
    if before is None:
        return 2 * sum(flags) > len(flags)
    coming = flags[:PERSISTENCE]
    return before if len(coming) < PERSISTENCE or before in coming else not before
