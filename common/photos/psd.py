"""Photoshop files: the metadata in their resources, under the names that Pillow uses."""

import struct
from typing import Any

from PIL import Image

_RESOLUTION, IPTC, _EXIF, _XMP = 0x03ED, 0x0404, 0x0422, 0x0424


def info(image: Image.Image) -> dict[str, Any]:
    """What to add to the `info` of a Photoshop file that Pillow has opened."""
    resources = {code: data for code, _, data in getattr(image, "resources", ())}
    found: dict[str, Any] = {}
    if len(resolution := resources.get(_RESOLUTION, b"")) >= 16:
        across, _, _, down = struct.unpack_from(">IHHI", resolution)  # 16.16, dots an inch
        found["dpi"] = across / 65536, down / 65536
    if _EXIF in resources:
        found["exif"] = b"Exif\0\0" + resources[_EXIF]
    if _XMP in resources:
        found["xmp"] = resources[_XMP]
    if IPTC in resources:
        found["photoshop"] = {IPTC: resources[IPTC]}
    return found
