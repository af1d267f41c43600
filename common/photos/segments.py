"""How large the picture inside a strip or tile of a TIFF says it is, before it is decoded.

A TIFF of a few bytes may hold, in one strip, a JPEG XL of a hundred gigabytes.
"""

import io
import struct
from fractions import Fraction

from common.photos import jpeg2000
from common.photos.formats import open_image

HEAD = 1 << 16  # bytes of a segment in which its header stands
_RATIOS = (1, Fraction(6, 5), Fraction(4, 3), Fraction(3, 2), Fraction(16, 9), Fraction(5, 4), 2)


def shape(head: bytes) -> tuple[int, int] | None:
    """(H, W) of a segment that begins with these bytes; None where a codec has no size of its own.

    Raises whatever a damaged header makes decoders raise.
    """
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return _jpeg_xl(head)
    if head.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return jpeg2000.header(head).shape
    if head.startswith(b"Lerc2 "):
        (version,) = struct.unpack_from("<i", head, 6)
        return struct.unpack_from("<ii", head, 14 if version > 2 else 10)
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"RIFF")):
        with open_image(io.BytesIO(head)) as image:
            return image.size[::-1]
    return None


def _jpeg_xl(head):
    """The SizeHeader of a JPEG XL, ISO/IEC 18181-1, A.2."""
    if head[:2] != b"\xff\x0a":
        parts = dict(reversed([*jpeg2000.boxes(head)]))
        head = parts[b"jxlc"] if b"jxlc" in parts else parts[b"jxlp"][4:]
    bits = int.from_bytes(head[2:18], "little")

    def take(count):
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def length():
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = length()
    ratio = take(3)
    return height, int(height * _RATIOS[ratio - 1]) if ratio else length()
