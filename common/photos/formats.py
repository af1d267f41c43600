"""Which files are pictures: formats, suffixes, and opening a file as a picture.

Formats are recognised by their first bytes and decoded by libraries only (no Ghostscript).
"""

import contextlib
import errno
import functools
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from common.cli import UserError, first_line, one_line

WRITTEN = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # any other format is written as PNG
_READ = (*WRITTEN, "GIF", "PPM", "JPEG2000", "AVIF", "PSD", "HEIF")

# fmt: off
_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp",
    ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf",
    ".avif", ".psd", ".btf", ".tf8",
))
# Pictures too, but not decoded here, or not by every installation: they are counted, and the reason
# says what to do.
_RAW = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff",
    ".gpr", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))
_HEIF = frozenset((".heic", ".heics", ".heif", ".heifs", ".hif"))
# fmt: on
_OTHERS = {
    ".jxl": "JPEG XL is not read; save it as PNG or JPEG (djxl does)",
    ".psb": "Photoshop's large files (PSB) are not read; save it as TIFF or PNG",
    ".jxr": "JPEG XR is not read; save it as TIFF or PNG",
    ".wdp": "JPEG XR is not read; save it as TIFF or PNG",
}
_RAW_REASON = "camera raw is not read; save it as JPEG or TIFF"
_HEIF_REASON = (
    "HEIF needs pillow-heif, which is not installed (make setup HEIF=1, or pip install "
    "pillow-heif); or save it as JPEG or TIFF"
)
# First bytes, at an offset, of what Pillow would refuse without a reason.
_SIGNATURES = (
    (0, b"\xff\x0a", _OTHERS[".jxl"]),
    (0, b"\0\0\0\x0cJXL \r\n", _OTHERS[".jxl"]),
    (0, b"8BPS\0\2", _OTHERS[".psb"]),
    (0, b"II\xbc", _OTHERS[".jxr"]),
    (8, b"CR\2", _RAW_REASON),  # Canon, a TIFF
    (4, b"ftypcrx ", _RAW_REASON),
    (6, b"HEAPCCDR", _RAW_REASON),
    (0, b"IIU\0", _RAW_REASON),  # Panasonic, Leica
    (0, b"IIRO", _RAW_REASON),  # Olympus
    (0, b"IIRS", _RAW_REASON),
    (0, b"MMOR", _RAW_REASON),
    (8, b"IIII", _RAW_REASON),  # Phase One, a TIFF
    (0, b"FUJIFILMCCD-RAW", _RAW_REASON),
    (0, b"FOVb", _RAW_REASON),  # Sigma
    (0, b"\0MRM", _RAW_REASON),  # Minolta
)
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"8BPS"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# What a name in a folder is, if the system finds nothing behind it.
_LINKS = {errno.ENOENT: "a broken link", errno.ELOOP: "a link that leads back to itself"}
_OPENING = threading.Lock()
_LIMITS = (
    (Image, "MAX_IMAGE_PIXELS", None),
    (PngImagePlugin, "MAX_TEXT_CHUNK", 1 << 26),
    (PngImagePlugin, "MAX_TEXT_MEMORY", 1 << 28),
)
HEAD = 256  # bytes that tell what a file is
LONGEST = 300  # characters of a reason or a note


class PhotoError(UserError):
    """A picture that cannot be used; the message is the reason, without the file's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(one_line(reason, LONGEST))  # it may quote what the file holds


def find(folder: str | Path, skipped: dict[Path, str] | None = None) -> list[Path]:
    """Every file below `folder`, sorted; as of `walk`."""
    return sorted(walk(folder, skipped))


def walk(folder: str | Path, skipped: dict[Path, str] | None = None) -> Iterator[Path]:
    """Yield every file below `folder`, in any order; hidden files and folders are left out.

    Links to files are followed. skipped: receives whatever else is there, with the reason: links to
    folders, which may lead back, broken ones, pipes and the like, and what cannot be read. Raises
    OSError if `folder` itself cannot be read.
    """
    skipped = {} if skipped is None else skipped

    def skip(error):
        if Path(error.filename) == Path(folder):
            raise error
        skipped[Path(error.filename)] = unreadable(error)

    for parent, folders, names in os.walk(folder, onerror=skip):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                skipped[path] = "a link to a folder, which is not followed"
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            if reason := _why_no_file(path):
                skipped[path] = reason
            else:
                yield path


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
    by_name = is_picture_by_name(path)
    if by_name is not None:
        return by_name
    try:
        with open(path, "rb") as file:
            return begins_as_picture(file)
    except OSError:
        return False


def is_picture_by_name(path: str | Path) -> bool | None:
    """Whether a file is meant to be a picture; None where its name does not tell."""
    path = Path(path)
    if path.name.startswith("."):
        return False
    known = _SUFFIXES | _RAW | _HEIF | _OTHERS.keys()
    return True if path.suffix.lower() in known else None


def begins_as_picture(file: BinaryIO) -> bool:
    """Whether the first bytes of an open file are those of a picture, read here or not."""
    try:
        with decoding():
            if why_not(file.read(HEAD)):
                return True
            file.seek(0)
            with open_image(file):
                return True
    except (PhotoError, OSError):
        return False


def why_not(head: bytes, suffix: str = "") -> str:
    """Why a file that begins with these bytes is not read, or "".

    Camera raw is known by its suffix as well: much of it is a TIFF of a thumbnail.
    """
    for offset, signature, reason in _SIGNATURES:
        if head.startswith(signature, offset):
            return reason
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = [head[i : i + 4] for i in (8, *range(16, size, 4))]
        if b"avif" in brands or b"avis" in brands:
            return "" if "AVIF" in _openers() else "this Pillow reads no AVIF; save it as JPEG"
        if any(brand in _HEIF_BRANDS for brand in brands):
            return "" if "HEIF" in _openers() else _HEIF_REASON
    if head[:6] == b"8BPS\0\1" and head[22:24] not in (b"\0\1", b"\0\x08"):
        bits = int.from_bytes(head[22:24], "big")
        return f"a Photoshop file of {bits} bits a channel is not read; save it as TIFF"
    if suffix in _RAW and head[:2] != b"\xff\xd8":
        return _RAW_REASON
    return ""


def of_suffix(suffix: str) -> str:
    """Why a file of this suffix, whose bytes nothing recognises, is not read; "" for any other."""
    if suffix in _HEIF and "HEIF" not in _openers():
        return _HEIF_REASON
    return _OTHERS.get(suffix, "")


def is_begun(head: bytes) -> bool:
    """Whether these first bytes are those of a format that is read, whatever follows."""
    return head.startswith(_BEGINNINGS) or head[4:8] == b"ftyp" or head[8:12] == b"WEBP"


@functools.cache
def _openers():
    """The formats that Pillow opens, HEIF with the optional pillow-heif."""
    # What Pillow warns of names a line of its source; what matters becomes a note or an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in _READ if name in Image.OPEN]


def open_image(file: BinaryIO) -> Image.Image:
    """Open a file with Pillow without decoding it yet; Pillow's limits are lifted meanwhile.

    Those are on the number of pixels, which `Photo` caps, and on the length of texts and profiles.
    """
    with _OPENING:  # the limits are global variables
        limits = [getattr(module, name) for module, name, _ in _LIMITS]
        for module, name, value in _LIMITS:
            setattr(module, name, value)
        try:
            return Image.open(file, formats=_openers())
        finally:
            for (module, name, _), value in zip(_LIMITS, limits, strict=True):
                setattr(module, name, value)


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
        if type(error) is NameError:  # a defect of ours; some decoders use unbound variables
            raise
        if isinstance(error, Image.UnidentifiedImageError):
            raise PhotoError("not a picture, or of a kind that is not read") from error
        raise PhotoError(f"damaged ({first_line(error)})") from error
