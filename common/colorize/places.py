"""Where results go, and what they may never replace."""

import argparse
import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from common import cli, photos
from common.cli import UserError
from common.photos import PhotoError


@dataclasses.dataclass(frozen=True)
class Options:
    """What to colour, and where the results go.

    source: a photo or a folder of photos. out: the folder of the results. overwrite: replace
    results that exist. max_megapixels: larger pictures are refused. isolate: auto, yes or no, as
    `engine.started` takes it.
    """

    source: Path
    out: Path = Path("coloured")
    overwrite: bool = False
    max_megapixels: float = photos.MAX_MEGAPIXELS
    isolate: str = "auto"

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Options":
        """Those that the command's flags give."""
        given = vars(args)
        return cls(**{field.name: given[field.name] for field in dataclasses.fields(cls)})


@contextlib.contextmanager
def made(options: Options) -> Iterator[None]:
    """With the folder of the results; `UserError` where photos are missing, or it cannot be used.

    It is never that of the photos, so that they stay. An error within, as of a model that cannot be
    loaded, leaves no empty folders where there was none.
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
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):  # before an hour's work, not after it
                pass
        except OSError as error:
            raise UserError(f"OUT={out}: {cli.reason(error)}") from None
        yield
    except BaseException:
        within = [Path(folder) for folder, *_ in os.walk(out, topdown=False)] if missing else []
        for folder in [*within, *missing[1:]]:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
        raise


def target(
    options: Options, name: Path, photo: photos.About, taken: Collection[Path] = ()
) -> tuple[Path, bool]:
    """Where the result of a photo goes, and whether a file is there that stays.

    name: of the photo below the source; taken: the names of all photos. `PhotoError` where a link
    in the folder of the results would lead out of it, or stands where the file goes.
    """
    path = options.out / result_name(name, photo, taken)
    home = os.path.realpath(options.out)
    if os.path.commonpath([home, os.path.realpath(path.parent)]) != home:
        raise PhotoError(
            f"its result would lie outside {options.out}, where a link leads; remove the link"
        )
    if options.overwrite:
        return path, False
    if path.is_symlink() and not path.exists():
        raise PhotoError(f"a broken link stands where its result goes: {path}; remove it")
    return path, path.is_file()


def result_name(name: Path, photo: photos.About, taken: Collection[Path] = ()) -> Path:
    """The photo's name for its result, with .png appended if its format is not written.

    Once more as long as it is among the names that are `taken`.
    """
    if photo.written == photo.format or name.suffix.lower() == ".png":
        return name
    name = name.with_name(f"{name.name}.png")
    while name in taken:
        name = name.with_name(f"{name.name}.png")
    return name
