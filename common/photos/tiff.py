"""TIFFs: which pages are pictures, and their samples -> colours, alpha and extra samples.

tifffile decodes, with the codecs of imagecodecs; libtiff what those do not: fax, and YCbCr that is
no JPEG.
"""

import io
import logging
import math
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from common.photos import segments
from common.photos.formats import PhotoError
from common.photos.pixels import Samples, unmultiplied, whole_range

_COLOURS = {0: "L", 1: "L", 2: "RGB", 3: "P", 5: "CMYK", 6: "RGB", 8: "LAB", 9: "LAB"}
_NAMES = {"L": "grey", "P": "a palette", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_RAW = (32803, 34892)  # photometric interpretations: a mosaic of filters, and linear raw
_FAX = (2, 3, 4, 32771)
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_JPEG_XR = (22610, 34934)
_SIZED = (7, 34887, 34892)  # JPEG and LERC: as tifffile's image codecs, they say a size
_LARGEST_TILE = 1 << 26  # pixels; tiles may be larger than a small picture, but not without end


class Picture(NamedTuple):
    """A picture of a TIFF: its page, and the first one of its directory, which describes it."""

    page: Any
    top: Any

    def valueof(self, tag: int, default: Any = None) -> Any:
        """A tag's value, of the picture itself or of its directory."""
        return self.page.tags.valueof(tag, self.top.tags.valueof(tag, default))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W), as stored."""
        return self.page.imagelength, self.page.imagewidth

    @property
    def depth(self) -> int:
        """8 or 16: in how many bits its samples fit."""
        return 8 if np.max(self.page.bitspersample) <= 8 else 16


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a TIFF or BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(file: BinaryIO) -> Any:
    """A `tifffile.TiffFile`."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile.TiffFile(file)


def pictures(tiff: Any, notes: list[str]) -> list[Picture]:
    """The pictures of an open TIFF; PhotoError for camera raw.

    A page may be the thumbnail of a picture in its SubIFDs, which is then taken in its place.
    Masks are left out, and so are reduced versions beside pictures that are none.
    """
    found, seen = [], set()
    for top in tiff.pages:
        if top.offset in seen:  # a chain of directories that leads back
            break
        seen.add(top.offset)
        pages = [top, *(top.pages or ())]
        if 50706 in top.tags or any(page.photometric in _RAW for page in pages):
            raise PhotoError("camera raw is not read; save it as JPEG or TIFF")
        if top.subfiletype & _MASK:
            notes.append("a page that is a mask: left out")
            continue
        full = [page for page in pages if not page.subfiletype & _MASK]
        largest = max(full, key=lambda page: page.imagelength * page.imagewidth)
        if largest is not top:
            notes.append("a thumbnail: the picture behind it is read")
        found.append(Picture(largest, top))
    whole = [picture for picture in found if not picture.page.subfiletype & _REDUCED]
    if whole and len(whole) < len(found):
        notes.append("a page that is a thumbnail: left out")
    if not found:
        raise PhotoError("a TIFF without a picture")
    return whole or found


def decode(picture: Picture, file: BinaryIO, notes: list[str]) -> Samples:
    """The samples of a picture, as stored, not yet turned upright; raises PhotoError."""
    from tifffile import TIFF

    page = picture.page
    _check(page, file)
    ycbcr = page.photometric == 6 and (page.compression != 7 or page.planarconfig == 2)
    if ycbcr or page.compression in (*_FAX, 6):  # 6 is JPEG of the old kind
        return _by_libtiff(page, file)
    space = _COLOURS[page.photometric]
    if page.dtype is None or page.dtype.kind not in "ub" or page.dtype.itemsize > 2:
        raise PhotoError(f"its samples are {page.dtype}; save it with 8 or 16 bits a sample")
    readable = page.compression == 1 or page.compression in TIFF.DECOMPRESSORS
    if not readable or page.compression in _JPEG_XR:
        name = getattr(page.compression, "name", page.compression)
        raise PhotoError(f"a TIFF compressed by {name} is not read; save it with LZW or Deflate")
    if page.compression in (*TIFF.IMAGE_COMPRESSIONS, *_SIZED):
        _check_segments(page, file)
    pixels = page.asarray()
    if page.planarconfig == 2 and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*picture.shape, page.samplesperpixel)
    if space == "P":
        return Samples(_palette(page)[pixels[..., 0].astype(np.uint16)], "RGB")
    pixels = whole_range(pixels, page.bitspersample)
    colours = 1 if space == "L" else len(space)
    colour, rest = pixels[..., :colours], pixels[..., colours:]
    kinds = (*page.extrasamples, *(0,) * rest.shape[2])[: rest.shape[2]]
    alphas = [i for i, kind in enumerate(kinds) if kind in (1, 2)]
    alpha = rest[..., alphas[0]] if alphas else None
    others = [i for i in range(rest.shape[2]) if i not in alphas[:1]]
    if alpha is not None and kinds[alphas[0]] == 1:
        colour = unmultiplied(colour, alpha)
    if page.photometric == 0:
        colour = np.iinfo(colour.dtype).max - colour
    if space == "LAB":
        colour = _lab(colour, signed=page.photometric == 8)
    if others:
        notes.append("an extra sample (infrared or a mask): kept as it is")
    return Samples(
        colour[..., 0] if space == "L" else colour,
        space,
        alpha,
        rest[..., others] if others else None,
    )


def _check(page, file):
    """PhotoError for a truncated page, whose missing strips decoders may leave black, and for what
    is not read, before it takes memory."""
    size = file.seek(0, io.SEEK_END)
    ends = [
        offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    missing = len(ends) < math.prod(page.chunked)
    if missing or max(ends) > size or 0 in page.databytecounts:
        raise PhotoError("damaged (the file is truncated)")
    space = _COLOURS.get(page.photometric)
    if space is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise PhotoError(f"a TIFF of the colours {name} is not read; save it as RGB")
    colours = 1 if space in "LP" else len(space)
    extra = page.samplesperpixel - colours
    unclear = extra > 1 and space == "L" and not page.extrasamples
    tiles = _segment(page) > max(4 * page.imagelength * page.imagewidth, _LARGEST_TILE)
    for wrong, what in (
        (page.imagedepth != 1, "a TIFF of a volume"),
        (262 not in page.tags, "a TIFF without a PhotometricInterpretation"),
        (isinstance(page.bitspersample, tuple), "a TIFF whose samples differ in depth"),
        (
            unclear or not 0 <= extra <= 8,
            f"a TIFF of {page.samplesperpixel} samples a pixel as {_NAMES[space]}",
        ),
        # InkSet
        (space == "CMYK" and page.tags.valueof(332, 1) != 1, "a TIFF of other inks than CMYK"),
        (tiles, "a TIFF of tiles far larger than its picture"),
    ):
        if wrong:
            raise PhotoError(f"{what} is not read; save it anew")


def _segment(page):
    """Pixels of a strip or tile."""
    if page.is_tiled:
        return page.tilelength * page.tilewidth
    return min(page.rowsperstrip, page.imagelength) * page.imagewidth


def _check_segments(page, file):
    """PhotoError where the picture in a strip or tile is larger than that."""
    most = 2 * _segment(page)
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        height, width = segments.shape(file.read(min(size, segments.HEAD))) or (0, 0)
        if height * width > most:
            raise PhotoError(f"damaged (a strip or tile of {width} x {height} pixels)")


def _by_libtiff(page, file):
    """A page of at most 8 bits by libtiff itself, without alpha and extra samples."""
    from imagecodecs import tiff_decode

    file.seek(0)
    data = bytearray(file.read())
    order: Literal["big", "little"] = "big" if data[:1] == b"M" else "little"
    start, size = (8, 8) if 43 in data[2:4] else (4, 4)
    # libtiff is given the page as the file's first, and unturned.
    data[start : start + size] = page.offset.to_bytes(size, order)
    if turned := page.tags.get(274):
        data[turned.valueoffset : turned.valueoffset + 2] = (1).to_bytes(2, order)
    pixels = tiff_decode(bytes(data), 0, asrgb=True)
    if page.photometric in (0, 1):
        return Samples(np.ascontiguousarray(pixels[..., 0]), "L")
    return Samples(np.ascontiguousarray(pixels[..., :3]), "RGB")


def _palette(page):
    """(2 ** bits, 3) uint8 of a palette, whose 16 bits some software leaves half empty."""
    colours = np.transpose(page.colormap)
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _lab(stored, signed):
    """Lab of 8 or 16 bits, a and b signed or offset -> uint16 as ICC profiles of version 4 have it.

    TIFF 6.0, section 23, and Adobe's note on ICCLab: of 16 bits, 256 are one unit of a and b, and
    white's L* is 0xFF00 in ICCLab.
    """
    deep = stored.dtype == np.uint16
    values = stored.view(np.int16 if deep else np.int8) if signed else stored
    white = 255 if not deep else 65535 if signed else 0xFF00
    lightness = stored[..., :1] * (65535 / white)
    ab = values[..., 1:] / (256 if deep else 1) + (128 if signed else 0)
    encoded = np.concatenate([lightness, ab * 257], axis=-1)
    return np.round(np.clip(encoded, 0, 65535)).astype(np.uint16)
