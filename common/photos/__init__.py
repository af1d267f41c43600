"""Any picture file <-> an sRGB array; the one geometry of pictures and networks.

A picture here is (H, W) grey, (H, W, 3) or (H, W, 4) with alpha, uint8 or uint16, upright and in
sRGB, whatever its file was: palette, 1 bit, CMYK, MinIsWhite, turned, with a colour profile.
"""

import contextlib
import dataclasses
import errno
import functools
import io
import logging
import os
import re
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from common.cli import UserError, first_line

CUTS = ("squash", "centre", "letterbox")
MAX_MEGAPIXELS = 300
WRITTEN = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # any other format is written as PNG

# Formats that are known by their first bytes, decoded by libraries alone (no Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "PSD")
_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".jpx",
        ".avif",
        ".psd",
    )
)
# Pictures too, but not for us: they are counted, and the reason names the way out.
_UNREAD = frozenset(
    (
        ".heic",
        ".heif",
        ".jxl",
        ".dng",
        ".nef",
        ".cr2",
        ".cr3",
        ".arw",
        ".orf",
        ".rw2",
        ".raf",
        ".pef",
        ".srw",
    )
)
_ORIENTATION = ExifTags.Base.Orientation
_TIFF_TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 33432)  # names, maker, date, rights
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_OPENING = threading.Lock()


class PhotoError(UserError):
    """A picture that cannot be used; the message is the reason, without the file's name."""


# --- Finding --------------------------------------------------------------------------------------


def is_picture(path):
    """Whether a file is meant to be a picture: by its suffix, or else by its first bytes."""
    path = Path(path)
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in _SUFFIXES | _UNREAD:
        return True
    try:
        with open(path, "rb") as file, _reading(), _image(file):
            return True
    except (PhotoError, OSError):
        return False


def find(folder):
    """Every file below `folder`, a sorted list of Paths; hidden files and folders are left out."""

    def refuse(error):
        raise error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


# --- Geometry -------------------------------------------------------------------------------------


def fit(pixels, size, cut, pad=None, shape=None):
    """Bring a picture to a network's size by area averaging: (H, W[, C]) -> (size, size[, C]).

    uint8, uint16 or float32, dtype kept. `cut`: "squash" takes the whole picture and gives up its
    aspect, "centre" takes the square in its middle, "letterbox" takes the whole and fills up with
    `pad` on both sides, white by default (for floats it must be given). With shape=(H, W),
    `pixels` is an iterator of bands of rows, float32, from top to bottom; "squash" or "letterbox".
    """
    if cut == "centre":
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    top, left, height, width = _frame(shape or pixels.shape, size, cut)
    if shape is not None:
        pixels = np.concatenate([_average(band, len(band), width) for band in pixels])
    inner = _average(pixels, height, width)
    if inner.shape[:2] == (size, size):
        return inner
    if pad is None:
        pad = np.iinfo(inner.dtype).max
    result = np.full((size, size, *inner.shape[2:]), pad, inner.dtype)
    result[top : top + height, left : left + width] = inner
    return result


def unfit(pixels, shape, cut, rows=None):
    """Bring a network's map back to a picture: (S, S, C) float32 -> (H, W, C), bilinear.

    shape=(H, W); the bars of a letterbox are cut off. rows=(start, stop) gives these rows only,
    the very numbers of the whole, so that bands meet without a seam. A "centre" map covers only
    the middle of a picture and has no way back: ValueError.
    """
    if cut == "centre":
        raise ValueError('unfit() knows no way back from cut="centre"; fit with "squash".')
    height, width = shape
    start, stop = rows or (0, height)
    top, left, inner_height, inner_width = _frame(shape, pixels.shape[0], cut)
    inner = pixels[top : top + inner_height, left : left + inner_width]
    inner = _average(inner, min(inner_height, height), min(inner_width, width))
    last = len(inner) - 1
    y = np.clip((np.arange(start, stop) + 0.5) * len(inner) / height - 0.5, 0, last)
    above = y.astype(int)
    share = (y - above).astype(np.float32)[:, None, None]
    inner = inner[above] * (1 - share) + inner[np.minimum(above + 1, last)] * share
    return _resize(inner, stop - start, width, cv2.INTER_LINEAR)


def _frame(shape, size, cut):
    """Where a picture lies in the square: (top, left, height, width)."""
    if cut not in CUTS:
        raise ValueError(f"cut must be one of {', '.join(CUTS)}. Received: {cut!r}.")
    if cut != "letterbox":
        return 0, 0, size, size
    height, width = (max(1, round(size * side / max(shape[:2]))) for side in shape[:2])
    return (size - height) // 2, (size - width) // 2, height, width


def _average(pixels, height, width):
    if height <= pixels.shape[0] and width <= pixels.shape[1]:
        return _resize(pixels, height, width, cv2.INTER_AREA)
    # OpenCV averages in neither direction if one of them grows: one after the other, then.
    for size in ((pixels.shape[0], width), (height, width)):
        smaller = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
        pixels = _resize(pixels, *size, cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return pixels


def _resize(pixels, height, width, method):
    pixels = np.ascontiguousarray(pixels)
    resized = cv2.resize(pixels, (width, height), interpolation=method)
    return resized.reshape(height, width, *pixels.shape[2:])


# --- Reading --------------------------------------------------------------------------------------


def decode(data, size, cut, max_megapixels=MAX_MEGAPIXELS):
    """The bytes of a picture file -> (size, size, 3) uint8 sRGB, for a data set.

    The first page, upright, alpha over white, by `fit`. JPEGs are decoded at a reduced scale where
    that leaves at least twice the target. Raises PhotoError with the reason.
    """
    with _reading():
        photo = Photo(io.BytesIO(data), max_megapixels)
        pixels = photo.page(0, reduced_for=(size, cut)).pixels
        return flat(pixels, size, cut)


def flat(pixels, size, cut):
    """A picture of any kind -> (size, size, 3) uint8: alpha over white, by `fit`."""
    if pixels.dtype == np.uint16:
        pixels = _eight_bit(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(255)
        pixels = np.round(255 + (pixels[..., :3] - np.float32(255)) * alpha).astype(np.uint8)
    pixels = fit(pixels, size, cut)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@contextlib.contextmanager
def read(path, max_megapixels=MAX_MEGAPIXELS):
    """Open a picture file as a `Photo`; a PhotoError tells why it cannot be read.

    `max_megapixels` caps each page, and is checked before any is decoded.
    """
    if Path(path).suffix.lower() in _UNREAD:
        raise PhotoError("camera raw, HEIF and JPEG XL are not read; save it as JPEG or TIFF")
    with contextlib.ExitStack() as stack:
        with _reading():
            file = stack.enter_context(open(path, "rb"))
            photo = Photo(file, max_megapixels)
        yield photo


@dataclasses.dataclass
class Page:
    """A picture and what a file tells beside it.

    pixels: see above. depth: of the file, 8 or 16; where a profile was applied, `pixels` may be
    deeper. dpi: (across, down) or None. exif: the bytes of a TIFF block, or None. xmp: bytes or
    None. texts: the texts of a TIFF page, {tag: str}.
    """

    pixels: np.ndarray
    depth: int
    dpi: tuple | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    texts: dict = dataclasses.field(default_factory=dict)


class Photo:
    """An open picture file, whose pages are decoded one by one.

    `format`: Pillow's name; `written`: the format of a result, which is the same if we write it;
    `shapes`: (H, W) of each page as stored; `notes`: what was done about oddities.
    """

    def __init__(self, file, max_megapixels):
        self.notes = []
        self._file, self._image, self._tiff = file, None, None
        self.lossless = self.compressed = True
        head = file.read(4)
        file.seek(0)
        if head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            import tifffile

            logging.getLogger("tifffile").setLevel(logging.CRITICAL)
            self.format = "TIFF"
            self._tiff = tifffile.TiffFile(file)
            self.shapes = [(page.imagelength, page.imagewidth) for page in self._tiff.pages]
            self.compressed = self._tiff.pages[0].compression != 1
            _refuse_raw(self._tiff)
        else:
            self._image = _image(file)
            self.format = {"MPO": "JPEG"}.get(self._image.format, self._image.format)
            self.shapes = [self._image.size[::-1]]
            self.lossless = self.format != "WEBP" or _is_lossless(file)
            if getattr(self._image, "n_frames", 1) > 1 and self.format != "JPEG":
                self.notes.append("an animation or layers: the first picture only")
        for height, width in self.shapes:
            if height * width > max_megapixels * 1e6:
                raise PhotoError(
                    f"{width} x {height} is {height * width / 1e6:.0f} megapixels, more than "
                    f"{max_megapixels:g}; raise it with --max-megapixels"
                )
        alpha = self._image is not None and self._image.has_transparency_data
        self.written = self.format if self.format in WRITTEN else "PNG"
        if self.format == "BMP" and alpha:
            self.written = "PNG"  # readers of BMP drop alpha
        if self.written != self.format:
            self.notes.append(f"{self.format} in, PNG out")

    def pages(self):
        """Yield each `Page`; raises PhotoError."""
        for index in range(len(self.shapes)):
            with _reading():
                page = self.page(index)
            yield page

    def page(self, index, reduced_for=None):
        """One `Page`; for reduced_for=(size, cut) a JPEG at a smaller scale that is enough."""
        if self._tiff is not None:
            return self._tiff_page(index)
        image, self._image = self._image, None  # its pixels go as soon as ours are there
        if reduced_for:
            size, cut = reduced_for
            _, _, height, width = _frame(self.shapes[0], size, cut)
            image.draft(None, (2 * width, 2 * height))
        info = dict(image.info)
        exif = Image.Exif()
        with contextlib.suppress(Exception):  # damaged EXIF makes Pillow raise anything
            exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        colour, alpha = self._colour_and_alpha(image)
        depth = 16 if isinstance(colour, np.ndarray) else 8
        colour = self._to_srgb(colour, info.get("icc_profile"))
        pixels = _upright(_joined(colour, alpha), orientation)
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        return Page(
            pixels,
            depth,
            _upright_dpi(info.get("dpi"), orientation),
            self._exif(exif, pixels.shape),
            _upright_xmp(xmp),
        )

    def _tiff_page(self, index):
        page = self._tiff.pages[index]
        _check_strips(page, self._file)
        tags = page.tags
        if page.dtype is None or page.dtype.kind not in "ub" or page.dtype.itemsize > 2:
            raise PhotoError(f"its samples are {page.dtype}; save it with 8 or 16 bits a sample")
        if page.bitspersample == 16 and page.photometric in (0, 1, 2):
            colour, alpha = _deep_tiff(page, index, self._file)
            orientation = tags.valueof(_ORIENTATION, 1)
        else:
            if self._image is None:
                self._file.seek(0)
                self._image = _image(self._file)
            self._image.seek(index)
            colour, alpha = self._colour_and_alpha(self._image)
            orientation = 1  # Pillow turns a TIFF as it loads it
            if page.bitspersample == 12:
                colour = np.round(colour * (65535 / 4095)).astype(np.uint16)
            elif page.bitspersample == 16:
                self.notes.append("16-bit CMYK: read with 8 bits")
        depth = 16 if isinstance(colour, np.ndarray) else 8
        colour = self._to_srgb(colour, page.iccprofile)
        pixels = _upright(_joined(colour, alpha), orientation)
        dpi = _upright_dpi(_tiff_dpi(tags), tags.valueof(_ORIENTATION, 1))
        texts = {
            code: tags[code].value for code in _TIFF_TEXTS if isinstance(tags.valueof(code), str)
        }
        exif = Image.Exif()
        if index == 0 and not self._tiff.is_bigtiff:
            self._file.seek(0)
            with contextlib.suppress(Exception):
                exif.load_from_fp(self._file)
        xmp = tags.valueof(700)
        xmp = _upright_xmp(xmp) if isinstance(xmp, bytes) else None
        return Page(pixels, depth, dpi, self._exif(exif, pixels.shape), xmp, texts)

    def _colour_and_alpha(self, image):
        """A Pillow image -> its colours, an image or a uint16 array, and its alpha or None."""
        if self.format == "PNG" and _png_depth(self._file) == 16:
            pixels = _deep_png(self._file)
            if pixels.ndim == 3 and pixels.shape[2] == 4:
                return (
                    pixels[..., 0] if image.mode in ("LA", "I;16") else pixels[..., :3],
                    pixels[..., 3],
                )
            clear = image.info.get("transparency")
            if pixels.ndim == 2 and clear is not None:  # one grey value stands for transparent
                return pixels, np.where(pixels == clear, 0, 65535).astype(np.uint16)
            return pixels, None
        image.load()
        if image.mode.startswith("I"):  # 16 bit, and PPM's 32 bit that holds 16
            pixels = np.asarray(image)
            if pixels.min() < 0 or pixels.max() > 65535:
                raise PhotoError("more than 16 bits a sample; save it with 8 or 16")
            return pixels.astype(np.uint16), None
        if image.mode == "F":
            raise PhotoError("its samples are floats; save it with 8 or 16 bits a sample")
        grey = image.mode in ("1", "L", "LA", "La")
        if image.has_transparency_data:
            image = image.convert("LA" if grey else "RGBA")
            return image.convert("L" if grey else "RGB"), _array(image.getchannel("A"))
        if image.mode in ("L", "RGB", "CMYK", "LAB"):
            return image, None
        return image.convert("L" if grey else "RGB"), None

    def _to_srgb(self, colour, icc):
        """What `_colour_and_alpha` gave -> grey or sRGB, an array of the same depth or deeper."""
        deep = isinstance(colour, np.ndarray)
        grey = colour.ndim == 2 if deep else colour.mode == "L"
        if not deep and colour.mode == "LAB":
            icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        profile = _Profile(icc) if icc else None
        kinds = (
            ("RGB", "GRAY")
            if grey
            else ({"CMYK": ("CMYK",), "LAB": ("Lab",)}.get(None if deep else colour.mode, ("RGB",)))
        )
        if profile and profile.space not in kinds:
            self.notes.append("its colour profile is of another kind or damaged: taken for sRGB")
        if profile is None or profile.space not in kinds or profile.is_srgb:
            if deep or grey or colour.mode == "RGB":
                return colour if deep else _array(colour)
            return _array(colour.convert("RGB"))
        if (deep or grey) and profile.curves is not None:  # 8 bits, rounded twice, would show
            return profile.apply(colour if deep else _sixteen_bit(_array(colour)))
        if deep:
            self.notes.append("its colour profile is a table: converted with 8 bits")
            return _sixteen_bit(self._to_srgb(Image.fromarray(_eight_bit(colour)), icc))
        if grey and profile.space == "RGB":
            colour = colour.convert("RGB")
        in_place = colour.mode == "RGB"
        try:
            converted = ImageCms.profileToProfile(
                colour,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                None if in_place else "RGB",
                in_place,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            return _array(colour if in_place else converted)
        except (ImageCms.PyCMSError, OSError):
            self.notes.append("its colour profile is damaged: taken for sRGB")
            return self._to_srgb(colour, None)

    def _exif(self, exif, shape):
        """EXIF as it holds for the result: upright, in sRGB, of its size; None if there is none."""
        try:
            directories = {tag: exif.get_ifd(tag) for tag in _DIRECTORIES}
            if self.format == "TIFF":  # the rest is the TIFF itself
                for tag in list(exif):
                    if not directories.get(tag):
                        del exif[tag]
            elif _ORIENTATION in exif:
                exif[_ORIENTATION] = 1
            if not exif:
                return None
            details = directories[ExifTags.IFD.Exif]
            now = {
                ExifTags.Base.ColorSpace: 1,
                ExifTags.Base.ExifImageWidth: shape[1],
                ExifTags.Base.ExifImageHeight: shape[0],
            }
            details.update({tag: value for tag, value in now.items() if tag in details})
            return exif.tobytes().removeprefix(b"Exif\0\0")
        except Exception:  # damaged EXIF makes Pillow raise anything, and is no reason to fail
            self.notes.append("its EXIF is damaged: left out")
            return None


@contextlib.contextmanager
def _reading():
    """Turn whatever a decoder raises on a bad file into a PhotoError."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise PhotoError("not enough memory for it") from None
    except Exception as error:  # decoders raise anything on hostile bytes
        if isinstance(error, OSError) and error.errno:  # the system's; decoders give no number
            raise PhotoError(f"cannot be read ({os.strerror(error.errno).lower()})") from error
        if isinstance(error, Image.UnidentifiedImageError):
            raise PhotoError("not a picture, or of a kind that is not read") from error
        raise PhotoError(f"damaged ({first_line(error)})") from error


def _image(file):
    """Pillow's lazy view of a file, for the formats we take."""
    with _OPENING:  # the cap is ours; Pillow's, a global, is put aside while the header is read
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.init()
            return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _is_lossless(file):
    """Whether a WebP holds its pixels exactly."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        file.seek(size + size % 2, io.SEEK_CUR)
    return False


def _png_depth(file):
    file.seek(24)
    return file.read(1)[0]


def _deep_png(file):
    """A 16-bit PNG -> (H, W), (H, W, 3) or (H, W, 4) uint16."""
    file.seek(0)
    _image(file).verify()  # before OpenCV, which gives no reasons
    file.seek(0)
    return _rgb(cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED))


def _refuse_raw(tiff):
    """Camera raw is a TIFF whose first page is a thumbnail: colouring that would be no help."""
    tags = tiff.pages[0].tags
    if 50706 in tags or (tags.valueof(254, 0) & 1 and 330 in tags):
        raise PhotoError("camera raw is not read; save it as JPEG or TIFF")


def _check_strips(page, file):
    """Decoders may leave missing strips black."""
    size = file.seek(0, io.SEEK_END)
    ends = [
        offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    if not ends or max(ends) > size or 0 in page.databytecounts:
        raise PhotoError("damaged (the file is truncated)")


def _deep_tiff(page, index, file):
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
        pixels = _rgb(pages[0])
    channels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[:2] != (page.imagelength, page.imagewidth) or channels.shape[
        2
    ] < colours + bool(page.extrasamples):
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


def _tiff_dpi(tags):
    """(across, down) in dots an inch; None where the unit is unknown."""
    scale = {2: 1.0, 3: 2.54}.get(tags.valueof(296, 2))
    values = [tags.valueof(code) for code in (282, 283)]
    if scale is None or not all(isinstance(value, tuple) and value[1] for value in values):
        return None
    return tuple(scale * value[0] / value[1] for value in values)


def _rgb(pixels):
    """OpenCV's order of channels -> ours, or back."""
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[pixels.shape[2]])


def _array(image):
    """A Pillow image of 8 bits -> a new array, by bands: at once, Pillow would hold it thrice."""
    width, height = image.size
    shape = (height, width) if image.mode == "L" else (height, width, len(image.getbands()))
    result = np.empty(shape, np.uint8)
    rows = max(1, (1 << 20) // width)
    for top in range(0, height, rows):
        result[top : top + rows] = image.crop((0, top, width, min(top + rows, height)))
    return result


def _joined(colour, alpha):
    if alpha is None:
        return colour
    if colour.ndim == 2:
        colour = np.repeat(colour[..., None], 3, axis=2)
    if colour.dtype != alpha.dtype:
        alpha = _sixteen_bit(alpha)
    return np.concatenate([colour, alpha[..., None]], axis=2)


def _eight_bit(pixels):
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def _sixteen_bit(pixels):
    return pixels.astype(np.uint16) * 257


def _upright(pixels, orientation):
    """Undo EXIF's orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _upright_dpi(dpi, orientation):
    return dpi and tuple(map(float, dpi[::-1] if orientation in (5, 6, 7, 8) else dpi))


def _upright_xmp(xmp):
    return xmp and re.sub(rb"(tiff:Orientation(?:=.|>))[2-8]", rb"\g<1>1", xmp)


# --- Writing --------------------------------------------------------------------------------------


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


def write(path, pages, photo):
    """Write an iterator of `Page`s as photo.written, tagged sRGB, metadata kept.

    Lossy formats at quality 95 with full colour resolution; a TIFF is compressed, by Deflate, if
    its source was. Only TIFF takes more than one page. The pages' pixels are used up: large
    pictures leave no room for copies.
    """
    if photo.written == "TIFF":
        _write_tiff(path, pages, photo)
        return
    (page,) = _in_depth(pages)
    parts = {"JPEG": _jpeg, "PNG": _png}.get(photo.written, _by_pillow)(page, photo)
    with open(path, "wb") as file:
        file.writelines(parts)


def _in_depth(pages):
    for page in pages:
        deeper = page.pixels.dtype == np.uint16 and page.depth == 8
        yield dataclasses.replace(page, pixels=_eight_bit(page.pixels)) if deeper else page


def _by_pillow(page, photo):
    """A WebP or BMP, in memory, since Pillow does not say that a disk is full."""
    options = {
        name: value
        for name, value in (("dpi", page.dpi), ("exif", page.exif), ("xmp", page.xmp))
        if value
    }
    buffer = io.BytesIO()
    Image.fromarray(page.pixels).save(
        buffer,
        photo.written,
        quality=95,
        lossless=photo.lossless,
        exact=True,
        icc_profile=_srgb_profile(),
        **options,
    )
    return [buffer.getbuffer()]


def _jpeg(page, photo):
    """The parts of a JPEG: OpenCV's, and behind its JFIF header our metadata."""
    encoded = _encoded(
        page,
        ".jpg",
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    )
    header = bytes(encoded[:20])
    if page.dpi:
        dpi = (min(round(value), 65535) for value in page.dpi)
        header = header[:13] + struct.pack(">BHH", 1, *dpi) + header[18:]
    segments = [(0xE2, b"ICC_PROFILE\0\1\1" + _srgb_profile())]
    if page.exif:
        segments.insert(0, (0xE1, b"Exif\0\0" + page.exif))
    if page.xmp:
        segments.insert(1, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + page.xmp))
    for segment in [each for each in segments if len(each[1]) > 65533]:
        segments.remove(segment)
        photo.notes.append("its EXIF or XMP is too long for a JPEG: left out")
    return [
        header,
        *(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments),
        encoded[20:],
    ]


def _png(page, photo):
    """The parts of a PNG: OpenCV's, and behind its header our metadata."""
    encoded = _encoded(page, ".png", cv2.IMWRITE_PNG_COMPRESSION, 4)
    chunks = [(b"iCCP", b"sRGB\0\0" + zlib.compress(_srgb_profile()))]
    if page.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in page.dpi), 1)))
    if page.exif:
        chunks.append((b"eXIf", page.exif))
    if page.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + page.xmp))
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
    for row in page.pixels:  # its order of channels, without a second picture
        row[:, :3] = row[:, 2::-1].copy()
    done, encoded = cv2.imencode(suffix, page.pixels, options)
    if not done:
        raise MemoryError(f"{suffix} was not encoded")
    return memoryview(encoded.reshape(-1))


def _write_tiff(path, pages, photo):
    import tifffile

    exif = None
    big = sum(height * width for height, width in photo.shapes) * 8 > 2**32
    with tifffile.TiffWriter(path, bigtiff=big, byteorder="<") as tiff:
        for page in _in_depth(pages):
            exif = exif or page.exif
            tags = [(code, 2, 0, text.encode() + b"\0", True) for code, text in page.texts.items()]
            if page.xmp:
                tags.append((700, 1, len(page.xmp), page.xmp, True))
            with _full_disk(path):
                tiff.write(
                    page.pixels,
                    photometric="rgb",
                    planarconfig="contig",
                    metadata=None,
                    extrasamples=["unassalpha"] if page.pixels.shape[2] == 4 else None,
                    compression="zlib" if photo.compressed else None,
                    rowsperstrip=64,
                    resolution=page.dpi,
                    resolutionunit="INCH" if page.dpi else None,
                    iccprofile=_srgb_profile(),
                    software=False,
                    extratags=tags,
                )
    if exif and not big:
        _add_directories(path, _directories(exif))


@contextlib.contextmanager
def _full_disk(path):
    """Give a write that stopped short the number that it has for the system; NumPy gives none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def _directories(block):
    """A block of EXIF -> {tag: its directory}, those of the camera's and the place's data."""
    exif = Image.Exif()
    exif.load(block)
    found = {tag: exif.get_ifd(tag) for tag in _DIRECTORIES}
    return {tag: entries for tag, entries in found.items() if entries}


def _add_directories(path, directories):
    """Add EXIF's directories to a TIFF, whose first directory is written anew at its end.

    tifffile writes none, Pillow none to 16-bit colour.
    """
    with open(path, "r+b") as file:

        def append(made):
            """Write made(offset) at the end, at an even offset, and return that."""
            end = file.seek(0, io.SEEK_END)
            offset = file.seek(end + end % 2)
            file.write(made(offset))
            return offset

        file.seek(4)
        file.seek(*struct.unpack("<I", file.read(4)))
        (count,) = struct.unpack("<H", file.read(2))
        entries = {}
        for _ in range(count):
            entry = file.read(12)
            entries[int.from_bytes(entry[:2], "little")] = entry
        following = file.read(4)
        for tag, values in directories.items():
            directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=tag)
            for code, value in values.items():
                directory[code] = value
            entries[tag] = struct.pack("<HHII", tag, 4, 1, append(directory.tobytes))
        table = b"".join(entries[tag] for tag in sorted(entries))
        first = append(lambda _: struct.pack("<H", len(entries)) + table + following)
        file.seek(4)
        file.write(struct.pack("<I", first))


@functools.cache
def _srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# --- Colour profiles ------------------------------------------------------------------------------


class _Profile:
    """An ICC profile: `space`, and where it has no tables its `curves` and `matrix`.

    curves: (1 or 3, 65536) float32, linear light of each 16-bit value. matrix: (3, n), linear
    light -> XYZ (D50). Pillow's colour management takes 16-bit pictures for 8-bit ones, and grey
    ones not at all.
    """

    # Linear sRGB -> XYZ (D50), the columns of every sRGB profile
    _SRGB = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )

    def __init__(self, icc):
        self.space = icc[16:20].decode("latin-1").strip()
        self.curves = self.matrix = None
        with contextlib.suppress(KeyError, ValueError, IndexError, struct.error):
            self._parse(icc)
        self.is_srgb = (
            self.space == "RGB"
            and self.curves is not None
            and np.abs(self.matrix - self._SRGB).max() < 2e-3
            and np.abs(self.curves - _srgb_to_linear(_RAMP)).max() < 2e-3
        )

    def _parse(self, icc):
        (count,) = struct.unpack_from(">I", icc, 128)
        places = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 100))]
        tags = {name: icc[offset : offset + size] for name, offset, size in places}
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
        if pixels.ndim == 2:  # equal amounts of the three colours are grey in every profile
            grey = _linear_to_srgb(self.curves.mean(axis=0))
            return np.round(65535 * grey).astype(np.uint16)[pixels]
        matrix = np.linalg.inv(self._SRGB) @ self.matrix
        result = np.empty_like(pixels)
        for row, target in zip(pixels, result, strict=True):
            linear = np.stack([curve[row[:, i]] for i, curve in enumerate(self.curves)], axis=1)
            target[:] = np.round(65535 * _linear_to_srgb(np.clip(linear @ matrix.T, 0, 1)))
        return result


_RAMP = np.linspace(0, 1, 65536)


def _srgb_to_linear(value):
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(value):
    return np.where(
        value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0.0031308) ** (1 / 2.4) - 0.055
    )


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
