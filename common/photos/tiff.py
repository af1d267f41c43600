"""What TIFFs need beyond Pillow: camera raw refused, 16-bit pages, resolution, texts."""

import io
import logging
from typing import Any, BinaryIO

import cv2
import numpy as np

from common.photos.formats import PhotoError
from common.photos.pixels import from_opencv

_TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 33432)  # names, maker, date, rights


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a TIFF or BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(file: BinaryIO) -> Any:
    """A `tifffile.TiffFile`; PhotoError for camera raw.

    Raw is a TIFF whose first page is a thumbnail, which would be coloured instead of the photo.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    tiff: Any = tifffile.TiffFile(file)
    tags = tiff.pages[0].tags
    if 50706 in tags or (tags.valueof(254, 0) & 1 and 330 in tags):
        raise PhotoError("camera raw is not read; save it as JPEG or TIFF")
    return tiff


def check(page: Any, file: BinaryIO) -> None:
    """PhotoError for a truncated page, whose missing strips decoders may leave black, or floats."""
    size = file.seek(0, io.SEEK_END)
    ends = [
        offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    if not ends or max(ends) > size or 0 in page.databytecounts:
        raise PhotoError("damaged (the file is truncated)")
    if page.dtype is None or page.dtype.kind not in "ub" or page.dtype.itemsize > 2:
        raise PhotoError(f"its samples are {page.dtype}; save it with 8 or 16 bits a sample")


def is_deep(page: Any) -> bool:
    """Whether a page has 16 bits, grey or RGB, which Pillow reads with 8 or not at all."""
    return page.bitspersample == 16 and page.photometric in (0, 1, 2)


def deep_page(page: Any, index: int, file: BinaryIO) -> tuple[np.ndarray, np.ndarray | None]:
    """A 16-bit page, grey or RGB -> its colours, uint16, and its alpha or None."""
    colours = 3 if page.photometric == 2 else 1
    layout = PhotoError("a TIFF of such a layout is not read; save it anew")
    if page.imagedepth != 1 or not colours <= page.samplesperpixel <= 8:  # before it takes memory
        raise layout
    try:
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        file.seek(0)  # LZW and the like, for which tifffile needs a further package
        _, pages = cv2.imdecodemulti(
            np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1)
        )
        pixels = from_opencv(pages[0])
    channels = pixels.reshape(*pixels.shape[:2], -1)
    needed = colours + bool(page.extrasamples)
    if pixels.shape[:2] != (page.imagelength, page.imagewidth) or channels.shape[2] < needed:
        raise layout
    colour = channels[..., :colours] if colours == 3 else channels[..., 0]
    alpha = None
    if page.extrasamples and page.extrasamples[0] in (1, 2):
        alpha = channels[..., colours]
        if page.extrasamples[0] == 1:  # stored as colour times alpha
            share = np.maximum(alpha, 1).astype(np.float32) / 65535
            colour = np.minimum(colour / (share[..., None] if colours == 3 else share), 65535)
            colour = np.round(colour).astype(np.uint16)
    return (65535 - colour if page.photometric == 0 else colour), alpha


def dpi(tags: Any) -> tuple[float, ...] | None:
    """(across, down) in dots an inch; None where the unit is unknown."""
    scale = {2: 1.0, 3: 2.54}.get(tags.valueof(296, 2))
    values = [tags.valueof(code) for code in (282, 283)]
    if scale is None or not all(isinstance(value, tuple) and value[1] for value in values):
        return None
    return tuple(scale * value[0] / value[1] for value in values)


def texts(tags: Any) -> dict[int, str]:
    """The texts of a page that a result keeps, {tag: text}."""
    return {code: tags[code].value for code in _TEXTS if isinstance(tags.valueof(code), str)}
