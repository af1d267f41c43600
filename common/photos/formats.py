"""Which files are pictures: formats, suffixes, and opening a file as a picture.

Formats are recognised by their first bytes and decoded by libraries only (no Ghostscript).
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from common.cli import UserError, first_line

WRITTEN = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # any other format is written as PNG
_READ = (*WRITTEN, "GIF", "PPM", "JPEG2000", "AVIF", "PSD")

# fmt: off
_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp",
    ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".psd",
))
# Pictures too, but not decoded here: they are counted, and the reason says what to do.
_REFUSED = frozenset((
    ".heic", ".heif", ".jxl", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf",
    ".pef", ".srw",
))
# fmt: on
# What a name in a folder is, if the system finds nothing behind it.
_LINKS = {errno.ENOENT: "a broken link", errno.ELOOP: "a link that leads back to itself"}
_OPENING = threading.Lock()


class PhotoError(UserError):
    """A picture that cannot be used; the message is the reason, without the file's name."""


def find(folder: str | Path, skipped: dict[Path, str] | None = None) -> list[Path]:
    """Every file below `folder`, sorted; hidden files and folders are left out.

    Links to files are followed. skipped: receives whatever else is there, with the reason: links to
    folders, which may lead back, broken ones, pipes and the like, and what cannot be read. Raises
    OSError if `folder` itself cannot be read.
    """
    skipped = {} if skipped is None else skipped

    def skip(error):
        if Path(error.filename) == Path(folder):
            raise error
        skipped[Path(error.filename)] = unreadable(error)

    paths = []
    for parent, folders, names in os.walk(folder, onerror=skip):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                skipped[path] = "a link to a folder, which is not followed"
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            if reason := _why_no_file(path):
                skipped[path] = reason
            else:
                paths.append(path)
    return sorted(paths)


def _why_no_file(path):
    """What something is instead of a file; "" for a file and for a link to one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return _LINKS.get(error.errno or 0) or unreadable(error)
    return "" if stat.S_ISREG(mode) else "a pipe, a socket or a device"


def unreadable(error: OSError) -> str:
    """The reason for which the system does not read something."""
    return f"cannot be read ({os.strerror(error.errno or 0).lower()})"


def is_picture(path: str | Path) -> bool:
    """Whether a file is meant to be a picture: by its suffix, or else by its first bytes."""
    path = Path(path)
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in _SUFFIXES | _REFUSED:
        return True
    try:
        with open(path, "rb") as file, decoding(), open_image(file):
            return True
    except (PhotoError, OSError):
        return False


def refuse_by_name(path: str | Path) -> None:
    """Raise PhotoError for suffixes of formats that are not read."""
    if Path(path).suffix.lower() in _REFUSED:
        raise PhotoError("camera raw, HEIF and JPEG XL are not read; save it as JPEG or TIFF")


def open_image(file: BinaryIO) -> Image.Image:
    """Open a file with Pillow without decoding it yet; Pillow's limit on pixels is disabled."""
    with _OPENING:  # the limit is a global variable, disabled while the header is read
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.init()
            return Image.open(file, formats=[name for name in _READ if name in Image.OPEN])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a decoder raises on a bad file into a PhotoError."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise PhotoError("not enough memory for it") from None
    except Exception as error:  # decoders raise anything on hostile bytes
        if isinstance(error, OSError) and error.errno:  # the system's; decoders give no number
            raise PhotoError(unreadable(error)) from error
        if isinstance(error, Image.UnidentifiedImageError):
            raise PhotoError("not a picture, or of a kind that is not read") from error
        raise PhotoError(f"damaged ({first_line(error)})") from error
