"""JPEG: what lies beside its picture, files without an end marker, kinds that are not read."""

import io
import re
from typing import BinaryIO

from PIL import Image

from common.photos.formats import open_image

_GAIN_MAP = b"http://ns.adobe.com/hdr-gain-map/", b"urn:iso:std:iso:ts:21496"
_MOTION = re.compile(rb"(?:MotionPhoto|MicroVideo)(?:=[\"']|>)1")
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # that of a segment, or the end marker
_SCAN, _END = 0xDA, 0xD9
_NO_END = "its end marker is missing"
_NOT_READ = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical",
    0xCB: "lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical",
    0xF7: "LS",
}  # fmt: skip


def left_out(image: Image.Image, file: BinaryIO) -> list[str]:
    """Notes about what an open JPEG holds besides its picture."""
    xmp = image.info.get("xmp", b"")
    segments = getattr(image, "applist", ())
    notes = []
    if _GAIN_MAP[0] in xmp or any(data.startswith(_GAIN_MAP[1]) for _, data in segments):
        notes.append("its gain map (Ultra HDR): left out")
    elif any("Thumbnail" not in kind for kind in _kinds(image)[1:]):
        notes.append("a further picture (a stereo pair or a map): the first only")
    if _MOTION.search(xmp) or _has_samsung_film(file):
        notes.append("its film (a motion photo): left out")
    return notes


def _has_samsung_film(file):
    """Whether Samsung's trailer holds a film, which older phones announce nowhere else."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 4))
    if file.read() != b"SEFT":
        return False
    file.seek(0)
    return b"MotionPhoto_Data" in file.read()


def _kinds(image):
    """What the pictures of an MPO are, the first one included."""
    entries = getattr(image, "mpinfo", {}).get(0xB002, ())
    return [str(entry["Attribute"]["MPType"]) for entry in entries]


def why_not(file: BinaryIO) -> str:
    """Why Pillow opens no JPEG of this kind; "" if it is no JPEG, or damaged."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return ""
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        marker, size = head[1], int.from_bytes(head[2:], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) or marker == 0xF7:
            kind = _NOT_READ.get(marker, f"{file.read(1)[0]}-bit")
            return f"a {kind} JPEG is not read; save it as TIFF or PNG"
        file.seek(size - 2, io.SEEK_CUR)
    return ""


def load(
    image: Image.Image, file: BinaryIO, draft: tuple[int, int] | None, notes: list[str]
) -> Image.Image:
    """The image, decoded, at a reduced scale of at least `draft` (width, height) if given.

    A file that lacks nothing but its end marker is decoded with a note; OSError for a truncated
    one. What follows the last block of a complete file changes no pixel, whatever it is: it is
    decoded with two different ends, and the pixels are compared.
    """
    if draft:
        image.draft(None, draft)
    try:
        image.load()
        if not _ended(file):
            notes.append(_NO_END)
        return image
    except OSError as error:
        if "truncated" not in str(error):
            raise
        file.seek(0)
        data = file.read().rstrip(b"\xff")
        ended = []
        for end in (b"\0" * 16, b"\x55\xaa" * 8):
            copy = open_image(io.BytesIO(data + end + b"\xff\xd9"))
            if draft:
                copy.draft(None, draft)
            copy.load()
            ended.append(copy)
        if ended[0].tobytes() != ended[1].tobytes() or not _has_all_scans(data):
            raise
        notes.append(_NO_END)
        return ended[0]


def _ended(file):
    """Whether the picture has an end marker; what may follow it does not count."""
    file.seek(-2, io.SEEK_END)
    if file.read() == b"\xff\xd9":
        return True
    file.seek(0)
    return any(marker == _END for marker, _ in _segments(file.read()))


def _has_all_scans(data):
    """Whether the scans bring every coefficient of every component, to its last bit."""
    components, found = b"", set()
    for marker, segment in _segments(data):
        if marker in (0xC0, 0xC1, 0xC2):
            components = segment[6::3]
        elif marker == _SCAN:
            first, last, bits = segment[-3:]
            if not bits & 15:
                of_scan = segment[1:-3:2]
                found |= {(name, i) for name in of_scan for i in range(first, last + 1)}
    return {(name, i) for name in components for i in range(64)} <= found


def _segments(data):
    """(marker, content) of each segment of a JPEG; the end marker, which has none, is the last."""
    start = 2
    while following := _MARKER.search(data, start):
        start, marker = following.start(), data[following.start() + 1]
        size = 0 if marker == _END else int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, data[start + 4 : start + 2 + size]
        if marker == _END:
            return
        start += 2 + size
