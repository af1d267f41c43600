"""sRGB <-> CIE L*a*b* (D65, 2° observer): one formula, for NumPy and for `keras.ops`.

L* runs from 0 to 100; within the sRGB gamut a* runs from -86.2 to 98.2 and b* from -107.9 to
94.5. The constants are scikit-image's, with which the tests compare.

`xp` is the array namespace. By default arrays are NumPy's, whose values are checked and which are
computed with OpenCV where that is faster. With `keras.ops` they are tensors, symbolic ones too, of
which only the dtype is checked; gradients are finite everywhere, black included.
"""

import functools
import types
from typing import Any, NamedTuple

import cv2
import numpy as np

from common.config import Config

# Linear sRGB -> XYZ as shares of the white point (0.95047, 1, 1.08883), and back.
_TO_XYZ = np.array(
    [
        [0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047],
        [0.212671, 0.715160, 0.072169],
        [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
    ]
)
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
LUMINANCE = tuple(_TO_XYZ[1].tolist())  # the shares of linear red, green and blue

# f(XYZ) -> Lab, and back, as 3 x 4 matrices: the last column is added.
_TO_LAB = np.array([[0, 116, 0, -16], [500, -500, 0, 0], [0, 200, -200, 0]], np.float64)
_FROM_LAB = np.linalg.inv(np.vstack([_TO_LAB, [0, 0, 0, 1]]))[:3]


class _Curve(NamedTuple):
    """A power above a knee, a straight line below it, written without a branch:

    `gain * (max(x, knee) + shift) ** exponent + slope * min(x, knee) + offset`.

    The power is never taken of zero, where the slope of a root is infinite.
    """

    knee: float
    shift: float
    exponent: float
    gain: float
    slope: float
    offset: float


# sRGB value -> linear light, both in [0, 1], and back.
_LINEAR = _Curve(0.04045, 0.055, 2.4, 1.055**-2.4, 1 / 12.92, -0.04045 / 12.92)
_ENCODED = _Curve(0.0031308, 0.0, 1 / 2.4, 1.055, 12.92, -0.055 - 0.0031308 * 12.92)

# CIE's f: share of white -> the scale on which L*, a* and b* are straight lines, and back.
_F = _Curve(0.008856, 0.0, 1 / 3, 1.0, 7.787, -0.008856 * 7.787)
_F_INVERSE = _Curve(0.206893, 0.0, 3.0, 1.0, 1 / 7.787, -0.206893 / 7.787)

_LEVELS = {"uint8": 256, "uint16": 65536}
_SLACK = 1e-3  # of a range: the rounding error that a caller's arithmetic may have added
BLOCK = 1 << 14  # pixels processed at a time, so that intermediate results stay in the cache

# NumPy, with OpenCV for two functions, in which it is several times as fast.
_NUMPY = types.SimpleNamespace(
    minimum=lambda x, limit: cv2.threshold(x, limit, 0, cv2.THRESH_TRUNC)[1].reshape(x.shape),
    power=lambda x, exponent: cv2.pow(x, exponent).reshape(x.shape),
    clip=np.clip,
    cast=np.ndarray.astype,
)


def rgb_to_lab(rgb: Any, xp: Any = None) -> Any:
    """sRGB -> Lab: (..., 3) uint8, uint16 or float in [0, 1] -> the same shape, float32.

    Integers are in [0, 255] and [0, 65535]. Raises ValueError for any other dtype or shape, and for
    floats beyond [0, 1]: 0-255 kept as float would give wrong colours silently.
    """
    if _is_numpy(xp):
        return _by_blocks(_lab_from_rgb, _checked(rgb, "sRGB"), 3)
    return _lab_from_rgb(rgb, xp)


def lab_to_rgb(lab: Any, xp: Any = None) -> Any:
    """Lab -> sRGB: (..., 3) float -> the same shape, float32 in [0, 1], clipped.

    Clipping a colour beyond the gamut changes its L*; call `into_gamut` first to keep L*.
    Raises ValueError for integers, for another shape and for L* beyond [0, 100].
    """
    if _is_numpy(xp):
        return _by_blocks(_rgb_from_lab, _checked(lab, "Lab"), 3)
    return _rgb_from_lab(lab, xp)


def rgb_to_l(rgb: Any, xp: Any = None) -> Any:
    """The L* of `rgb_to_lab` alone, float32: colour (..., 3) -> (...), or grey (...) -> (...).

    A last axis of 3 always means colour: for grey pictures of any width call `grey_to_l`.
    """
    if not len(rgb.shape) or rgb.shape[-1] != 3:
        return grey_to_l(rgb, xp)
    if _is_numpy(xp):
        return _by_blocks(_l_from_rgb, _checked(rgb, "sRGB"), 1)[..., 0]
    return _l_from_rgb(rgb, xp)[..., 0]


def grey_to_l(grey: Any, xp: Any = None) -> Any:
    """Grey sRGB values -> L*, float32, any shape; dtypes and errors as in `rgb_to_lab`."""
    if _is_numpy(xp):
        return _by_blocks(_l_from_grey, _checked(grey, "grey")[..., None], 1)[..., 0]
    return _l_from_grey(grey, xp)


def l_to_grey(lightness: Any, xp: Any = None) -> Any:
    """L* -> grey sRGB value, any shape, float32 in [0, 1]: the inverse of `grey_to_l`.

    Raises ValueError for integers and for L* beyond [0, 100].
    """
    if _is_numpy(xp):
        return _by_blocks(_grey_from_l, _checked(lightness, "L*")[..., None], 1)[..., 0]
    return _grey_from_l(lightness, xp)


def into_gamut(lab: np.ndarray) -> np.ndarray:
    """Bring every colour into the sRGB gamut by reducing its chroma; L* and hue stay.

    (..., 3) float NumPy array -> the same shape, float32; errors as in `lab_to_rgb`. A colour
    within the gamut is returned unchanged. After `lab_to_rgb` and rounding to 8 bits, L* is within
    0.3 at every pixel, nearly all of it the rounding.
    """
    return _by_blocks(_pulled_in, _checked(lab, "Lab"), 3)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values -> linear light, floats in [0, 1]; shape and dtype stay. NumPy alone."""
    return _bend(srgb.ravel(), _LINEAR).reshape(srgb.shape)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light -> sRGB values, floats in [0, 1]; shape and dtype stay. NumPy alone."""
    return _bend(linear.ravel(), _ENCODED).reshape(linear.shape)


def ab_of(lab: np.ndarray) -> np.ndarray:
    """The ab of Lab, (..., 3) -> (..., 2) float32, in memory of its own; NumPy alone.

    What is done next is several times as fast as with the slice `lab[..., 1:]`.
    """
    ab = np.empty((*lab.shape[:-1], 2), np.float32)
    cv2.mixChannels([lab.reshape(1, -1, 3)], [ab.reshape(1, -1, 2)], [1, 0, 2, 1])
    return ab


def scale(values: Any, by: float, offset: float = 0.0) -> Any:
    """Lab values -> a network's, `values * by + offset`, as in `keras.layers.Rescaling`."""
    return values * by + offset


def unscale(values: Any, by: float, offset: float = 0.0) -> Any:
    """A network's values -> Lab: the inverse of `scale`."""
    return (values - offset) / by


def scale_l(l: Any, scaling: Config) -> Any:
    """L* -> the network's: by `l_scale` and `l_offset` of a config."""
    return scale(l, scaling.l_scale, scaling.l_offset)


def unscale_l(l: Any, scaling: Config) -> Any:
    """The network's L* -> L*: the inverse of `scale_l`."""
    return unscale(l, scaling.l_scale, scaling.l_offset)


def scale_ab(ab: Any, scaling: Config) -> Any:
    """ab in Lab units -> the network's: by `ab_scale` and `ab_offset` of a config."""
    return scale(ab, scaling.ab_scale, scaling.ab_offset)


def unscale_ab(ab: Any, scaling: Config) -> Any:
    """The network's ab -> ab in Lab units: the inverse of `scale_ab`."""
    return unscale(ab, scaling.ab_scale, scaling.ab_offset)


# --- The formula -----------------------------------------------------------------------------


def _lab_from_rgb(rgb, xp=_NUMPY):
    return _mix(_bend(_mix(_linear(rgb, xp), _TO_XYZ, xp), _F, xp), _TO_LAB, xp)


def _l_from_rgb(rgb, xp=_NUMPY):
    return 116.0 * _bend(_mix(_linear(rgb, xp), _TO_XYZ[1:2], xp), _F, xp) - 16.0


def _l_from_grey(grey, xp=_NUMPY):
    return 116.0 * _bend(_linear(grey, xp), _F, xp) - 16.0


def _rgb_from_lab(lab, xp=_NUMPY):
    return xp.clip(_bend(_linear_from_lab(lab, xp), _ENCODED, xp), 0.0, 1.0)


def _grey_from_l(lightness, xp=_NUMPY):
    f = (_float(lightness, "L*", xp) + 16.0) * (1 / 116)
    return xp.clip(_bend(_bend(f, _F_INVERSE, xp), _ENCODED, xp), 0.0, 1.0)


def _linear_from_lab(lab, xp=_NUMPY):
    """Lab -> linear light, beyond [0, 1] where the colour is beyond the gamut."""
    f = _mix(_float(lab, "Lab", xp), _FROM_LAB, xp)
    return _mix(_bend(f, _F_INVERSE, xp), _FROM_XYZ, xp)


def _linear(rgb, xp):
    """sRGB of any allowed dtype -> linear light, float32."""
    levels = _LEVELS.get(_dtype(rgb))
    if levels is None:
        return _bend(_float(rgb, "sRGB", xp), _LINEAR, xp)
    if xp is not _NUMPY:
        return xp.take(_linear_table(levels), xp.cast(rgb, "int32"))
    if levels == 256:
        return cv2.LUT(rgb, _linear_table(levels)).reshape(rgb.shape)
    return np.take(_linear_table(levels), rgb)


@functools.cache
def _linear_table(levels):
    """Linear light of each of the 256 or 65,536 integer values, float32."""
    return _bend(np.linspace(0.0, 1.0, levels), _LINEAR).astype(np.float32)


def _bend(x, curve, xp=_NUMPY):
    """Apply `curve` to every value of `x`."""
    below = xp.minimum(x, curve.knee)
    above = x - below
    above += curve.knee + curve.shift  # with NumPy in place, as below: half the passes over memory
    above = xp.power(above, curve.exponent)
    if curve.gain != 1:
        above *= curve.gain
    below *= curve.slope
    below += curve.offset
    above += below
    return above


def _mix(x, matrix, xp=_NUMPY):
    """Multiply the last axis, of 3, by `matrix`; a fourth column of the matrix is added."""
    if xp is _NUMPY:
        return cv2.transform(x.reshape(-1, 1, 3), matrix).reshape(-1, len(matrix))
    # Products and sums, since a GPU's matrix units would round to ten bits (TF32).
    r, g, b = x[..., 0], x[..., 1], x[..., 2]
    rows = [[*row, 0.0][:4] for row in matrix.tolist()]
    return xp.stack([i * r + j * g + k * b + plus for i, j, k, plus in rows], axis=-1)


def _by_blocks(function, array, channels):
    """Apply `function`, (n, c) -> (n, channels) float32, to the pixels of a NumPy array."""
    pixels = array.reshape(-1, array.shape[-1])
    result = np.empty((len(pixels), channels), np.float32)
    for start in range(0, len(pixels), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = function(pixels[block])
    return result.reshape(*array.shape[:-1], channels)


# --- The gamut -------------------------------------------------------------------------------

_GAMUT_LIGHTNESSES, _GAMUT_HUES = 513, 1024


def _pulled_in(lab):
    """`into_gamut` for a block of pixels, (n, 3) float32."""
    lightness, a, b = cv2.split(lab.reshape(-1, 1, 3))
    chroma, hue = cv2.cartToPolar(a, b)
    limit = cv2.remap(
        _chroma_limits(),
        hue * np.float32(_GAMUT_HUES / (2 * np.pi)),
        lightness * np.float32((_GAMUT_LIGHTNESSES - 1) / 100),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shrink = np.minimum(limit / np.maximum(chroma, 1e-6), 1.0)
    beyond = np.flatnonzero(shrink < 1.0)
    if beyond.size:  # between the table's nodes and near pure yellow the limit is too strict
        inside = _in_gamut(_linear_from_lab(lab[beyond]))
        shrink.ravel()[beyond[inside]] = 1.0
    return cv2.merge([lightness, a * shrink, b * shrink]).reshape(-1, 3)


def _in_gamut(linear):
    """Linear light (n, 3) -> (n,) bool; the margin is that of float32."""
    low, high = (-1e-5,) * 3, (1 + 1e-5,) * 3
    return cv2.inRange(linear.reshape(-1, 1, 3), low, high).ravel() > 0


@functools.cache
def _chroma_limits():
    """The largest chroma up to which every colour is within the gamut, a (513, 1025) float32 table.

    Rows are L* from 0 to 100, columns hue from 0 to 2π, both ends included; computed by bisection.
    Where a ray from grey leaves the gamut and re-enters it, just below pure yellow, the limit is
    where it first leaves.
    """
    hue = np.linspace(0.0, 2 * np.pi, _GAMUT_HUES + 1)
    toward = np.stack([np.cos(hue), np.sin(hue)], axis=1).astype(np.float32)
    limits = np.zeros((_GAMUT_LIGHTNESSES, hue.size), np.float32)
    lab = np.empty((27, hue.size, 3), np.float32)  # 27 rows at a time, for the cache
    for start in range(0, _GAMUT_LIGHTNESSES, len(lab)):
        rows = limits[start : start + len(lab)]
        lab[..., 0] = np.arange(start, start + len(lab))[:, None] * (100 / (_GAMUT_LIGHTNESSES - 1))
        step = np.float32(70)  # halved each time, so up to 140; the gamut ends at 134
        while step > 4e-3:
            lab[..., 1:] = (rows + step)[..., None] * toward
            rows += step * _in_gamut(_linear_from_lab(lab)).reshape(rows.shape)
            step /= 2
    return limits


# --- Checks of arguments ---------------------------------------------------------------------


def _is_numpy(xp):
    return xp is None or xp is np


def _dtype(x):
    """The name of a dtype, whatever the backend: "uint8", "float32", "bfloat16"."""
    return getattr(x.dtype, "name", str(x.dtype)).split(".")[-1]


def _float(x, kind, xp):
    """Floats as float32; kind: "sRGB", "grey", "Lab" or "L*"."""
    dtype = _dtype(x)
    if "float" in dtype:
        return x if dtype == "float32" else xp.cast(x, "float32")
    if kind in ("sRGB", "grey"):
        rule = "must be uint8, uint16 or float in [0, 1]; convert it first"
    else:
        rule = (
            "must be float, with L* in [0, 100] and a*, b* about -110 to 100; integers have lost "
            "the fractions or are another encoding"
        )
    raise ValueError(f"{kind} {rule}. Received: {dtype}.")


def _checked(array, kind):
    """A NumPy array of the right dtype, shape and range, floats as float32."""
    array = np.asarray(array)
    if kind in ("sRGB", "Lab") and (not array.ndim or array.shape[-1] != 3):
        raise ValueError(
            f"{kind} must have its 3 channels in the last axis. Received: shape {array.shape}."
        )
    if kind in ("sRGB", "grey"):
        if array.dtype.name in _LEVELS:
            return array
        values, top, name = array, 1.0, f"float {kind}"
        way_out = "divide 0-255 by 255, clip what overshoots"
    else:
        values, top, name = (array[..., 0] if kind == "Lab" else array), 100.0, "L*"
        way_out = "undo an 8-bit encoding by L * 100 / 255, a - 128, b - 128"
    array = _float(array, kind, _NUMPY).astype(np.float32, copy=False)  # native byte order
    if values.size:
        low, high = float(values.min()), float(values.max())
        if not (-_SLACK * top <= low and high <= top + _SLACK * top):  # NaN is refused as well
            raise ValueError(
                f"{name} must be in [0, {top:g}]. Received: {low:g} to {high:g}; {way_out}."
            )
    return array
