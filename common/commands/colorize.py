"""Colour a photo or a folder of photos: `make colorize IN=photo.jpg`."""

import collections
import csv
import dataclasses
import functools
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import cv2

from common import cli, files, photos
from common.cli import UserError
from common.colorize import Colorizer
from common.networks import h5, pretrained
from common.networks.precision import PRECISIONS
from common.photos import PhotoError

REPORT = "colorize-report.csv"
RESULTS = ("coloured", "kept", "failed", "not a photo")
SHOWN = 10  # failures on the terminal; the report has all


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


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the report: a file below the source folder and its result, one of `RESULTS`.

    width, height: of the photo as stored, None if they could not be read.
    """

    file: str
    width: int | None = None
    height: int | None = None
    result: str = "not a photo"
    reason: str = ""


def main(argv: list[str] | None = None) -> int:
    """The command `colorization colorize`."""
    parser = cli.Parser("colorization colorize", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="IN",
        help="a photo or a folder of photos",
    )
    parser.add_argument("--out", type=Path, default=Options.out, help="folder of the results")
    parser.add_argument("--model", default="koala", help="an .h5 file, or a name in models/")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    parser.add_argument(
        "--max-megapixels",
        type=cli.at_least(0, float),
        default=Options.max_megapixels,
        help="larger pictures are refused",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    pretrained.add_weights(
        parser, "embedding", "auto, or a file with the weights that the model was trained on"
    )
    args = parser.parse_args(argv)
    options = Options(args.source, args.out, args.overwrite, args.max_megapixels)
    _check_folders(options)
    path, precision, weights = h5.named(args.model), args.precision, args.embedding_weights
    # Loaded with the first photo that needs it, so that a finished folder takes no time.
    return colour(options, functools.cache(lambda: Colorizer(path, precision, weights)))


def colour(options: Options, load: Callable[[], Colorizer]) -> int:
    """Colour a photo, or a folder and write its report; returns the exit code, 1 if a photo failed.

    load: returns the `Colorizer`; called when the first photo needs it. Raises `UserError`.
    """
    return (_colour_folder if options.source.is_dir() else _colour_photo)(options, load)


def _check_folders(options):
    source, out = options.source, options.out
    if not source.exists():
        raise UserError(f"There is no {source}. IN= is a photo or a folder of photos.")
    if out.suffix and photos.is_picture(out) and not out.is_dir():
        raise UserError(
            f"OUT={out} looks like a photo. It is the folder of the results, which "
            "keep their photos' names."
        )
    home = source if source.is_dir() else source.parent
    if out.resolve() == home.resolve():
        raise UserError(
            f"OUT={out} is where the photos are. Choose another folder, so that they stay."
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):  # before an hour's work, not after it
        pass


def _colour_photo(options, load):
    """One photo: prints where its result is; UserError with the reason."""
    source = options.source
    try:
        with photos.read(source, options.max_megapixels) as photo:
            target = options.out / _name(Path(source.name), photo)
            if target.exists() and not options.overwrite:
                photo.notes.append("is there already and stays; OVERWRITE=1 replaces it")
            else:
                _write(load, photo, target)
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    print("; ".join([_printable(target), *dict.fromkeys(photo.notes)]))
    return 0


def _colour_folder(options, load):
    """Every photo below a folder, and the report; 1 if any failed."""
    pictures, others = _listed(options.source, options.out)
    if not pictures:
        raise UserError(
            f"There is no photo below {options.source}; of other files there are {len(others)}."
        )
    originals = {(options.source / name).resolve() for name in pictures}
    rows = [
        _colour_one(name, options, load, pictures, originals)
        for name in cli.progress(pictures, desc="colouring", unit="photo")
    ]
    return _report(options.out, [*rows, *(Row(name.as_posix()) for name in others)])


def _colour_one(name, options, load, taken, originals):
    """One photo of a folder -> its `Row`."""
    row = Row(name.as_posix(), result="coloured")
    try:
        with photos.read(options.source / name, options.max_megapixels) as photo:
            height, width = photo.shapes[0]
            row = dataclasses.replace(row, width=width, height=height)
            target = options.out / _name(name, photo, taken)
            if target.resolve() in originals:  # possible if IN is inside OUT
                raise PhotoError("its result would replace a photo; choose another OUT=")
            if target.exists() and not options.overwrite:
                row = dataclasses.replace(row, result="kept")
            else:
                _write(load, photo, target)
            return dataclasses.replace(row, reason="; ".join(dict.fromkeys(photo.notes)))
    except PhotoError as error:
        return dataclasses.replace(row, result="failed", reason=str(error))


def _listed(source, out):
    """(photos, other files) below a folder, as paths within it, without those in `out`."""
    out, home = out.resolve(), source.resolve()
    results = out.relative_to(home).parts if out.is_relative_to(home) else None
    pictures: dict[Path, None] = {}
    others = []
    for path in photos.find(source):
        name = path.relative_to(source)
        if results is None or name.parts[: len(results)] != results:
            if photos.is_picture(path):
                pictures[name] = None
            else:
                others.append(name)
    return pictures, others


def _name(name: Path, photo: photos.Photo, taken: Collection[Path] = ()) -> Path:
    """The photo's name for its result, with .png appended if its format is not written."""
    if photo.written == photo.format or name.suffix.lower() == ".png":
        return name
    name = name.with_name(f"{name.name}.png")
    while name in taken:
        name = name.with_name(f"{name.name}.png")
    return name


def _write(load, photo, target):
    """Write the coloured photo as `target`, whole or not at all."""

    def pages():
        for page in photo.pages():
            yield dataclasses.replace(page, pixels=load()(page.pixels, in_place=True))

    try:
        with files.replacing(target) as temporary:
            photos.write(temporary, pages(), photo)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise PhotoError("not enough memory for it; make it smaller") from None


def _report(out, rows):
    """Write the table of results; print the number of each kind, and the failures."""
    with (
        files.replacing(out / REPORT) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(field.name for field in dataclasses.fields(Row))
        table.writerows(dataclasses.astuple(row) for row in rows)
    counts = collections.Counter(row.result for row in rows)
    summary = ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])
    print(f"{summary}: see {_printable(out / REPORT)}")
    failed = [row for row in rows if row.result == "failed"]
    for row in failed[:SHOWN]:
        print(f"failed: {row.file}: {row.reason}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: {len(failed) - SHOWN} more", file=sys.stderr)
    return 1 if failed else 0


def _printable(path):
    """A path as text for any terminal; file names need not be UTF-8."""
    return str(path).encode("utf-8", "replace").decode()


if __name__ == "__main__":
    sys.exit(cli.run(main))
