"""The ICC profile and the XMP of a GIF, which Pillow leaves out, under the names that it uses."""

import contextlib
from typing import Any, BinaryIO

_APPLICATION, _HEADER = 0xFF, 13
_ICC, _XMP = b"ICCRGBG1012", b"XMP DataXMP"
_TRAILER = 257  # bytes behind XMP, which lead any reader of blocks to its end


def info(file: BinaryIO) -> dict[str, Any]:
    """What to add to the `info` of a GIF that Pillow has opened: of the extensions at its start."""
    file.seek(0)
    data, found = file.read(), {}
    with contextlib.suppress(IndexError):  # cut off: Pillow says so, or the rest is there
        at = _HEADER + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
        while data[at] == ord("!"):
            start, parts, label = at + 2, [], data[at + 1]
            at = start
            while length := data[at]:
                parts.append(data[at + 1 : at + 1 + length])
                at += 1 + length
            if label == _APPLICATION and parts[0] == _ICC:
                found["icc_profile"] = b"".join(parts[1:])
            elif label == _APPLICATION and parts[0] == _XMP:
                found["xmp"] = data[start + 1 + len(_XMP) : at - _TRAILER]  # not in blocks
            at += 1
    return found
