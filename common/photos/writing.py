"""Writing picture files: `write` a result in its source's format, `png` an array."""

import contextlib
import dataclasses
import errno
import io
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from common.cli import UserError, first_line
from common.photos import exif
from common.photos.formats import PhotoError
from common.photos.pixels import eight_bit
from common.photos.profiles import srgb_profile
from common.photos.reading import About, Page

_JFIF = {"": 0, "inch": 1, "cm": 2}  # units of density
# No JPEG keeps L* within 0.5 at 99.9 % of pixels; this does at 98.5 % (benchmarks/lightness.py).
_JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 100),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
_LONGEST = {".jpg": 65_500, ".png": 1_000_000}  # pixels a side, of OpenCV's encoders
_OPTIMIZED = 1 << 24  # pixels: a fifth smaller, but the encoder holds 6 bytes a pixel meanwhile


def png(rgb: np.ndarray, compression: int | None = None) -> bytes:
    """Encode (H, W) grey or (H, W, 3) RGB, uint8, as a PNG without metadata.

    compression: 0 (none) to 9, OpenCV's own choice by default. Raises ValueError for other arrays.
    """
    options = [] if compression is None else [cv2.IMWRITE_PNG_COMPRESSION, compression]
    if rgb.dtype != np.uint8 or rgb.ndim != 2 and (rgb.ndim != 3 or rgb.shape[2] != 3):
        raise ValueError(
            "png() takes (H, W) or (H, W, 3) of uint8. Received: "
            f"shape {rgb.shape}, {rgb.dtype}. Scale and round floats first."
        )
    done, encoded = cv2.imencode(".png", rgb[..., ::-1] if rgb.ndim == 3 else rgb, options)
    if not done:
        raise MemoryError(f"a PNG of shape {rgb.shape} was not encoded")
    return encoded.tobytes()


def write(path: str | Path, pages: Iterable[Page], photo: About) -> None:
    """Write an iterator of `Page`s as photo.written, tagged sRGB, metadata kept.

    All but JPEG, of quality 100 and full colour resolution, hold the pixels exactly; a TIFF is
    compressed, by Deflate, if its source was. Only TIFF takes more than one page. The pages' pixels
    are overwritten, since large pictures leave no memory for copies. PhotoError where the format
    does not hold the picture.
    """
    if photo.written == "TIFF":
        _write_tiff(path, pages, photo)
        return
    (page,) = _in_depth(pages)
    with _encoding():
        parts = {"JPEG": _jpeg, "PNG": _png}.get(photo.written, _by_pillow)(page, photo)
    with open(path, "wb") as file:
        file.writelines(parts)


@contextlib.contextmanager
def _encoding():
    """Turn whatever an encoder raises into a PhotoError, but for the system's errors."""
    try:
        yield
    except (MemoryError, NameError, UserError):  # NameError: a defect of ours
        raise
    except Exception as error:
        of_memory = isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem
        if of_memory or isinstance(error, OSError) and error.errno:
            raise
        raise PhotoError(f"its result cannot be written ({first_line(error)})") from error


def _in_depth(pages):
    """The pages with the depth of their file."""
    for page in pages:
        deeper = page.pixels.dtype == np.uint16 and page.depth == 8
        yield dataclasses.replace(page, pixels=eight_bit(page.pixels)) if deeper else page


def _by_pillow(page, photo):
    """A WebP or BMP, in memory, since Pillow raises nothing where a disk is full."""
    kept = page.metadata
    options: dict[str, Any] = {"exif": kept.exif, "xmp": kept.xmp}
    if kept.density and kept.density.unit:
        options["dpi"] = kept.density.in_unit("inch")[:2]
    buffer = io.BytesIO()
    Image.fromarray(page.pixels).save(
        buffer,
        photo.written,
        lossless=True,  # lossy WebP has 4:2:0 alone, which costs up to 18 of L*
        exact=True,
        icc_profile=srgb_profile(),
        **{name: value for name, value in options.items() if value},
    )
    return [buffer.getbuffer()]


def _jpeg(page, photo):
    """The parts of a JPEG: OpenCV's, with our metadata after its JFIF header."""
    height, width = page.pixels.shape[:2]
    small = height * width <= _OPTIMIZED
    encoded = _encoded(page, ".jpg", *_JPEG, cv2.IMWRITE_JPEG_OPTIMIZE, int(small))
    header, kept = bytes(encoded[:20]), page.metadata
    if kept.density:
        density = kept.density if kept.density.unit != "metre" else kept.density.in_unit("cm")
        across, down = (min(max(round(value), 1), 65535) for value in density[:2])
        header = header[:13] + struct.pack(">BHH", _JFIF[density.unit], across, down) + header[18:]
    segments = [(0xE2, b"ICC_PROFILE\0\1\1" + srgb_profile()), *kept.parts]
    if kept.xmp:
        segments.insert(0, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + kept.xmp))
    if kept.exif:
        segments.insert(0, (0xE1, b"Exif\0\0" + kept.exif))
    for segment in [each for each in segments if len(each[1]) > 65533]:
        segments.remove(segment)
        photo.notes.append("its EXIF or XMP is too long for a JPEG: left out")
    return [
        header,
        *(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments),
        encoded[20:],
    ]


def _png(page, photo):
    """The parts of a PNG: OpenCV's, with our metadata after its header."""
    encoded = _encoded(page, ".png", cv2.IMWRITE_PNG_COMPRESSION, 4)
    kept = page.metadata
    chunks = [(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile())), *kept.parts]
    if kept.density:
        across, down, unit = kept.density.in_unit("metre")
        chunks.append((b"pHYs", struct.pack(">IIB", round(across), round(down), unit == "metre")))
    if kept.exif:
        chunks.append((b"eXIf", kept.exif))
    if kept.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + kept.xmp))
    return [
        encoded[:33],
        *(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        ),
        encoded[33:],
    ]


def _encoded(page, suffix, *options):
    """The bytes of OpenCV's encoder."""
    if max(page.pixels.shape[:2]) > _LONGEST[suffix]:
        raise PhotoError(
            f"its result would be longer than the {_LONGEST[suffix]:,} pixels of a {suffix} file; "
            "save it as TIFF"
        )
    for row in page.pixels:  # its order of channels, without a second picture
        row[:, :3] = row[:, 2::-1].copy()
    done, encoded = cv2.imencode(suffix, page.pixels, options)
    if not done:
        raise MemoryError(f"{suffix} was not encoded")
    return encoded.reshape(-1).data


def _write_tiff(path, pages, photo):
    import tifffile

    directories = []
    assert photo.tiff_header is not None  # its source is a TIFF
    order, big, _ = photo.tiff_header
    large = sum(height * width for height, width in photo.shapes) * 8 > 2**32
    with tifffile.TiffWriter(path, bigtiff=big or large, byteorder=order) as tiff:
        for page in _in_depth(pages):
            directories.append(page.metadata.directory)
            pixels, kinds = page.pixels, ["unassalpha"] * (page.pixels.shape[2] - 3)
            if page.extra is not None:
                pixels = np.concatenate([pixels, page.extra], axis=2)
                kinds += ["unspecified"] * page.extra.shape[2]
            with _encoding(), _full_disk(path):
                tiff.write(
                    pixels,
                    photometric="rgb",
                    planarconfig="contig",
                    metadata=None,
                    extrasamples=kinds or None,
                    compression="zlib" if photo.compressed else None,
                    rowsperstrip=64,
                    iccprofile=srgb_profile(),
                    software=False,
                )
    with _encoding():
        exif.to_tiff(path, directories)


@contextlib.contextmanager
def _full_disk(path):
    """Add the system's error number to an incomplete write, since NumPy's error has none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
