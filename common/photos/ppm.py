"""PPM of more than 8 bits a sample, of which Pillow keeps 8."""

import re
from typing import BinaryIO

import numpy as np

from common.photos.pixels import Samples

_HEADER = re.compile(rb"(P[36])" + 3 * rb"\s+(?:#[^\r\n]*\s+)*(\d+)" + rb"\s")


def deep(file: BinaryIO) -> Samples | None:
    """The samples of a colour PPM, plain or binary; None for one of at most 8 bits."""
    file.seek(0)
    match = _HEADER.match(file.read(4096))
    if match is None or int(match[4]) < 256:
        return None
    width, height, most = map(int, match.groups()[1:])
    file.seek(match.end())
    if match[1] == b"P6":
        values = np.frombuffer(file.read(2 * width * height * 3), ">u2")
    else:
        values = np.array(file.read().split(), np.uint32)
    if values.size < width * height * 3:
        raise ValueError("the file is truncated")
    levels = np.round(np.linspace(0, 65535, most + 1)).astype(np.uint16)
    pixels = np.take(levels, values[: width * height * 3], mode="clip")
    return Samples(pixels.reshape(height, width, 3), "RGB")
