"""One photo, or the sheet of its variants."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common import cli, files, photos
from common.cli import UserError
from common.colorize.places import Options, result_name
from common.colorize.writing import Colour, write
from common.photos import PhotoError

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer


def colour_photo(options: Options, colour: Colour) -> None:
    """Colour one photo and print where its result is; `UserError` with the reason."""
    source = options.source
    try:
        with photos.read(source, options.max_megapixels) as photo:
            target = options.out / result_name(Path(source.name), photo)
            if target.is_file() and not options.overwrite:
                photo.notes.append("is there already and stays; OVERWRITE=1 replaces it")
            else:
                write(colour, photo, target)
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    except OSError as error:
        raise UserError(f"{source}: {cli.reason(error)}") from None
    print("; ".join([str(target), *dict.fromkeys(photo.notes)]))


def write_variants(options: Options, load: Callable[[], "Colorizer"]) -> None:
    """Write the sheet of a photo's variants; load: called once the photo is read. `UserError`."""
    source = options.source
    if source.is_dir():
        raise UserError(f"VARIANTS=1 takes one photo, and {source} is a folder. Name a photo: IN=.")
    target = options.out / f"{source.stem}-variants.png"
    if target.exists() and not options.overwrite:
        raise UserError(f"{target} is there already and stays; OVERWRITE=1 replaces it.")
    try:
        with photos.read(source, options.max_megapixels) as photo:
            pixels = next(iter(photo.pages())).pixels
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    from common.colorize import variants

    with files.replacing(target) as temporary:
        temporary.write_bytes(photos.png(variants.sheet(load(), pixels)))
    print(target)
