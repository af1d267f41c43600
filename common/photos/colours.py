"""What a file says of its colours -> an ICC profile, None meaning sRGB.

Code points are those of H.273 (CICP), as PNG, AVIF and HEIF use them.
"""

import re
import struct
import zlib
from typing import BinaryIO

import numpy as np
from imagecodecs import CmsError, cms_profile
from PIL import Image

from common.photos import exif, png
from common.photos.pixels import Samples
from common.photos.profiles import refuse_hdr

_D65 = (0.3127, 0.329)
_SRGB = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x, y of red, green, blue
_ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_ADOBE_GAMMA = 563 / 256
# H.273, table 2: white, then x, y of red, green, blue
_PRIMARIES = {
    1: (_D65, _SRGB),
    4: ((0.31, 0.316), (0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: (_D65, (0.64, 0.33, 0.29, 0.6, 0.15, 0.06)),
    6: (_D65, (0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    7: (_D65, (0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    8: ((0.31, 0.316), (0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: (_D65, (0.708, 0.292, 0.17, 0.797, 0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    12: (_D65, (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    22: (_D65, (0.63, 0.34, 0.295, 0.605, 0.155, 0.077)),
}
_UNSPECIFIED = 2
_LONGEST = 1 << 26  # bytes of a profile
_RAMP = np.linspace(0, 1, 4096)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_BT709, _SRGB_CURVE = (1, 6, 11, 12, 14, 15), 13
_UNKNOWN = "its colour space is of a kind that is not known here: taken for sRGB"
_UNSAID = "its EXIF does not say what its colour space is (uncalibrated): taken for sRGB"


def _made(white, primaries, grey, gamma=None, curve=None):
    """The ICC profile of a white point and primaries, by their x and y, and a gamma or a curve."""
    values = None if curve is None else np.round(65535 * curve).astype(np.uint16)
    given = {"whitepoint": (*white, 1), "gamma": gamma, "transferfunction": values}
    given = {name: value for name, value in given.items() if value is not None}
    return (
        cms_profile("gray", **given) if grey else cms_profile("rgb", primaries=primaries, **given)
    )


def _linear(encoded, cut, slope, offset, exponent):
    """Linear light of a ramp by a straight line up to `cut`, and a power."""
    return np.where(
        encoded <= cut, encoded / slope, ((encoded + offset) / (1 + offset)) ** exponent
    )


def of_cicp(primaries: int, transfer: int, grey: bool, notes: list[str]) -> bytes | None:
    """The profile of two code points; PhotoError for PQ and HLG."""
    refuse_hdr(transfer)
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    transfer = _SRGB_CURVE if transfer == _UNSPECIFIED else transfer
    if (primaries, transfer) == (1, _SRGB_CURVE):
        return None
    curve = None
    if transfer in _BT709:
        curve = _linear(_RAMP, 0.0812, 4.5, 0.0993, 1 / 0.45)
    elif transfer == 7:
        curve = _linear(_RAMP, 0.0912, 4.0, 0.1115, 1 / 0.45)
    elif transfer == _SRGB_CURVE:
        curve = _linear(_RAMP, 0.04045, 12.92, 0.055, 2.4)
    if primaries not in _PRIMARIES or (curve is None and transfer not in _GAMMAS):
        notes.append(_UNKNOWN)
        return None
    return _made(*_PRIMARIES[primaries], grey, _GAMMAS.get(transfer), curve)


def of_png(chunks: dict[bytes, bytes], grey: bool, notes: list[str]) -> tuple[bool, bytes | None]:
    """(whether a PNG says anything of its colours, its profile), from its chunks {name: data}.

    By precedence, as in section 4.3 of the specification (third edition): cICP, iCCP, sRGB, then
    gAMA with cHRM.
    """
    if len(cicp := chunks.get(b"cICP", b"")) >= 4:
        if not cicp[3]:
            notes.append("its values have a narrow range (cICP): taken for the whole range")
        return True, of_cicp(cicp[0], cicp[1], grey, notes)
    if (profile := chunks.get(b"iCCP")) is not None:
        name, _, rest = profile.partition(b"\0")
        refuse_hdr(16 if name == b"ITUR_2100_PQ_FULL" else 0)
        try:
            return True, zlib.decompressobj().decompress(rest[1:], _LONGEST)
        except zlib.error:
            notes.append("its colour profile is damaged: left out")
    if b"sRGB" in chunks:
        return True, None
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")[:4], "big") / 100_000
    if gamma and not 0.05 < gamma < 20:
        notes.append(f"its gamma (gAMA) is {gamma:g}, which no screen has: left out")
        gamma = 0.0
    places = np.frombuffer(chunks.get(b"cHRM", b"")[:32].ljust(32, b"\0"), ">u4") / 100_000
    if not gamma and not places.all():
        return False, None
    white, primaries = (places[:2], places[2:]) if places.all() else (_D65, _SRGB)
    if gamma:
        return True, _made(tuple(white), tuple(primaries), grey, 1 / gamma)
    curve = _linear(_RAMP, 0.04045, 12.92, 0.055, 2.4)
    return True, _made(tuple(white), tuple(primaries), grey, curve=curve)


def of_nclx(file: BinaryIO, grey: bool, notes: list[str]) -> tuple[bool, bytes | None]:
    """(whether an AVIF or HEIF says anything, its profile), from its `colr` box."""
    file.seek(0)
    match = re.search(rb"colrnclx(....)", file.read(1 << 16), re.DOTALL)
    if match is None:
        return False, None
    primaries, transfer = struct.unpack(">HH", match[1])
    return transfer != _UNSPECIFIED, of_cicp(primaries, transfer, grey, notes)


def of_exif(top: exif.Directory, grey: bool, notes: list[str]) -> bytes | None:
    """The profile that EXIF holds or names: Adobe RGB by its interoperability index, or by
    ColorSpace 2."""
    if (profile := top.entries.get(exif.PROFILE)) is not None:
        return profile.data
    details = top.inner.get(exif.EXIF)
    if details is None:
        return None
    interoperability = details.inner.get(exif.INTEROPERABILITY)
    index = interoperability and interoperability.entries.get(1)
    space = details.value(exif.COLOR_SPACE)
    if space == 2 or (space != 1 and index and index.data.startswith(b"R03")):
        return _made(_D65, _ADOBE, grey, _ADOBE_GAMMA)
    if space == 0xFFFF and not (index and index.data.startswith(b"R98")):
        stated = of_tags(top, grey)
        if stated is None:
            notes.append(_UNSAID)
        return stated
    return None


def of_tags(top: exif.Directory, grey: bool) -> bytes | None:
    """The profile of a TIFF's white point, primaries and transfer function, or None.

    Without a transfer function it is TIFF's, a gamma of 2.2, but for the primaries of sRGB.
    """
    white, primaries = top.rationals(318), top.rationals(319)
    if len(white) != 2 or len(primaries) != 6 or not all((*white, *primaries)):
        return None
    function = top.entries.get(301)
    if function is not None and function.kind == 3:
        values = np.frombuffer(function.data, top.order + "u2")
        size = len(values) if len(values) & (len(values) - 1) == 0 else len(values) // 3
        curves = values.reshape(-1, size) / 65535
        if size >= 2 and (curves[:, -1] > curves[:, 0]).all():
            ramp = np.linspace(0, 1, size)
            curve = np.stack([np.interp(_RAMP, ramp, each) for each in curves]).mean(axis=0)
            return _made(white, primaries, grey, curve=curve)
    if np.allclose((*white, *primaries), (*_D65, *_SRGB), atol=2e-3):
        return None
    return _made(white, primaries, grey, 2.2)


def of_bmp(file: BinaryIO, grey: bool) -> bytes | None:
    """The profile in a BMP of versions 4 and 5: a whole one, or primaries and gamma."""
    file.seek(14)
    head = file.read(124)
    (size,) = struct.unpack_from("<I", head)
    if size < 108 or len(head) < size:
        return None
    kind = head[56:60]
    if kind == b"DEBM" and size >= 124:
        offset, length = struct.unpack_from("<II", head, 112)
        file.seek(14 + offset)
        return file.read(length)
    if kind != bytes(4):
        return None
    ends = np.frombuffer(head, "<u4", 9, 60).reshape(3, 3) / 2**30
    gammas = np.frombuffer(head, "<u4", 3, 96) / 2**16
    if not ends.any(axis=1).all() or not gammas.all():
        return None
    places = ends[:, :2] / ends.sum(axis=1, keepdims=True)
    white = ends.sum(axis=0)
    return _made(tuple(white[:2] / white.sum()), tuple(places.ravel()), grey, float(gammas.mean()))


def of_tiff(file: BinaryIO, offset: int, samples: Samples, notes: list[str]) -> bytes | None:
    """The profile of a page of a TIFF without one, whose directory is at `offset`."""
    order, big, _ = exif.header(file)
    grey = samples.space == "L"
    if samples.space not in ("L", "RGB"):
        return None
    try:
        top = exif.Directory(file, offset, order, big)
        return of_tags(top, grey) or of_exif(top, grey, notes)
    except (CmsError, ValueError, struct.error):
        notes.append(_UNKNOWN)
        return None


def stated(
    image: Image.Image,
    file: BinaryIO,
    samples: Samples,
    top: exif.Directory | None,
    notes: list[str],
) -> bytes | None:
    """The profile of an open picture that is no TIFF; top: its EXIF.

    What the format itself says goes before EXIF. Raises PhotoError for HDR.
    """
    grey = samples.space == "L"
    icc = samples.icc or image.info.get("icc_profile")
    said = icc is not None or image.format == "JPEG2000"
    try:
        if image.format == "PNG":
            said, icc = of_png(png.contents(file), grey, notes)
        elif image.format in ("AVIF", "HEIF") and icc is None:
            said, icc = of_nclx(file, grey, notes)
        elif image.format == "BMP":
            icc = of_bmp(file, grey)
        if said or icc or top is None or samples.space not in ("L", "RGB"):
            return icc
        return of_exif(top, grey, notes)
    except (CmsError, ValueError, struct.error):
        notes.append(_UNKNOWN)
        return None
