"""Any picture file <-> an sRGB array; the one geometry of pictures and networks.

A picture here is (H, W) grey, (H, W, 3) or (H, W, 4) with alpha, uint8 or uint16, upright and in
sRGB, whatever its file was: palette, 1 bit, CMYK, MinIsWhite, turned, with a colour profile.

    formats    which files are pictures, finding and opening them, `PhotoError`
    geometry   `fit` to a network's square, `unfit` back
    pixels     depth, order of channels, alpha, orientation
    profiles   colour profiles (ICC) -> sRGB
    colours    what a file says of its colours -> a profile
    exif       directories of EXIF and TIFF, with every entry's type
    xmp        XMP of a result
    metadata   what a file holds beside its pixels
    tiff       TIFFs by tifffile and imagecodecs: any layout, camera raw
    segments   how large a strip or tile is before it is decoded
    png        damaged chunks, 16 bits
    jpeg       what lies beside the picture, a missing end
    jpeg2000   any depth up to 16 bits
    heif       AVIF and HEIF of 10 and 12 bits
    ppm        16 bits
    psd        metadata of Photoshop files
    gif        profile and XMP of GIF
    tone       whether a picture is grey
    reading    `read`, `Photo`, `Page`; `decode` for a data set
    decoder    the same in a helper process, for files of strangers: `Decoder`
    worker     what runs there
    cleaning   an old print's tint taken off
    border     the border of a scanned print
    shipped    sample photos that installed libraries bring
    writing    `write` a result in its source's format; `png`
"""

from common.photos import border, cleaning
from common.photos.decoder import Decoder
from common.photos.formats import WRITTEN, PhotoError, find, is_picture, unreadable, walk
from common.photos.geometry import CUTS, fit, frame, unfit
from common.photos.reading import MAX_MEGAPIXELS, About, Page, Photo, decode, flat, opaque, read
from common.photos.tone import is_grey
from common.photos.writing import png, write

__all__ = [
    "CUTS",
    "MAX_MEGAPIXELS",
    "About",
    "Decoder",
    "WRITTEN",
    "Page",
    "Photo",
    "PhotoError",
    "border",
    "cleaning",
    "decode",
    "find",
    "fit",
    "flat",
    "frame",
    "is_grey",
    "is_picture",
    "opaque",
    "png",
    "read",
    "unfit",
    "unreadable",
    "walk",
    "write",
]
