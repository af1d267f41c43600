"""EXIF and XMP of a picture, as they hold for the upright result in sRGB."""

import io
import re
import struct
from pathlib import Path

from PIL import ExifTags, Image, TiffImagePlugin

ORIENTATION = ExifTags.Base.Orientation
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


def updated_exif(
    exif: Image.Exif, shape: tuple[int, ...], of_tiff: bool, notes: list[str]
) -> bytes | None:
    """EXIF for a result of this shape as a TIFF block; None if there is none.

    of_tiff: only the directories of camera and location are kept; the rest describes the TIFF.
    """
    try:
        directories: dict[int, dict] = {tag: exif.get_ifd(tag) for tag in _DIRECTORIES}
        if of_tiff:
            for tag in list(exif):
                if not directories.get(tag):
                    del exif[tag]
        elif ORIENTATION in exif:
            exif[ORIENTATION] = 1
        if not exif:
            return None
        details = directories[ExifTags.IFD.Exif]
        now = {
            ExifTags.Base.ColorSpace: 1,
            ExifTags.Base.ExifImageWidth: shape[1],
            ExifTags.Base.ExifImageHeight: shape[0],
        }
        details.update({tag: value for tag, value in now.items() if tag in details})
        return exif.tobytes().removeprefix(b"Exif\0\0")
    except (
        Exception
    ):  # damaged EXIF makes Pillow raise all kinds of errors, and is no reason to fail
        notes.append("its EXIF is damaged: left out")
        return None


def upright_dpi(dpi: tuple | None, orientation: int) -> tuple[float, float] | None:
    """(across, down) of the picture turned upright."""
    return dpi and tuple(map(float, dpi[::-1] if orientation in (5, 6, 7, 8) else dpi))


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """XMP whose orientation is 1."""
    return xmp and re.sub(rb"(tiff:Orientation(?:=.|>))[2-8]", rb"\g<1>1", xmp)


def add_to_tiff(path: str | Path, exif: bytes) -> None:
    """Add EXIF's directories to a TIFF, whose first directory is written anew at its end.

    tifffile writes none, Pillow none to 16-bit colour.
    """
    block = Image.Exif()
    block.load(exif)
    directories = {tag: block.get_ifd(tag) for tag in _DIRECTORIES}
    with open(path, "r+b") as file:

        def append(made):
            """Write made(offset) at the end, at an even offset, and return that."""
            end = file.seek(0, io.SEEK_END)
            offset = file.seek(end + end % 2)
            file.write(made(offset))
            return offset

        file.seek(4)
        file.seek(*struct.unpack("<I", file.read(4)))
        (count,) = struct.unpack("<H", file.read(2))
        entries = {}
        for _ in range(count):
            entry = file.read(12)
            entries[int.from_bytes(entry[:2], "little")] = entry
        following = file.read(4)
        for tag, values in directories.items():
            if not values:
                continue
            directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=tag)
            for code, value in values.items():
                directory[code] = value
            entries[tag] = struct.pack("<HHII", tag, 4, 1, append(directory.tobytes))
        table = b"".join(entries[tag] for tag in sorted(entries))
        first = append(lambda _: struct.pack("<H", len(entries)) + table + following)
        file.seek(4)
        file.write(struct.pack("<I", first))
