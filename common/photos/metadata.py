"""What a file holds beside its pixels, as it holds for the upright result in sRGB."""

import dataclasses
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from common.photos import exif, png, xmp
from common.photos.exif import Directory, Entry

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF = b"Exif\0\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_PNG_XMP = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "  # ImageMagick's way to put profiles into a PNG's texts
# Of JPEG's segments, what is not true of a result: (marker, first bytes).
_UNTRUE = (
    ("APP0", b"JF"),  # written anew; a thumbnail
    ("APP2", b"ICC_PROFILE\0"),
    ("APP2", b"MPF\0"),  # where further pictures are
    ("APP2", b"urn:iso:std:iso:ts:21496"),  # a gain map
    ("APP14", b"Adobe"),  # how the pixels are encoded
)
# PNG says itself, in a chunk's name, whether it depends on the pixels. These do not.
_KEPT_CHUNKS = (b"tIME", b"sTER", b"sCAL")
_ELSEWHERE = (b"eXIf", b"pHYs", b"iCCP")
_QUIET = (  # what describes the stored pixels: nobody misses it
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"sBIT", b"hIST", b"sPLT", b"acTL", b"iDOT",
    b"fcTL", b"fdAT", b"pCAL", b"mDCV", b"cLLI", b"mDCv", b"cLLi",
)  # fmt: skip
_IN_PART = "its EXIF or its tags are damaged: kept as far as they can be read"
_CREDENTIALS = "its content credentials, which hold for the original alone: left out"
# Photoshop's image resources that are not true of a result: alpha channels' names, thumbnails,
# profiles, EXIF, XMP, and paths in a picture that is turned.
_IPTC, _RESOLUTION = 1028, 1005
_DROPPED = (1006, 1033, 1036, 1039, 1041, 1045, 1053, 1058, 1060)
_PATHS = range(2000, 3000)
# Tags of a TIFF that say how its pixels are stored, beside those that tifffile writes.
_OF_PIXELS = frozenset((
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288,
    289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334,
    336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347, 351, 400, 512, 513, 514, 515, 517,
    518, 519, 520, 521, 529, 530, 531, 532, 559, 32995, 32996, 32997, 32998, 33424, 34675,
    34908, 37724, 40965, 50838, 50839,
))  # fmt: skip
_LAYERS = 37724
_POINTERS = (13, 18)  # types of what holds the offset of a directory
_PPM = re.compile(rb"P\d(?:\s+(?:#[^\r\n]*\s+)*\d+){2,3}")  # its header, up to the pixels
_METRES = {"inch": 0.0254, "cm": 0.01, "metre": 1.0}


class Density(NamedTuple):
    """Pixels in a unit, "inch", "cm" or "metre", or "", which leaves their aspect alone."""

    across: float
    down: float
    unit: str = "inch"

    def in_unit(self, unit: str) -> "Density":
        """The same in another unit; an aspect stays."""
        if not self.unit or self.unit == unit:
            return self
        scale = _METRES[unit] / _METRES[self.unit]
        return Density(self.across * scale, self.down * scale, unit)


@dataclasses.dataclass
class Metadata:
    """density: of the upright result. exif: a TIFF block. xmp: a packet. parts: further segments
    of a JPEG, (marker, data), or chunks of a PNG, (name, data). directory: of a page of a TIFF."""

    density: Density | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    parts: list[tuple[Any, bytes]] = dataclasses.field(default_factory=list)
    directory: Directory | None = None


def exif_block(image: Image.Image, file: BinaryIO) -> bytes | None:
    """The EXIF of an open picture that is no TIFF, as it stands in the file."""
    block = image.info.get("exif")
    if image.format == "PNG":
        block = png.contents(file).get(b"eXIf") or _raw_profile(image.info, "exif")
    return block and block.removeprefix(_EXIF)


def directory(block: bytes | None, notes: list[str]) -> Directory | None:
    """The first directory of EXIF; None, with a note, if it is damaged."""
    try:
        top = None if block is None else exif.of_block(block)
        if top is not None and top.damaged:
            notes.append(_IN_PART)
        return top
    except (struct.error, ValueError):
        notes.append("its EXIF is damaged: left out")
        return None


def of_image(
    image: Image.Image,
    file: BinaryIO,
    block: bytes | None,
    shape: tuple[int, ...],
    orientation: int,
    notes: list[str],
) -> Metadata:
    """The metadata of an open picture that is no TIFF, of which block is the EXIF."""
    info = image.info
    orientation = info.get("original_orientation") or orientation  # pillow-heif has turned it
    if block:
        try:
            block = exif.of_result(block, shape, orientation)
        except (struct.error, ValueError):
            notes.append("its EXIF is damaged: left out")
            block = None
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp")
    density, parts = _density(image), []
    if image.format in ("JPEG", "MPO"):
        parts = [*_segments(image, orientation, notes)]
    elif image.format == "PNG":
        packet = packet or _raw_profile(info, "xmp")
        parts = [*_chunks(file, notes)]
    elif image.format == "PSD":
        parts = _profile_chunk(
            _resources(_packed_resources(getattr(image, "resources", ())), orientation)
        )
    elif iptc := info.get("photoshop", {}).get(_IPTC):
        parts = _profile_chunk([_packed(_IPTC, b"\0\0", iptc)])
    elif image.format == "PPM":
        file.seek(0)
        head = _PPM.match(file.read(1 << 16))
        comments = re.findall(rb"#[ \t]*([^\r\n]*)", head[0] if head else b"")
        parts = _text_chunk("\n".join(line.decode("utf-8", "replace") for line in comments))
    elif image.format == "GIF":
        comment = info.get("comment", b"")
        parts = _text_chunk(comment.decode("utf-8", "replace"))
    packet = packet.encode() if isinstance(packet, str) else packet
    return Metadata(
        density and (_turned(density) if orientation >= 5 else density),
        block,
        packet and xmp.of_result(packet, shape),
        parts,
    )


def of_tiff(
    file: BinaryIO,
    offset: int,
    shape: tuple[int, ...],
    orientation: int,
    notes: list[str],
) -> Metadata:
    """The metadata of a page of a TIFF whose directory is at `offset`."""
    order, big, _ = exif.header(file)
    try:
        kept = Directory(file, offset, order, big)
    except (struct.error, ValueError):
        notes.append("its EXIF is damaged: left out")
        return Metadata()
    if kept.damaged:
        notes.append(_IN_PART)
    if _LAYERS in kept.entries:
        notes.append("its layers (Photoshop): left out")
    kept.make_true(shape, orientation)
    kept.entries = {
        tag: entry
        for tag, entry in kept.entries.items()
        if tag not in _OF_PIXELS and entry.kind not in _POINTERS
    }
    kept.entries.pop(exif.ORIENTATION, None)
    if packet := kept.entries.get(700):
        kept.entries[700] = packet._replace(data=xmp.of_result(packet.data, shape))
    if resources := kept.entries.get(34377):
        data = b"".join(b"8BIM" + each for each in _resources(resources.data, orientation))
        del kept.entries[34377]
        if data:
            kept.entries[34377] = Entry(resources.kind, data)
    return Metadata(directory=kept)


def _turned(density):
    return Density(density.down, density.across, density.unit)


def _density(image):
    info, unit = image.info, ""
    if "jfif_density" in info:
        unit, pair = {1: "inch", 2: "cm"}.get(info.get("jfif_unit"), ""), info["jfif_density"]
    elif image.format == "PNG" and "aspect" in info:
        pair = info["aspect"]
    else:
        unit, pair = "inch", info.get("dpi")
    return Density(float(pair[0]), float(pair[1]), unit) if pair and all(pair) else None


def _segments(image, orientation, notes):
    """The further segments of a JPEG, (marker, data)."""
    photoshop = b"".join(
        data[len(_PHOTOSHOP) :]
        for name, data in image.applist
        if name == "APP13" and data.startswith(_PHOTOSHOP)
    )
    for name, data in image.applist:
        if name == "COM":
            yield 0xFE, data
        elif name == "APP11" and b"jumb" in data[:64]:
            notes.append(_CREDENTIALS)
        elif name == "APP13" and data.startswith(_PHOTOSHOP):
            resources = _resources(photoshop, orientation)
            photoshop = b""  # in one piece, where the first was
            yield from ((0xED, piece) for piece in _pieces(resources))
        elif name == "APP1" and data.startswith((_EXIF, _XMP)):
            pass
        elif not any(name == marker and data.startswith(head) for marker, head in _UNTRUE):
            yield 0xE0 + int(name[3:]), data


def _pieces(resources):
    """Image resources as segments of a JPEG, which hold less than 64 KB each."""
    data = _PHOTOSHOP
    for resource in resources:
        while len(data) + 4 + len(resource) > 65533 and data != _PHOTOSHOP:
            yield data
            data = _PHOTOSHOP
        data += b"8BIM" + resource
    while len(data) > len(_PHOTOSHOP):
        yield data[:65533]
        data = _PHOTOSHOP + data[65533:]


def _resources(data, orientation):
    """The image resources of Photoshop that are true of a result, each without its signature."""
    start = 0
    while data[start : start + 4] == b"8BIM" and start + 12 <= len(data):
        number, length = struct.unpack_from(">HB", data, start + 4)
        name = data[start + 6 : start + 8 + length - length % 2]
        place = start + 6 + len(name)
        (size,) = struct.unpack_from(">L", data.ljust(place + 4, b"\0"), place)
        content = data[place + 4 : place + 4 + size]
        start = place + 4 + size + size % 2
        if number not in _DROPPED and not (orientation != 1 and number in _PATHS):
            if number == _RESOLUTION and orientation >= 5 and len(content) == 16:
                content = content[8:] + content[:8]
            yield _packed(number, name, content)


def _packed(number, name, content):
    """An image resource without its signature."""
    padding = b"\0" * (len(content) % 2)
    return struct.pack(">H", number) + name + struct.pack(">L", len(content)) + content + padding


def _packed_resources(resources):
    """Image resources as Pillow has them, as they stand in a file."""
    return b"".join(b"8BIM" + _packed(number, b"\0\0", data) for number, _, data in resources)


def _chunks(file, notes) -> Iterator[tuple[bytes, bytes]]:
    """The further chunks of a PNG, (name, data)."""
    for chunk in png.chunks(file):
        if not chunk.name[0] & 32 or chunk.name in _ELSEWHERE or not chunk.right:
            continue
        data = png.data(file, chunk)
        keyword = data.partition(b"\0")[0] if chunk.name in (b"tEXt", b"zTXt", b"iTXt") else b""
        of_pixels = _RAW_PROFILE + b"exif", _RAW_PROFILE + b"xmp", _RAW_PROFILE + b"icc"
        if keyword.startswith((_PNG_XMP, *of_pixels)):
            continue
        if chunk.name[3] & 32 or chunk.name in _KEPT_CHUNKS:
            yield chunk.name, data
        elif chunk.name == b"caBX":
            notes.append(_CREDENTIALS)
        elif chunk.name not in _QUIET:
            notes.append(f"its chunk {chunk.name.decode('latin-1')}: left out")


def _raw_profile(info, kind):
    """A profile in a PNG's texts, in hexadecimal; None where there is none."""
    text = info.get(f"{_RAW_PROFILE.decode()}{kind}")
    if not text:
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def _profile_chunk(each):
    """Image resources of Photoshop, as ImageMagick and ExifTool put them into a PNG."""
    resources = b"".join(b"8BIM" + resource for resource in each)
    if not resources:
        return []
    lines = "\n".join(resources.hex()[i : i + 72] for i in range(0, 2 * len(resources), 72))
    text = f"\niptc\n{len(resources):8}\n{lines}\n".encode()
    return [(b"zTXt", _RAW_PROFILE + b"iptc\0\0" + zlib.compress(text))]


def _text_chunk(text):
    """A comment of another format in a PNG."""
    if not text.strip():
        return []
    return [(b"iTXt", b"Comment\0\0\0\0\0" + text.encode())]
