"""Picture files made for the tests, as bytes."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image


def saved(image, kind, **options):
    """The bytes of an array or Pillow image in a format of Pillow."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def tiff(*pages, **options):
    file = io.BytesIO()
    big, order = options.pop("bigtiff", False), options.pop("byteorder", "<")
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for page in pages:
            writer.write(page, metadata=None, **options)
    return file.getvalue()


def chunk(name, data):
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(pixels, kind, *chunks):
    """A 16-bit PNG of any colour type, written by hand."""
    size = pixels.shape[1::-1]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 16, kind, 0, 0, 0)),
            *(chunk(*each) for each in chunks),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def icc(space, tags):
    """A minimal ICC profile, version 2, for a screen."""
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"mntr", space.ljust(4), b"XYZ ")
    header += struct.pack(">6H4s4s", 2024, 1, 1, 0, 0, 0, b"acsp", b"APPL") + bytes(24)
    header += struct.pack(">3i", 63190, 65536, 54061)  # D50
    header = header.ljust(128, b"\0")
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249), **tags}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data = data.ljust(-(-len(data) // 4) * 4, b"\0")
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data
    profile = header + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def parametric(*values):
    kind = {1: 0, 3: 1, 4: 2, 5: 3, 7: 4}[len(values)]
    return b"para\0\0\0\0" + struct.pack(
        f">HH{len(values)}i", kind, 0, *(round(value * 65536) for value in values)
    )


def table(inputs, lab):
    """An 8-bit table from 2 ** inputs corners to Lab; lab(corner of 0 and 1) -> L, a, b."""
    ramp = bytes(range(256))
    corners = [[(i >> (inputs - 1 - j)) & 1 for j in range(inputs)] for i in range(2**inputs)]
    nodes = b"".join(
        bytes([round(lightness * 2.55), round(a) + 128, round(b) + 128])
        for lightness, a, b in map(lab, corners)
    )
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    return b"mft1\0\0\0\0" + bytes([inputs, 3, 2, 0]) + identity + ramp * inputs + nodes + ramp * 3
