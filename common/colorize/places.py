"""Where results go, and what they may never replace."""

import dataclasses
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from common import cli, photos
from common.cli import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """What to colour, and where the results go.

    source: a photo or a folder of photos. out: the folder of the results. overwrite: replace
    results that exist. max_megapixels: larger pictures are refused.
    """

    source: Path
    out: Path = Path("coloured")
    overwrite: bool = False
    max_megapixels: float = photos.MAX_MEGAPIXELS


def check(options: Options) -> None:
    """Make the folder of the results; `UserError` where photos are missing, or it cannot be used.

    It is never that of the photos, so that they stay.
    """
    source, out = options.source, options.out
    if not source.exists():
        raise UserError(f"There is no {source}. IN= is a photo or a folder of photos.")
    if not source.is_dir() and not source.is_file():
        raise UserError(f"{source} is a pipe, a socket or a device. IN= is a photo or a folder.")
    if out.suffix and photos.is_picture(out) and not out.is_dir():
        raise UserError(
            f"OUT={out} looks like a photo. It is the folder of the results, which "
            "keep their photos' names."
        )
    home = source if source.is_dir() else source.parent
    if os.path.realpath(out) == os.path.realpath(home):
        raise UserError(
            f"OUT={out} is where the photos are. Choose another folder, so that they stay."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # before an hour's work, not after it
            pass
    except OSError as error:
        raise UserError(f"OUT={out}: {cli.reason(error)}") from None


def result_name(name: Path, photo: photos.Photo, taken: Collection[Path] = ()) -> Path:
    """The photo's name for its result, with .png appended if its format is not written.

    Once more as long as it is among the names that are `taken`.
    """
    if photo.written == photo.format or name.suffix.lower() == ".png":
        return name
    name = name.with_name(f"{name.name}.png")
    while name in taken:
        name = name.with_name(f"{name.name}.png")
    return name
