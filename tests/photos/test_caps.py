"""Headers that claim a huge picture: refused before anything is decoded, in every format."""

import io
import struct
import zlib

import pytest
import tifffile

from common.photos import PhotoError
from tests import drawn
from tests.photos.files import saved, tiff

RGB = drawn.picture(3, 40, 60)
HUGE = 60_000


def _replaced(data, offset, layout, *values):
    return data[:offset] + struct.pack(layout, *values) + data[offset + struct.calcsize(layout) :]


def _png():
    data = _replaced(saved(RGB, "PNG"), 16, ">II", HUGE, HUGE)
    return _replaced(data, 29, ">I", zlib.crc32(data[12:29]))


def _gif():
    data = _replaced(saved(RGB, "GIF"), 6, "<HH", HUGE, HUGE)
    return _replaced(data, data.index(b",\0\0\0\0") + 5, "<HH", HUGE, HUGE)


def _tiff():
    data = tiff(RGB, photometric="rgb")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        places = [file.pages[0].tags[tag].valueoffset for tag in (256, 257)]
    for place in places:
        data = _replaced(data, place, "<H", HUGE)
    return data


def _lossless_webp():
    data = saved(RGB, "WEBP", lossless=True)
    place = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, place)
    return _replaced(data, place, "<I", bits & ~((1 << 28) - 1) | 16382 | 16382 << 14)


def _webp():
    data = saved(RGB, "WEBP")
    return _replaced(data, data.index(b"\x9d\x01\x2a") + 3, "<HH", 16383, 16383)


def _jpeg2000(origin):
    data = saved(RGB, "JPEG2000")
    data = _replaced(data, data.index(b"ihdr") + 4, ">II", HUGE, HUGE)
    return _replaced(data, data.index(b"\xff\x51") + 6, ">IIII", HUGE, HUGE, origin, origin)


def _jpeg():
    data = saved(RGB, "JPEG")
    return _replaced(data, data.index(b"\xff\xc0") + 5, ">HH", HUGE, HUGE)


def _avif():
    data = saved(RGB, "AVIF")
    return _replaced(data, data.index(b"ispe") + 8, ">II", HUGE, HUGE)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_png, "3600 megapixels"),
        (_jpeg, "3600 megapixels"),
        (_gif, "3600 megapixels"),
        (_tiff, "3600 megapixels"),
        (_webp, "268 megapixels"),  # the most that a WebP can claim
        (_lossless_webp, "268 megapixels"),
        (lambda: _jpeg2000(0), "3600 megapixels"),
        (lambda: _jpeg2000(2 * HUGE), "no pixels"),  # it begins behind its end
        (_avif, "damaged"),  # its stream says another size than its container
        (lambda: _replaced(saved(RGB, "BMP"), 18, "<ii", HUGE, HUGE), "3600 megapixels"),
        (lambda: b"P6\n60000 60000\n255\n" + bytes(100), "3600 megapixels"),
        (
            lambda: b"8BPS\0\1" + struct.pack(">6xHIIHH", 3, 30_000, 30_000, 8, 3) + bytes(200),
            "900 megapixels",
        ),
    ],
)
def test_the_size_in_the_header_is_capped(read, make, reason):
    with pytest.raises(PhotoError, match=reason):
        read(make(), max_megapixels=200)
