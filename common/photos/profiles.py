"""Colour profiles (ICC): any colours of a file -> sRGB.

Pillow's colour management, LittleCMS, treats 16-bit pictures as 8-bit ones and grey ones not at
all; profiles that are curves and a matrix are therefore applied here, in 16 bits.
"""

import contextlib
import functools
import io
import struct

import numpy as np
from imagecodecs import CmsError, cms_profile, cms_transform
from PIL import Image, ImageCms

from common.color import lab
from common.photos.pixels import eight_bit, from_pillow, sixteen_bit

# Linear sRGB -> XYZ (D50), the columns of every sRGB profile
_SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_RAMP = np.linspace(0, 1, 65536)
_SPACES = {"L": ("RGB", "GRAY"), "CMYK": ("CMYK",)}  # of a mode's profiles


def to_srgb(
    colour: Image.Image | np.ndarray, space: str, icc: bytes | None, notes: list[str]
) -> np.ndarray:
    """The colours and the space of `pixels.Samples` -> grey or sRGB, of the same depth or deeper.

    icc: the file's profile; None means sRGB. How unsuitable profiles were handled goes into notes.
    """
    if isinstance(colour, np.ndarray):
        if space == "LAB":
            return _transformed(colour, cms_profile("lab4"), "lab")
        if colour.dtype == np.uint16 and space == "CMYK":
            return _deep_cmyk_to_srgb(colour, icc, notes)
        if colour.dtype == np.uint16:
            return _deep_to_srgb(colour, icc, notes)
        if icc is None and space != "CMYK":
            return colour
        colour = Image.fromarray(colour, space)
    profile = _profile(icc, _SPACES.get(colour.mode, ("RGB",)), notes)
    if profile is None:
        return from_pillow(colour if colour.mode in ("L", "RGB") else colour.convert("RGB"))
    if colour.mode == "L" and profile.curves is not None:  # 8 bits, rounded twice, would show
        return profile.apply(sixteen_bit(from_pillow(colour)))
    if colour.mode == "L" and profile.space == "RGB":
        colour = colour.convert("RGB")
    in_place = colour.mode == "RGB"
    try:
        converted = ImageCms.profileToProfile(
            colour,
            ImageCms.ImageCmsProfile(io.BytesIO(icc or b"")),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            None if in_place else "RGB",
            in_place,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        notes.append("its colour profile is damaged: taken for sRGB")
        return from_pillow(colour if colour.mode in ("L", "RGB") else colour.convert("RGB"))
    return from_pillow(converted or colour)


def _deep_to_srgb(colour, icc, notes):
    """`to_srgb` of a uint16 array."""
    profile = _profile(icc, _SPACES["L"] if colour.ndim == 2 else ("RGB",), notes)
    if profile is None:
        return colour
    if profile.curves is not None:
        return profile.apply(colour)
    notes.append("its colour profile is a table: converted with 8 bits")
    return sixteen_bit(to_srgb(Image.fromarray(eight_bit(colour)), "RGB", icc, notes))


def _deep_cmyk_to_srgb(inks, icc, notes):
    """`to_srgb` of CMYK, uint16."""
    if _profile(icc, _SPACES["CMYK"], notes) is not None:
        try:
            return _transformed(inks, icc, "cmyk")
        except CmsError:
            notes.append("its colour profile is damaged: left out")
    result = np.empty((*inks.shape[:2], 3), np.uint16)
    for row, target in zip(inks, result, strict=True):
        light = 1 - row / np.float32(65535)
        target[:] = np.round(65535 * light[:, :3] * light[:, 3:])
    return result


def _transformed(colour, icc, space):
    """uint16 of a colour space with a profile -> sRGB, uint16, by LittleCMS."""
    return cms_transform(
        colour,
        icc,
        srgb_profile(),
        colorspace=space,
        outcolorspace="rgb",
        intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # Without NOOPTIMIZE, older versions round to a table of 8 bits.
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
    )


def _profile(icc, spaces, notes):
    """The profile to apply, of one of these colour spaces; None where the colours are sRGB."""
    profile = _Profile(icc) if icc else None
    if profile and profile.space not in spaces:
        notes.append("its colour profile is of another kind or damaged: taken for sRGB")
        return None
    return None if profile is None or profile.is_srgb else profile


@functools.cache
def srgb_profile() -> bytes:
    """The sRGB profile that results are tagged with."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class _Profile:
    """An ICC profile: `space`, and where it has no tables its `curves` and `matrix`.

    curves: (1 or 3, 65536) float64, linear light of each 16-bit value. matrix: (3, 3), linear
    light -> XYZ (D50). Both are None for a profile of tables.
    """

    def __init__(self, icc):
        self.space = icc[16:20].decode("latin-1").strip()
        self.curves = self.matrix = None
        with contextlib.suppress(KeyError, ValueError, IndexError, struct.error):
            self._parse(icc)
        self.is_srgb = (
            self.space == "RGB"
            and self.curves is not None
            and np.abs(self.matrix - _SRGB).max() < 2e-3
            and np.abs(self.curves - lab.srgb_to_linear(_RAMP)).max() < 2e-3
        )

    def _parse(self, icc):
        (count,) = struct.unpack_from(">I", icc, 128)
        entries = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 100))]
        tags = {name: icc[offset : offset + size] for name, offset, size in entries}
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

    def apply(self, pixels):
        """uint16, grey (H, W) or RGB (H, W, 3) -> sRGB, the same shape and dtype."""
        assert self.curves is not None  # a profile of tables is applied by Pillow
        if pixels.ndim == 2:  # equal amounts of the three colours are grey in every profile
            grey = lab.linear_to_srgb(self.curves.mean(axis=0))
            return np.round(65535 * grey).astype(np.uint16)[pixels]
        matrix = np.linalg.inv(_SRGB) @ self.matrix
        result = np.empty_like(pixels)
        for row, target in zip(pixels, result, strict=True):
            linear = np.stack([curve[row[:, i]] for i, curve in enumerate(self.curves)], axis=1)
            target[:] = np.round(65535 * lab.linear_to_srgb(np.clip(linear @ matrix.T, 0, 1)))
        return result


def _curve(tag):
    """An ICC curve, `curv` or `para`, over all 16-bit values."""
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
