"""Colour profiles (ICC): any colours of a file -> sRGB.

Profiles that are curves and a matrix are applied here, in 16 bits, since LittleCMS is exact for
them only at a tenth of the speed; it does those that are tables.
"""

import functools
import re
import struct

import numpy as np
from imagecodecs import CmsError, cms_profile, cms_transform
from PIL import ImageCms

from common.color import lab
from common.photos.formats import PhotoError
from common.photos.pixels import Samples, from_pillow, sixteen_bit

# Linear sRGB -> XYZ (D50), the columns of every sRGB profile
_SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_RAMP = np.linspace(0, 1, 65536)
_SPACES = {"L": ("RGB", "GRAY"), "RGB": ("RGB",), "CMYK": ("CMYK",)}  # of a picture's profiles
_BAND = 1 << 18  # pixels converted at a time
_UNFIT = "its colour profile is damaged or of another kind: left out"
_HDR = re.compile(rb"(?<![A-Za-z0-9])(PQ|HLG)(?![A-Za-z0-9])|ST ?2084")  # in a description
_TRANSFERS = {16: "PQ", 18: "HLG"}  # H.273


def to_srgb(samples: Samples, icc: bytes | None, notes: list[str]) -> np.ndarray:
    """The colours of what a decoder returned -> grey or sRGB; grey may become 16 bits.

    icc: the file's profile; None means sRGB. A profile that does not fit is left out, with a note.
    Raises PhotoError for one of HDR.
    """
    colour, space = samples.colour, samples.space
    pixels = colour if isinstance(colour, np.ndarray) else from_pillow(colour)
    if space == "LAB":
        return _by_lcms(pixels, cms_profile("lab4"), "lab")
    try:
        profile = _Profile(icc) if icc else None
        if profile and profile.space not in _SPACES[space]:
            raise ValueError(f"a profile of {profile.space} for {space}")
        if profile is None or profile.is_srgb:
            return _without_profile(pixels, space)
        if space == "L":  # 8 bits, rounded twice, would show
            return profile.of_greys[pixels if pixels.dtype == np.uint16 else sixteen_bit(pixels)]
        if profile.curves is not None:
            return profile.apply(pixels)
        return _by_lcms(pixels, profile.icc, space.lower())
    except (CmsError, KeyError, ValueError, IndexError, ArithmeticError, struct.error):
        notes.append(_UNFIT)
        return _without_profile(pixels, space)


def _without_profile(pixels, space):
    """Grey and RGB are taken for sRGB; inks let light through in proportion."""
    if space != "CMYK":
        return pixels
    most = np.iinfo(pixels.dtype).max
    result = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for row, target in zip(pixels, result, strict=True):
        light = 1 - row / np.float32(most)
        target[:] = np.round(most * light[:, :3] * light[:, 3:])
    return result


def _by_lcms(pixels, icc, space):
    """(..., channels) of a colour space with a profile -> sRGB of the same dtype, by LittleCMS."""
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if pixels.dtype == np.uint16:  # else it interpolates in a table, in older versions of 8 bits
        flags |= ImageCms.Flags.NOOPTIMIZE
    return cms_transform(
        pixels,
        icc,
        srgb_profile(),
        colorspace=space,
        outcolorspace="rgb",
        intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=flags,
    )


@functools.cache
def srgb_profile() -> bytes:
    """The sRGB profile that results are tagged with, the same at any time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # when it was made
    return bytes(profile)


class _Profile:
    """An ICC profile: `space`, and where it has no tables its `curves` and `matrix`.

    curves: (1 or 3, 65536) float64, linear light of each 16-bit value. matrix: (3, 3), linear
    light -> XYZ (D50). Both are None for a profile of tables. Raises PhotoError for HDR, and any of
    ValueError, KeyError, IndexError, ArithmeticError and struct.error for a damaged profile.
    """

    def __init__(self, icc):
        self.icc = icc
        self.space = icc[16:20].decode("latin-1").strip()
        self.curves = self.matrix = None
        (count,) = struct.unpack_from(">I", icc, 128)
        entries = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 100))]
        tags = {name: icc[offset : offset + size] for name, offset, size in entries}
        described = _HDR.search(tags.get(b"desc", b"")[8:].replace(b"\0", b""))
        if described and self.space == "RGB":
            refuse_hdr(18 if described[0] == b"HLG" else 16)
        refuse_hdr(tags.get(b"cicp", bytes(12))[9])
        if b"A2B0" in tags or b"A2B1" in tags:
            return
        if self.space == "GRAY":
            self.curves = np.stack([_curve(tags[b"kTRC"])])
        elif self.space == "RGB":
            columns = [
                struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")
            ]
            self.matrix = np.transpose(columns) / 65536
            self.curves = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
            if np.linalg.det(self.matrix) < 1e-3:
                raise ValueError("its primaries are no three colours")

    @property
    def is_srgb(self):
        """Whether it changes no colour visibly."""
        return (
            self.space == "RGB"
            and self.curves is not None
            and np.abs(self.matrix - _SRGB).max() < 2e-3
            and np.abs(self.curves - lab.srgb_to_linear(_RAMP)).max() < 2e-3
        )

    @property
    def of_greys(self):
        """(65536,) uint16: the grey sRGB value of each of a grey picture's."""
        if self.curves is not None:  # equal amounts of the three colours are grey in every profile
            grey = lab.linear_to_srgb(self.curves.mean(axis=0))
        else:
            ramp = np.arange(65536, dtype=np.uint16)[None]
            if self.space == "RGB":
                ramp = np.repeat(ramp[..., None], 3, axis=2)
            grey = lab.l_to_grey(lab.rgb_to_l(_by_lcms(ramp, self.icc, self.space.lower())[0]))
        return np.round(65535 * grey).astype(np.uint16)

    def apply(self, pixels):
        """RGB (H, W, 3), uint8 or uint16 -> sRGB, the same shape and dtype."""
        assert self.curves is not None  # LittleCMS applies a profile of tables
        most = np.iinfo(pixels.dtype).max
        curves = self.curves[:, :: 65535 // most].astype(np.float32)
        matrix = (np.linalg.inv(_SRGB) @ self.matrix).astype(np.float32)
        result = np.empty_like(pixels)
        rows = max(1, _BAND // pixels.shape[1])
        for top in range(0, len(pixels), rows):
            band = pixels[top : top + rows]
            linear = np.stack([curve[band[..., i]] for i, curve in enumerate(curves)], axis=-1)
            srgb = lab.linear_to_srgb(np.clip(linear @ matrix.T, 0, 1))
            np.rint(srgb * most, out=result[top : top + rows], casting="unsafe")
        return result


def refuse_hdr(transfer: int) -> None:
    """Raise PhotoError for the transfer functions, by their numbers in H.273, of HDR."""
    if name := _TRANSFERS.get(transfer):
        raise PhotoError(
            f"HDR ({name}), whose lightness depends on the screen; save it as SDR, in sRGB"
        )


def _curve(tag):
    """An ICC curve, `curv` or `para`, over all 16-bit values."""
    with np.errstate(all="ignore"):  # what is no curve is no finite one
        curve = _values(tag)
    if not (np.isfinite(curve).all() and curve[-1] > curve[0]):
        raise ValueError("a curve that does not rise")
    return np.clip(curve, 0, 1)


def _values(tag):
    """What a curve says, checked by `_curve`; errors as those of `_Profile`."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return _RAMP ** (values[0] / 256 if count else 1)
        return np.interp(_RAMP, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    g, *rest = (value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12))
    a, b = rest[:2] if kind else (1, 0)
    c, d = rest[2:4] if kind > 2 else (0, -b / a)
    e, f = rest[4:] if kind == 4 else (rest[2], rest[2]) if kind == 2 else (0, 0)
    return np.where(d <= _RAMP, np.maximum(a * _RAMP + b, 0) ** g + e, c * _RAMP + f)
