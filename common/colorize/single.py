"""One photo, or the sheet of its variants."""

from pathlib import Path

from common import cli, files, photos
from common.cli import UserError
from common.colorize import places, variants
from common.colorize.engine import Engine
from common.colorize.places import Options
from common.colorize.settings import Settings
from common.colorize.writing import write
from common.photos import PhotoError


def colour_photo(options: Options, engine: Engine) -> None:
    """Colour one photo and print where its result is; `UserError` with the reason."""
    source = options.source
    if options.overwrite or not (options.out / source.name).is_file():
        engine.prepare()
    try:
        with engine.read(source, options.max_megapixels) as photo:
            target, stays = places.target(options, Path(source.name), photo)
            if stays:
                photo.notes.append("is there already and stays; OVERWRITE=1 replaces it")
            else:
                write(engine.colour, photo, photo.pages(), target)
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    except OSError as error:
        raise UserError(f"{source}: {cli.reason(error)}") from None
    notes = "; ".join(dict.fromkeys(photo.notes))
    print(f"{target}: {notes}" if notes else target)


def write_variants(options: Options, engine: Engine, settings: Settings) -> None:
    """Write the sheet of a photo's variants; `UserError` with the reason why there is none."""
    source = options.source
    if source.is_dir():
        raise UserError(f"VARIANTS=1 takes one photo, and {source} is a folder. Name a photo: IN=.")
    target = options.out / f"{source.stem}-variants.png"
    if target.exists() and not options.overwrite:
        raise UserError(f"{target} is there already and stays; OVERWRITE=1 replaces it.")
    engine.prepare()
    try:
        with engine.read(source, options.max_megapixels) as photo:
            pixels = next(iter(photo.pages())).pixels
        sheet = variants.sheet(engine.colour, settings, pixels)
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    except OSError as error:
        raise UserError(f"{source}: {cli.reason(error)}") from None
    with files.replacing(target) as temporary:
        temporary.write_bytes(photos.png(sheet))
    print(target)
