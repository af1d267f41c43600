"""Frames of PyAV <-> arrays of their planes."""

from typing import Any

import numpy as np

from common.film import pyav
from common.film.yuv import Coding

_NARROW, _FULL = 1, 2  # FFmpeg's colour ranges


def planes_of(frame: Any, dtype: type, count: int = 3) -> list[np.ndarray]:
    """The first planes of a planar frame, without what fills their lines."""
    return [_rows(plane, dtype)[:, : plane.width].copy() for plane in frame.planes[:count]]


def frame_of(planes: list[np.ndarray], layout: str, coding: Coding) -> Any:
    """Planes as a frame, with what its numbers mean."""
    height, width = planes[0].shape
    frame = pyav.av().VideoFrame(width, height, layout)
    for plane, values in zip(frame.planes, planes, strict=True):
        _rows(plane, coding.dtype)[:, : plane.width] = values
    frame.colorspace, frame.color_range = coding.matrix, colour_range(coding)
    return frame


def colour_range(coding: Coding) -> int:
    """FFmpeg's number for the range of a coding."""
    return _FULL if coding.full else _NARROW


def _rows(plane, dtype):
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)
