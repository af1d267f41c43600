"""Frames as video stores them, Y'CbCr, <-> L* and ab.

The values behind the matrix are taken for sRGB, as converters and most players show them. Chroma is
stored at a part of the size (4:2:0: a quarter) and enlarged by whoever shows the frame, here
bilinearly, with the samples where H.264 and H.265 have them. L* depends on chroma too. So chroma is
made first, rounded and enlarged as a player will, and then each pixel's Y' is solved for: what is
shown has the source's L* at every pixel, however coarse its chroma.
"""

import dataclasses
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from common.color import lab

# K_R and K_B by the code points of H.273, table 4.
MATRICES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_LEVELS = 4096  # of a table of linear light: L* is off by 0.02 at most
_NEAR = 0.4  # L* by which a pixel may miss its source before its chroma is reduced
_ROUNDS = 4  # of halving chroma; after the last one it is none
_BAND = 1 << 18  # pixels worked on at a time in one thread


@dataclasses.dataclass(frozen=True)
class Coding:
    """How numbers stand for colours.

    matrix: a key of `MATRICES`. full: whether Y' has the whole range rather than 16-235. bits: 8 to
    16. across, down: pixels per sample of chroma, 1 or 2.
    """

    matrix: int
    full: bool
    bits: int = 8
    across: int = 2
    down: int = 2

    @property
    def dtype(self) -> type:
        """Of the planes."""
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def grey(self) -> int:
        """The value of Cb and Cr that is no colour."""
        return 1 << (self.bits - 1)

    @property
    def luma(self) -> tuple[float, float]:
        """(offset, range) of Y'."""
        top = (1 << self.bits) - 1
        return (0.0, top) if self.full else (16.0 * top_of(self.bits), 219.0 * top_of(self.bits))

    @property
    def chroma(self) -> float:
        """The range of Cb and Cr."""
        return float((1 << self.bits) - 1) if self.full else 224.0 * top_of(self.bits)

    def chroma_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The size of Cb and Cr of a frame (H, W)."""
        return -(-shape[0] // self.down), -(-shape[1] // self.across)


def top_of(bits: int) -> int:
    """What a value of 8 bits is multiplied by."""
    return 1 << (bits - 8)


def lightness(planes: list[np.ndarray], coding: Coding) -> np.ndarray:
    """The L* of a frame: Y' (H, W), Cb and Cr (h, w) -> (H, W) float32.

    Without Cb and Cr, or where they hold no colour at all, it is that of Y' alone.
    """
    y = planes[0]
    if is_neutral(planes, coding):
        return np.take(_l_of_luma(coding), y)
    result = np.empty(y.shape, np.float32)

    def work(band, chroma):
        luma = _unit(y[band], coding)
        result[band] = lab.rgb_to_l(_rgb(luma, *_offsets(chroma, coding)))

    _by_bands(work, _enlarged(planes[1:], y.shape, coding))
    return result


def rgb(planes: list[np.ndarray], coding: Coding) -> np.ndarray:
    """A frame's colours, (H, W, 3) float32 sRGB in [0, 1], clipped."""
    luma = _unit(planes[0], coding)
    if len(planes) == 1:
        return np.clip(np.stack([luma] * 3, axis=2), 0, 1)
    return _rgb(luma, *_offsets(_enlarged(planes[1:], luma.shape, coding), coding))


def is_neutral(planes: list[np.ndarray], coding: Coding) -> bool:
    """Whether Cb and Cr hold no colour at all."""
    return all(
        int(plane.min()) == coding.grey == int(plane.max()) if plane.size else True
        for plane in planes[1:]
    )


def small_lightness(l: np.ndarray, coding: Coding) -> np.ndarray:
    """L* at the size of chroma as a grey sRGB picture, uint16: what a `Colorizer` takes."""
    height, width = coding.chroma_shape(l.shape)
    if (height, width) != l.shape:
        l = cv2.resize(l, (width, height), interpolation=cv2.INTER_AREA)
    return np.rint(lab.l_to_grey(np.clip(l, 0, 100)) * 65535).astype(np.uint16)


def coloured(l: np.ndarray, colours: np.ndarray, coding: Coding) -> list[np.ndarray]:
    """L* (H, W), and sRGB (h, w, 3) uint16 at the size of chroma -> Y', Cb and Cr.

    Shown, the frame has the given L* within 0.5 at every pixel; where Y' alone cannot give it, as
    at a white edge of a strong colour, chroma is reduced.
    """
    chroma = _luma_and_chroma(colours, coding)[1]
    codes = _chroma_codes(chroma, coding)
    target = lab.l_to_grey(np.clip(l, 0, 100))
    y: np.ndarray = np.empty(l.shape, coding.dtype)
    missed: np.ndarray = np.ones(l.shape, np.uint8)

    def work(band, part):
        if missed[band].any():
            y[band], missed[band] = _solved(target[band], _offsets(part, coding), coding)

    for attempt in range(_ROUNDS + 1):
        _by_bands(work, _enlarged([codes[..., 0], codes[..., 1]], l.shape, coding))
        if attempt == _ROUNDS or not missed.any():
            break
        missed = cv2.dilate(missed, np.ones((5, 5), np.uint8))  # whoever shares its chroma
        near = cv2.resize(missed * 255, codes.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
        chroma[near] *= 0.5 if attempt < _ROUNDS - 1 else 0
        codes = _chroma_codes(chroma, coding)
        missed = cv2.dilate(missed, np.ones((5, 5), np.uint8))
    return [y, np.ascontiguousarray(codes[..., 0]), np.ascontiguousarray(codes[..., 1])]


def of_rgb(pixels: np.ndarray, coding: Coding) -> list[np.ndarray]:
    """sRGB (H, W, 3), uint8 or uint16 -> Y', Cb and Cr in a coding with chroma at every pixel."""
    luma, chroma = _luma_and_chroma(pixels, coding)
    codes = _chroma_codes(chroma, coding)
    return [_luma_codes(luma, coding), *map(np.ascontiguousarray, cv2.split(codes))]


def recoded(planes: list[np.ndarray], source: Coding, target: Coding) -> list[np.ndarray]:
    """A frame in another coding of the same matrix; the same arrays where the two are one."""
    if len(planes) == 1:
        shape = target.chroma_shape(planes[0].shape)
        grey: list[np.ndarray] = [np.full(shape, target.grey, target.dtype)] * 2
        return [_luma_codes(_unit(planes[0], source), target), *grey]
    if source == target:
        return planes
    chroma = cv2.merge([plane.astype(np.float32) - source.grey for plane in planes[1:]])
    chroma = chroma * np.float32(1 / source.chroma)
    shape = target.chroma_shape(planes[0].shape)
    if shape != chroma.shape[:2]:
        smaller = shape[0] <= chroma.shape[0] and shape[1] <= chroma.shape[1]
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        chroma = cv2.resize(chroma, shape[::-1], interpolation=method)
    codes = _chroma_codes(chroma, target)
    return [
        _luma_codes(_unit(planes[0], source), target),
        *map(np.ascontiguousarray, cv2.split(codes)),
    ]


# --- The formulas ----------------------------------------------------------------------------


def _unit(y, coding):
    """Y' -> black 0, white 1, float32."""
    offset, reach = coding.luma
    return (y.astype(np.float32) - np.float32(offset)) * np.float32(1 / reach)


@functools.cache
def _l_of_luma(coding):
    """The L* of each value of Y' without colour."""
    values = _unit(np.arange(1 << coding.bits), coding)
    return lab.grey_to_l(np.clip(values, 0, 1).astype(np.float32))


def _luma_and_chroma(pixels, coding):
    """sRGB integers (h, w, 3) -> Y' (h, w) in [0, 1], Cb and Cr (h, w, 2) in [-0.5, 0.5]."""
    kr, kb = MATRICES[coding.matrix]
    r, g, b = cv2.split(pixels.astype(np.float32) * np.float32(1 / np.iinfo(pixels.dtype).max))
    luma = kr * r + (1 - kr - kb) * g + kb * b
    return luma, cv2.merge([(b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))])


def _luma_codes(luma, coding):
    """Black 0, white 1 -> Y'."""
    offset, reach = coding.luma
    low = 0 if coding.full else top_of(coding.bits)  # the two ends are for synchronisation
    top = (1 << coding.bits) - 1 - low
    codes = np.rint(luma * np.float32(reach) + np.float32(offset))
    return np.clip(codes, low, top).astype(coding.dtype)


def _chroma_codes(chroma, coding):
    top = (1 << coding.bits) - 1
    codes = np.rint(chroma * np.float32(coding.chroma) + np.float32(coding.grey))
    low = 0 if coding.full else top_of(coding.bits)
    return np.clip(codes, low, top - low).astype(coding.dtype)


def _enlarged(planes, shape, coding):
    """Cb and Cr at full size, (H, W, 2) float32 values of the coding."""
    chroma = cv2.merge([plane.astype(np.float32) for plane in planes])
    if (coding.across, coding.down) == (1, 1):
        return chroma
    # Its samples stand between two rows, and on every other column. In quarters, which OpenCV's
    # interpolation, in steps of 1/32, meets exactly.
    place = np.array([[1 / coding.across, 0, 0], [0, 1 / coding.down, -0.25 * (coding.down > 1)]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(chroma, place, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _offsets(chroma, coding):
    """What Cb and Cr add to Y' for R', G' and B'."""
    kr, kb = MATRICES[coding.matrix]
    cb, cr = (
        (chroma[..., i] - np.float32(coding.grey)) / np.float32(coding.chroma) for i in (0, 1)
    )
    r, b = np.float32(2 * (1 - kr)) * cr, np.float32(2 * (1 - kb)) * cb
    return r, (np.float32(-kr) * r - np.float32(kb) * b) / np.float32(1 - kr - kb), b


def _rgb(luma, r, g, b):
    return np.clip(np.stack([luma + r, luma + g, luma + b], axis=-1), 0, 1)


@functools.cache
def _tables():
    """Of `_LEVELS` values of sRGB: linear light, its slope, and L* per luminance; float32."""
    values = np.linspace(0, 1, _LEVELS)
    light = lab.srgb_to_linear(values)
    slope = np.gradient(light, values)
    per_luminance = np.gradient(lab.grey_to_l(values), values) / slope
    return light.astype(np.float32), slope.astype(np.float32), per_luminance.astype(np.float32)


def _solved(target, offsets, coding):
    """(Y' with which the luminance is that of the grey `target`, (h, w), where it is missed).

    By Newton's method: luminance rises with Y'.
    """
    light, slope, per_luminance = _tables()
    shape, target = target.shape, target.ravel()
    offsets = [offset.ravel() for offset in offsets]
    weighted = list(zip(map(np.float32, lab.LUMINANCE), offsets, strict=True))
    wanted = light.take(_index(target), mode="clip")
    luma = target - sum(weight * offset for weight, offset in weighted)

    def luminance(luma, at=None):
        reached, rise = np.zeros_like(luma), np.full_like(luma, 1e-3)
        for weight, offset in weighted:
            index = _index(luma + (offset if at is None else offset[at]))
            reached += weight * light.take(index, mode="clip")
            index[(index < 0) | (index >= _LEVELS)] = 0  # clipped: all but flat
            rise += weight * slope.take(index)
        return reached, rise

    at = None
    for _ in range(8):
        here = luma if at is None else luma[at]
        reached, rise = luminance(here, at)
        step = np.clip(((wanted if at is None else wanted[at]) - reached) / rise, -0.25, 0.25)
        if at is None:
            luma += step
        else:
            luma[at] = here + step
        large = np.abs(step) > 2e-3
        at = np.flatnonzero(large) if at is None else at[large]
        if not at.size:
            break
    codes = _luma_codes(luma, coding)
    missed = luminance(_unit(codes, coding))[0] - wanted
    missed *= per_luminance.take(_index(target), mode="clip")
    return codes.reshape(shape), (np.abs(missed) > _NEAR).reshape(shape)


def _index(values):
    return (values * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.int32)


def _by_bands(work, chroma):
    """Call `work(band, chroma of it)` for bands of rows, in threads."""
    height, width = chroma.shape[:2]
    rows = max(1, _BAND // width)
    bands = [slice(start, min(start + rows, height)) for start in range(0, height, rows)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda band: work(band, chroma[band]), bands))
