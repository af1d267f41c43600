"""JPEG 2000: its boxes, its header, and its samples by imagecodecs at any depth up to 16 bits."""

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

from common.photos.formats import PhotoError
from common.photos.pixels import Samples, unmultiplied, whole_range
from common.photos.psd import IPTC

_SPACES = {12: "CMYK", 16: "RGB", 17: "L", 18: "RGB"}  # of colr: OpenJPEG turns sYCC into RGB
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_EXIF = b"JpgTiffExif->JP2"
_OPACITY, _MULTIPLIED = 1, 2  # types of a channel in cdef


@dataclasses.dataclass(frozen=True)
class Header:
    """What a JPEG 2000 says of itself: (H, W), bits of each component, the colour space where it
    is named, the ICC profile or None, and {channel: its type} where that is said."""

    shape: tuple[int, int]
    bits: tuple[int, ...]
    space: str | None
    icc: bytes | None
    channels: dict[int, int]


def is_jpeg2000(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a JP2 or a bare codestream."""
    return head.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"))


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each box of a JP2, or of the content of a box that holds others."""
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= len(data):
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        end = start + size if size else len(data)
        if end < start + head:
            return
        yield kind, data[start + head : end]
        start = end


def header(data: bytes) -> Header:
    """The header of a JP2 or of a bare codestream; raises ValueError or struct.error."""
    space, icc, channels, palette = None, None, {}, None
    codestream = data
    if data[:4] != b"\xff\x4f\xff\x51":
        top = dict(reversed([*boxes(data)]))  # the first of each type
        codestream = top[b"jp2c"]
        for kind, content in boxes(top[b"jp2h"]):
            if kind == b"colr" and space is None and icc is None:
                if content[0] == 1:
                    (number,) = struct.unpack_from(">I", content, 3)
                    space = _SPACES.get(number, f"number {number}")
                elif content[0] in (2, 3):
                    icc = content[3:]
            elif kind == b"cdef":
                entries = struct.iter_unpack(">HHH", content[2:])
                channels = {channel: kind for channel, kind, _ in entries}
            elif kind == b"pclr":
                palette = [(depth & 127) + 1 for depth in content[3 : 3 + content[2]]]
    right, bottom, left, top_, *_, count = struct.unpack_from(">8IH", codestream, 8)
    depths = codestream[42 : 42 + 3 * count : 3]
    if palette is None and any(depth & 128 for depth in depths):
        raise PhotoError("its samples are signed; save it as TIFF or PNG")
    bits = palette or [depth + 1 for depth in depths]
    return Header((bottom - top_, right - left), tuple(bits), space, icc, channels)


def info(data: bytes) -> dict[str, Any]:
    """The metadata of a JP2, named as Pillow names those of other formats."""
    found: dict[str, Any] = {}
    for kind, content in boxes(data) if data[4:8] == b"jP  " else ():
        if kind == b"xml " and b"<x:xmpmeta" in content:
            found.setdefault("xmp", content)
        if kind != b"uuid":
            continue
        name, content = content[:16], content[16:]
        if name == _XMP:
            found["xmp"] = content
        elif name == _EXIF:
            found["exif"] = b"Exif\0\0" + content.removeprefix(b"Exif\0\0")
        elif name == _IPTC:
            found["photoshop"] = {IPTC: content}
    return found


def _without_profile(data, head, space):
    """The same file with its colour space named in place of a profile, which imagecodecs would
    apply, with 8 bits."""
    if head.icc is None:
        return data
    number = next(number for number, each in _SPACES.items() if each == space)
    start = data.index(b"colr", data.index(b"jp2h")) + 4
    return data[:start] + struct.pack(">BBBI", 1, 0, 0, number) + data[start + 7 :]


def decode(data: bytes, head: Header) -> Samples:
    """The samples of a JPEG 2000; PhotoError for what is not read."""
    from imagecodecs import jpeg2k_decode

    count = len(head.bits)
    if len({*head.bits}) != 1 or max(head.bits) > 16 or count > 5:
        raise PhotoError(
            f"its components have {', '.join(map(str, head.bits))} bits; save it as TIFF or PNG"
        )
    space = head.space or {b"GRAY": "L", b"CMYK": "CMYK"}.get(
        (head.icc or b"")[16:20], "L" if count < 3 else "RGB"
    )
    if space not in _SPACES.values() or count < (colours := 1 if space == "L" else len(space)):
        raise PhotoError(f"its colour space, {space}, is not read; save it as RGB")
    pixels = jpeg2k_decode(_without_profile(data, head, space)).reshape(*head.shape, count)
    pixels = whole_range(pixels, head.bits[0])
    # Without a definition of its channels, one beyond the colours is alpha, as in other readers.
    kinds = [head.channels.get(i, _OPACITY) for i in range(colours, count)]
    alphas = [i for i, kind in enumerate(kinds, colours) if kind in (_OPACITY, _MULTIPLIED)]
    colour, alpha = pixels[..., :colours], pixels[..., alphas[0]] if alphas else None
    if alpha is not None and head.channels.get(alphas[0]) == _MULTIPLIED:
        colour = unmultiplied(colour, alpha)
    extra = pixels[..., [i for i in range(colours, count) if i not in alphas[:1]]]
    return Samples(
        colour[..., 0] if space == "L" else colour,
        space,
        alpha,
        extra if extra.shape[2] else None,
        icc=head.icc,
    )
