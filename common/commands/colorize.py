"""Colour a photo or a folder of photos: `make colorize IN=photo.jpg`."""

import collections
import contextlib
import csv
import dataclasses
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import cv2

from common import cli, files, photos
from common.cli import UserError
from common.colorize import Colorizer, dials, variants
from common.networks import model_names
from common.networks.flags import PRECISIONS, add_weights
from common.photos import PhotoError

REPORT = "colorize-report.csv"
RESULTS = ("coloured", "kept", "failed", "left out", "not a photo")
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

    width, height: of the photo as stored, None if they could not be read. "left out": what may hold
    photos and was not entered or opened, as a linked folder or one without permission.
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
    parser.add_argument(
        "--model",
        help="an .h5 file, or a name in models/ or of a shipped model; "
        f"{model_names.DEFAULT} if not given",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    parser.add_argument(
        "--max-megapixels",
        type=cli.at_least(0, float),
        default=Options.max_megapixels,
        help="larger pictures are refused",
    )
    parser.add_argument(
        "--vivid",
        type=dials.parse_vivid,
        help="from 0, faithful, to 1, vivid, if the model classifies ab; by default as exported",
    )
    parser.add_argument(
        "--tint",
        type=dials.parse_tint,
        help="warm, cool, or a shift of a* and b* in Lab units: a,b",
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="instead, a sheet of the photo in several settings of --vivid and --tint",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    add_weights(
        parser, "embedding", "auto, or a file with the weights that the model was trained on"
    )
    args = parser.parse_args(argv)
    options = Options(args.source, args.out, args.overwrite, args.max_megapixels)
    _check_folders(options)
    path, precision, weights = model_names.named(args.model), args.precision, args.embedding_weights

    @functools.cache  # with the first photo that needs it, so that a finished folder takes no time
    def load() -> Colorizer:
        colorizer = Colorizer(path, precision, weights, vivid=args.vivid, tint=args.tint)
        cli.say(f"model: {path}")
        return colorizer

    if not args.variants:
        return colour(options, load)
    if args.vivid is not None or args.tint is not None:
        raise UserError("VARIANTS=1 shows several VIVID= and TINT=: leave those two out.")
    return write_variants(options, load)


def colour(options: Options, load: Callable[[], Colorizer]) -> int:
    """Colour a photo, or a folder and write its report; returns the exit code, 1 if a photo failed.

    load: returns the `Colorizer`; called when the first photo needs it. Raises `UserError`.
    """
    return (_colour_folder if options.source.is_dir() else _colour_photo)(options, load)


def write_variants(options: Options, load: Callable[[], Colorizer]) -> int:
    """Write the sheet of a photo's variants; `load` as in `colour`. Raises `UserError`."""
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
    with files.replacing(target) as temporary:
        temporary.write_bytes(photos.png(variants.sheet(load(), pixels)))
    print(target)
    return 0


def _check_folders(options):
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


def _colour_photo(options, load):
    """One photo: prints where its result is; UserError with the reason."""
    source = options.source
    try:
        with photos.read(source, options.max_megapixels) as photo:
            target = options.out / _name(Path(source.name), photo)
            if target.is_file() and not options.overwrite:
                photo.notes.append("is there already and stays; OVERWRITE=1 replaces it")
            else:
                _write(load, photo, target)
    except PhotoError as error:
        raise UserError(f"{source}: {error}") from None
    except OSError as error:
        raise UserError(f"{source}: {cli.reason(error)}") from None
    print("; ".join([str(target), *dict.fromkeys(photo.notes)]))
    return 0


def _colour_folder(options, load):
    """Every photo below a folder, and the report; 1 if any failed."""
    pictures, others = _listed(options.source, options.out)
    if not pictures:
        left_out = [f" {row.file}: {row.reason}." for row in others if row.reason]
        raise UserError(
            f"There is no photo below {options.source}; of other files there are {len(others)}."
            + "".join(left_out[:1])
        )
    originals = {os.path.realpath(options.source / name) for name in pictures}
    rows = {}
    with cli.progress(total=len(pictures), desc="colouring", unit="photo") as bar:
        # What another run is colouring is taken up again at the end, where the run waits for it.
        waiting = collections.deque((name, False) for name in pictures)
        while waiting:
            name, wait = waiting.popleft()
            row = _colour_one(name, options, load, pictures, originals, wait)
            if row is None:
                waiting.append((name, True))
            else:
                rows[name] = row
                bar.update()
    return _report(options.out, [*(rows[name] for name in pictures), *others])


def _colour_one(name, options, load, taken, originals, wait):
    """One photo of a folder -> its `Row`; None if another run has it and `wait` is False."""
    row = Row(name.as_posix(), result="coloured")
    source = options.source / name
    try:
        with _ours(source, wait) as ours:
            if not ours:
                return None
            with photos.read(source, options.max_megapixels) as photo:
                height, width = photo.shapes[0]
                row = dataclasses.replace(row, width=width, height=height)
                target = options.out / _name(name, photo, taken)
                if os.path.realpath(target) in originals:  # possible if IN is inside OUT
                    raise PhotoError("its result would replace a photo; choose another OUT=")
                if target.is_file() and not options.overwrite:
                    row = dataclasses.replace(row, result="kept")
                else:
                    _write(load, photo, target)
                return dataclasses.replace(row, reason="; ".join(dict.fromkeys(photo.notes)))
    except PhotoError as error:
        return dataclasses.replace(row, result="failed", reason=str(error))
    except OSError as error:
        return dataclasses.replace(row, result="failed", reason=cli.reason(error))


@contextlib.contextmanager
def _ours(source, wait):
    """Yield whether no other run colours the photo, which is locked meanwhile."""
    with contextlib.ExitStack() as stack:
        ours = True
        try:
            stack.enter_context(files.locked(source, wait))
        except BlockingIOError:
            ours = False
        except OSError:  # no locks on this file system; or no permission, which reading reports
            pass
        yield ours


def _listed(source, out):
    """The photos below a folder as paths within it, and a `Row` of everything else in it.

    Without what lies in `out`.
    """
    out, home = out.resolve(), source.resolve()
    results = out.relative_to(home).parts if out.is_relative_to(home) else None
    pictures: dict[Path, None] = {}
    others = []
    skipped: dict[Path, str] = {}
    for path in [*photos.find(source, skipped), *sorted(skipped)]:
        name = path.relative_to(source)
        if results is not None and name.parts[: len(results)] == results:
            continue
        if path in skipped:
            others.append(Row(name.as_posix(), result="left out", reason=skipped[path]))
        elif photos.is_picture(path):
            pictures[name] = None
        else:
            others.append(Row(name.as_posix()))
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
    print(f"{summary}: see {out / REPORT}")
    failed = [row for row in rows if row.result == "failed"]
    for row in failed[:SHOWN]:
        print(f"failed: {row.file}: {row.reason}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: {len(failed) - SHOWN} more", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
