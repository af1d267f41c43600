"""Reading picture files: `read` opens one as a `Photo`, `decode` brings one to a network's size."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from common.photos import colours, exif, gif, heif, jpeg, jpeg2000, metadata, png, ppm, psd, tiff
from common.photos.formats import (
    HEAD,
    WRITTEN,
    PhotoError,
    decoding,
    is_begun,
    of_suffix,
    open_image,
    why_not,
)
from common.photos.geometry import fit, frame
from common.photos.metadata import Metadata
from common.photos.pixels import (
    Samples,
    eight_bit,
    from_pillow,
    sixteen_bit,
    upright,
    with_alpha,
)
from common.photos.profiles import to_srgb

MAX_MEGAPIXELS = 300


@contextlib.contextmanager
def read(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> "Iterator[Photo]":
    """Open a picture file as a `Photo`; raises PhotoError with the reason.

    `max_megapixels` caps each page, and is checked before any is decoded.
    """
    with contextlib.ExitStack() as stack:
        with decoding():
            file = stack.enter_context(open(path, "rb"))
            photo = Photo(file, max_megapixels, Path(path).suffix.lower())
        yield photo


def decode(data: bytes, size: int, cut: str, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """The bytes of a picture file -> (size, size, 3) uint8 sRGB, for a data set.

    The first page, upright, alpha over white, by `fit`. JPEGs are decoded at a reduced scale where
    that leaves at least twice the target. Raises PhotoError with the reason.
    """
    with decoding():
        photo = Photo(io.BytesIO(data), max_megapixels)
        pixels = photo.page(0, reduced_for=(size, cut)).pixels
        return flat(pixels, size, cut)


def flat(pixels: np.ndarray, size: int, cut: str) -> np.ndarray:
    """A picture of any kind -> (size, size, 3) uint8: alpha over white, by `fit`."""
    pixels = fit(opaque(pixels), size, cut)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def opaque(pixels: np.ndarray) -> np.ndarray:
    """A picture of any kind -> uint8, (H, W) or (H, W, 3): alpha over white."""
    if pixels.dtype == np.uint16:
        pixels = eight_bit(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(255)
        pixels = np.round(255 + (pixels[..., :3] - np.float32(255)) * alpha).astype(np.uint8)
    return pixels


@dataclasses.dataclass
class Page:
    """A picture, and what else its file holds.

    pixels: (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16, upright and in sRGB. depth: of the
    file, 8 or 16; where a profile was applied, `pixels` may be deeper. extra: (H, W, N) of the
    file's depth, samples that are neither colour nor alpha.
    """

    pixels: np.ndarray
    depth: int
    metadata: Metadata
    extra: np.ndarray | None = None


@dataclasses.dataclass
class About:
    """What is known of an open picture file before it is decoded.

    `format`: Pillow's name; `written`: the format of a result, which is the same if we write it;
    `shapes`: (H, W) of each page as stored; `compressed`: whether its pixels are;
    `notes`: how irregularities were handled; `tiff_header`: of a TIFF, (byte order, whether its
    offsets have 64 bits, ...) as of `exif.header`.
    """

    format: str
    written: str
    shapes: list[tuple[int, int]]
    compressed: bool
    notes: list[str]
    tiff_header: tuple[str, bool, int] | None = None

    def pages(self) -> Iterator[Page]:
        """Yield each `Page`; raises PhotoError."""
        raise NotImplementedError


class Photo(About):
    """An open picture file, whose pages are decoded one by one, in this process."""

    def __init__(self, file: BinaryIO, max_megapixels: float, suffix: str = "") -> None:
        self.notes: list[str] = []
        self._file, self._tiff = file, None
        self._image: Image.Image | None = None
        self.compressed = True
        head = file.read(HEAD)
        file.seek(0)
        if reason := why_not(head, suffix):
            raise PhotoError(reason)
        if tiff.is_tiff(head):
            self.format = "TIFF"
            self.tiff_header = exif.header(file)
            self._tiff = tiff.open_tiff(file)
            self._pictures = tiff.pictures(self._tiff, self.notes)
            self.shapes = [picture.shape for picture in self._pictures]
            self.compressed = self._pictures[0].page.compression != 1
        else:
            self._open(head, suffix)
        for height, width in self.shapes:
            if min(height, width) < 1:
                raise PhotoError("damaged (it has no pixels)")
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

    def _open(self, head, suffix):
        """Open a file of one picture."""
        try:
            if head.startswith(png.START):
                image, self._file = png.open_png(self._file, self.notes)
            else:
                image = open_image(self._file)
        except Image.UnidentifiedImageError:
            if reason := jpeg.why_not(self._file) or of_suffix(suffix):
                raise PhotoError(reason) from None
            if jpeg2000.is_jpeg2000(head):
                self._file.seek(0)
                jpeg2000.header(self._file.read())  # else it is damaged
                raise PhotoError(
                    "a JPEG 2000 of these components is not read; save it as TIFF or PNG"
                ) from None
            if is_begun(head):
                raise PhotoError("damaged (its header cannot be read)") from None
            raise
        self._image = image
        name = image.format or ""
        self.format = {"MPO": "JPEG"}.get(name, name)
        self.shapes = [image.size[::-1]]
        if self.format == "JPEG":
            self.notes += jpeg.left_out(image, self._file)
        elif getattr(image, "n_frames", 1) > 1:
            self.notes.append("an animation or layers: the first picture only")
        if self.format in ("AVIF", "HEIF"):
            self.notes += heif.left_out(image, self._file)
        if self.format == "JPEG2000":
            self._file.seek(0)
            data = self._file.read()
            self._header = jpeg2000.header(data)
            self.shapes = [self._header.shape]
            image.info.update(jpeg2000.info(data))
        elif self.format == "PSD":
            image.info.update(psd.info(image))
        elif self.format == "GIF":
            image.info.update(gif.info(self._file))

    def pages(self) -> Iterator[Page]:
        for index in range(len(self.shapes)):
            with decoding():
                page = self.page(index)
            yield page

    def page(self, index: int, reduced_for: tuple[int, str] | None = None) -> Page:
        """One `Page`; for reduced_for=(size, cut) a JPEG at a smaller scale that suffices."""
        if self._tiff is not None:
            return self._tiff_page(index)
        image, self._image = self._image, None  # its pixels are freed as soon as ours exist
        if image is None:
            raise ValueError("page() of a file with a single page works once; open it again.")
        draft = None
        if reduced_for:
            size, cut = reduced_for
            _, _, height, width = frame(self.shapes[0], size, cut)
            draft = 2 * width, 2 * height
        orientation = 1
        with contextlib.suppress(Exception):  # damaged EXIF makes Pillow raise anything
            orientation = exif.orientation(image.getexif().get(exif.ORIENTATION))
        block = metadata.exif_block(image, self._file)
        samples = self._samples(image, draft)
        if samples.extra is not None:
            self.notes.append("a sample that is no colour: left out")
        top = metadata.directory(block, self.notes)
        icc = colours.stated(image, self._file, samples, top, self.notes)
        colour = to_srgb(samples, icc, self.notes)
        pixels = upright(with_alpha(colour, samples.alpha), orientation)
        kept = metadata.of_image(image, self._file, block, pixels.shape, orientation, self.notes)
        return Page(pixels, samples.depth, kept)

    def _tiff_page(self, index):
        assert self._tiff is not None  # a page of a TIFF
        picture = self._pictures[index]
        samples = tiff.decode(picture, self._file, self.notes)
        of_file = self._file, picture.top.offset
        orientation = exif.orientation(picture.valueof(exif.ORIENTATION))
        icc = picture.valueof(34675) or colours.of_tiff(*of_file, samples, self.notes)
        colour = to_srgb(samples, icc, self.notes)
        pixels = upright(with_alpha(colour, samples.alpha), orientation)
        return Page(
            pixels,
            picture.depth,
            metadata.of_tiff(*of_file, pixels.shape, orientation, self.notes),
            None if samples.extra is None else upright(samples.extra, orientation),
        )

    def _samples(self, image, draft):
        """The samples of an open file that is no TIFF."""
        file = self._file
        if self.format == "JPEG2000":
            file.seek(0)
            return jpeg2000.decode(file.read(), self._header)
        if self.format == "PNG" and png.depth(file) == 16:
            return png.deep(file)
        if self.format in ("AVIF", "HEIF") and heif.bits(file, image) > 8:
            return heif.deep(file, image)
        if self.format == "PPM" and (deep := ppm.deep(file)):
            return deep
        if self.format == "JPEG":
            image = jpeg.load(image, file, draft, self.notes)
        image.load()
        if image.mode.startswith("I"):  # 16 bit, and PPM's 32 bit that holds 16
            pixels = np.asarray(image)
            if pixels.min() < 0 or pixels.max() > 65535:
                raise PhotoError("more than 16 bits a sample; save it with 8 or 16")
            return Samples(pixels.astype(np.uint16), "L")
        if image.mode == "F":
            raise PhotoError("its samples are floats; save it with 8 or 16 bits a sample")
        space = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        if image.has_transparency_data:
            image = image.convert("LA" if space == "L" else "RGBA")
            return Samples(image.convert(space), space, from_pillow(image.getchannel("A")))
        if image.mode == "LAB":
            return Samples(sixteen_bit(from_pillow(image)), "LAB")
        if image.mode == "CMYK":
            return Samples(image, "CMYK")
        return Samples(image if image.mode == space else image.convert(space), space)
