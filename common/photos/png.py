"""PNG: files that browsers open though a chunk beside the picture is damaged; 16 bits a sample."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from common.cli import one_line
from common.photos.formats import LONGEST, open_image
from common.photos.pixels import Samples

START = b"\x89PNG\r\n\x1a\n"
_LONG = 1 << 20  # of a text or a profile, in bytes: Pillow's limit
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_COLOURS = (b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP")  # what a pixel's colour is


class Chunk(NamedTuple):
    """A complete chunk of a PNG: its name, where it begins, the size of its data, and whether it is
    critical or has the right checksum."""

    name: bytes
    offset: int
    size: int
    right: bool


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a PNG, up to its end or to where it is cut off."""
    end = file.seek(0, io.SEEK_END)
    offset = len(START)
    while offset + 12 <= end:
        file.seek(offset)
        size, name = struct.unpack(">I4s", file.read(8))
        following = offset + 12 + size
        if following > end:
            return
        right = True
        if name[0] & 32:  # ancillary; decoders check the others
            check = zlib.crc32(file.read(size), zlib.crc32(name))
            right = check == int.from_bytes(file.read(4), "big")
        yield Chunk(name, offset, size, right)
        if name == b"IEND":
            return
        offset = following


def contents(file: BinaryIO) -> dict[bytes, bytes]:
    """{name: data} of the ancillary chunks without damage, of each name the first."""
    found: dict[bytes, bytes] = {}
    for chunk in [each for each in chunks(file) if each.right and each.name[0] & 32]:
        if chunk.name not in found:
            found[chunk.name] = data(file, chunk)
    return found


def data(file: BinaryIO, chunk: Chunk) -> bytes:
    """What is in a chunk."""
    file.seek(chunk.offset + 8)
    return file.read(chunk.size)


def open_png(file: BinaryIO, notes: list[str]) -> tuple[Image.Image, BinaryIO]:
    """Open a PNG with Pillow, without what is damaged in it; also the file that Pillow reads."""
    found = list(chunks(file))
    right = [chunk for chunk in found if chunk.right]
    names = [chunk.name for chunk in found]
    if len(right) < len(found):
        wrong = sorted({chunk.name.decode("latin-1") for chunk in found if not chunk.right})
        notes.append(f"{one_line(', '.join(wrong), LONGEST)} with a wrong checksum: left out")
    if b"IEND" not in names:
        notes.append("its end marker is missing")
    late = names[names.index(b"IDAT") :] if b"IDAT" in names else []
    if len(right) < len(found) or b"IEND" not in names or {b"zTXt", b"iTXt"} & {*late}:
        file = _rebuilt(file, right)
    try:
        image = open_image(file)
    except Exception:  # Pillow raises all kinds of errors about ancillary chunks
        image, file = _open_plainly(file)
        notes.append("a text, a profile or another chunk is damaged or too long: left out")
    values = [value for value in image.info.values() if isinstance(value, str | bytes)]
    if any(len(value) > _LONG for value in values):
        notes.append("a text or profile of more than 1 MB")
    return image, file


def _open_plainly(file):
    """`open_png` with as many ancillary chunks as there can be; raises what Pillow does."""
    found = [chunk for chunk in chunks(file) if chunk.right]

    def only(names):
        kept = [chunk for chunk in found if chunk.name in names or not chunk.name[0] & 32]
        plain = _rebuilt(file, kept)
        return open_image(plain), plain

    try:
        return only(_COLOURS)
    except Exception:
        return only((b"tRNS",))


def _rebuilt(file, kept):
    """A PNG of these chunks, texts before the pixels: when they are loaded, no limit is lifted."""
    kept = [chunk for chunk in kept if chunk.name != b"IEND"]
    first = next((i for i, chunk in enumerate(kept) if chunk.name == b"IDAT"), len(kept))
    texts = [chunk for chunk in kept[first:] if chunk.name in (b"zTXt", b"iTXt", b"tEXt")]
    rest = [chunk for chunk in kept[first:] if chunk not in texts]
    result = io.BytesIO()
    result.write(START)
    for chunk in (*kept[:first], *texts, *rest):
        file.seek(chunk.offset)
        result.write(file.read(12 + chunk.size))
    result.write(_END)
    result.seek(0)
    return result


def depth(file: BinaryIO) -> int:
    """Bits a sample, or an index of a palette."""
    file.seek(24)
    return file.read(1)[0]


def deep(file: BinaryIO) -> Samples:
    """The samples of a PNG of 16 bits."""
    from imagecodecs import png_decode

    found = list(chunks(file))
    critical = _rebuilt(file, [chunk for chunk in found if not chunk.name[0] & 32])
    pixels = png_decode(critical.getvalue())
    channels = pixels.reshape(*pixels.shape[:2], -1)
    colour, alpha = channels, None
    if channels.shape[2] in (2, 4):
        colour, alpha = channels[..., :-1], channels[..., -1]
    for chunk in found:
        if chunk.name == b"tRNS" and alpha is None:  # one colour stands for transparent
            file.seek(chunk.offset + 8)
            clear = np.frombuffer(file.read(2 * colour.shape[2]), ">u2")
            alpha = np.where((colour == clear).all(axis=2), 0, 65535).astype(np.uint16)
    if colour.shape[2] == 1:
        return Samples(colour[..., 0], "L", alpha)
    return Samples(colour, "RGB", alpha)
