"""AVIF and HEIF beyond what Pillow reads: more than 8 bits a sample."""

from typing import BinaryIO

import numpy as np
from PIL import Image

from common.photos.pixels import Samples, whole_range

_HEADER = 1 << 16  # where the properties of a picture stand, before its data


def bits(file: BinaryIO, image: Image.Image) -> int:
    """Bits a sample of an AVIF or HEIF that Pillow has opened."""
    if image.format == "HEIF":
        return image.info["bit_depth"]
    file.seek(0)
    _, found, configuration = file.read(_HEADER).partition(b"av1C")
    flags = configuration[2] if found and len(configuration) > 2 else 0  # of av1C, AV1-ISOBMFF 2.3
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def left_out(image: Image.Image, file: BinaryIO) -> list[str]:
    """Notes about what an open AVIF or HEIF holds besides its picture."""
    file.seek(0)
    maps = b"tmap" in file.read(_HEADER) or image.info.get("aux") or image.info.get("depth_images")
    return ["its gain map or depth map: left out"] if maps else []


def deep(file: BinaryIO, image: Image.Image) -> Samples:
    """The samples of an AVIF or HEIF of 10 or 12 bits."""
    depth = bits(file, image)
    file.seek(0)
    if image.format == "HEIF":
        from pillow_heif import open_heif

        heif = open_heif(file, convert_hdr_to_8bit=False)
        pixels = np.asarray(heif[heif.primary_index]) >> (16 - depth)  # which has them on top
    else:
        from imagecodecs import avif_decode

        pixels = avif_decode(file.read(), 0)
    pixels = whole_range(pixels.reshape(*image.size[::-1], -1), depth)
    colour, alpha = pixels, None
    if pixels.shape[2] in (2, 4):
        colour, alpha = pixels[..., :-1], pixels[..., -1]
    if colour.shape[2] == 1:
        return Samples(colour[..., 0], "L", alpha)
    return Samples(colour, "RGB", alpha)
