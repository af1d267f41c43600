"""The views and the faults of `augment` for a batch, by `keras.ops`: inside the compiled step.

The same numbers are drawn, by `drawn`, and lead to the same pictures: L* and ab as of `augment`,
but for a level of the 8 bits where OpenCV rounds otherwise.
"""

from collections.abc import Collection, Sequence
from typing import Any

import cv2
import numpy as np
from keras import ops

from common.training import augment


def drawn(
    kinds: Collection[str], side: int, seed: int, numbers: Sequence[int]
) -> dict[str, np.ndarray]:
    """What was drawn for pictures of the run, as arrays that travel to the device with them.

    {"part": (N, 4), "matrix": (N, 2, 3), "flip": (N,)} float32, what `kinds` needs of them, and for
    "age" {"faults": (N, 12)}. side: of the pictures, in pixels.
    """
    arrays: dict[str, np.ndarray] = {}
    views = [augment.view(kinds, side, seed, number) for number in numbers]
    if "crop" in kinds:
        arrays["part"] = np.array([view.part for view in views], np.float32)
    if augment.moves(kinds):
        back = [cv2.invertAffineTransform(view.matrix) for view in views]
        arrays["matrix"] = np.array(back, np.float32)
    if "flip" in kinds:
        arrays["flip"] = np.array([view.flip for view in views], np.float32)
    if "age" in kinds:
        faults = [augment.faults(side, seed, number) for number in numbers]
        arrays["faults"] = np.array(
            [[*each[:4], *each.at, *sum(each.scratches, ())] for each in faults], np.float32
        )
    return arrays


def augmented(rgb: Any, arrays: dict[str, Any]) -> Any:
    """(N, S, S, 3) uint8 -> the views that were drawn, uint8; arrays: of `drawn`."""
    side = rgb.shape[1]
    line = np.arange(side, dtype=np.float32)
    if "part" in arrays:
        top, left, height, width = (arrays["part"][:, i, None] for i in range(4))
        rows = top + ops.clip((line + 0.5) * (height / side) - 0.5, 0, height - 1)
        columns = left + ops.clip((line + 0.5) * (width / side) - 0.5, 0, width - 1)
        rgb = _sampled(rgb, rows[:, :, None], columns[:, None, :])
    if "matrix" in arrays:
        m = arrays["matrix"][:, :, :, None, None]
        columns, rows = (
            m[:, i, 0] * line + m[:, i, 1] * line[:, None] + m[:, i, 2] for i in (0, 1)
        )
        rgb = _sampled(rgb, rows, columns)
    if "flip" in arrays:
        rgb = ops.where(arrays["flip"][:, None, None, None] > 0, rgb[:, :, ::-1], rgb)
    return rgb


def aged(l: Any, arrays: dict[str, Any]) -> Any:
    """L* (N, S, S) float32 in [0, 100] -> with the faults that were drawn."""
    numbers = [arrays["faults"][:, i, None, None] for i in range(12)]
    blur, contrast, exposure, grain, row, column = numbers[:6]
    side, field = l.shape[-1], augment.noise(l.shape[-1])
    line = np.arange(side, dtype="int32")
    places = (ops.cast(row, "int32") + line[:, None]) * len(field)
    places = places + ops.cast(column, "int32") + line
    grain = grain * ops.take(ops.convert_to_tensor(field.ravel()), places)
    return augment.worn(
        _blurred(l, blur), contrast, exposure, grain, [numbers[6:9], numbers[9:]], ops
    )


def _blurred(l, deviation):
    """By the kernel of `cv2.GaussianBlur`, which ends at four standard deviations."""
    side, reach = l.shape[-1], _radius(np.float32(augment.BLUR[1]), np)
    # Without blur the kernel is its middle.
    deviation = ops.maximum(deviation, 1e-3)
    offsets = np.arange(-int(reach), int(reach) + 1, dtype=np.float32)
    taps = ops.exp(-0.5 * ops.square(offsets / deviation))
    taps = ops.where(np.abs(offsets) <= _radius(deviation, ops), taps, 0.0)
    taps = taps / ops.sum(taps, -1, keepdims=True)  # (N, 1, taps)
    clamped = np.clip(np.arange(-int(reach), side + int(reach)), 0, side - 1)
    for axis in (1, 2):
        wide = ops.take(l, clamped, axis=axis)
        parts = [
            taps[:, :, i, None] * (wide[:, i : i + side] if axis == 1 else wide[:, :, i : i + side])
            for i in range(len(offsets))
        ]
        l = sum(parts[1:], parts[0])
    return l


def _radius(deviation, xp):
    """How far the kernel of a float picture reaches: OpenCV takes round(8 deviation + 1) | 1."""
    return xp.floor(xp.round(deviation * 8 + 1) / 2)


def _sampled(rgb, rows, columns):
    """uint8 (N, S, S, 3) at rows and columns in pixels, (N, S or 1, S or 1): bilinear, rounded.

    Beyond the border the picture is mirrored about its last pixels.
    """
    count, side = rgb.shape[0] or ops.shape(rgb)[0], rgb.shape[1]
    flat = ops.reshape(rgb, (-1, 3))
    first = ops.reshape(ops.arange(count, dtype="int32"), (-1, 1, 1)) * (side * side)
    above, left = ops.floor(rows), ops.floor(columns)
    down, across = (rows - above)[..., None], (columns - left)[..., None]

    def inside(index):
        index = ops.cast(index, "int32")
        return side - 1 - ops.abs(side - 1 - ops.abs(index))

    def at(y, x):
        return ops.cast(ops.take(flat, first + inside(y) * side + inside(x), axis=0), "float32")

    top = at(above, left) * (1 - across) + at(above, left + 1) * across
    bottom = at(above + 1, left) * (1 - across) + at(above + 1, left + 1) * across
    return ops.cast(ops.round(top * (1 - down) + bottom * down), "uint8")
