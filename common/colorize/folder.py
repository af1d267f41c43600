"""Every photo of a folder: none is coloured twice, no failure stops the others."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common import cli, drives, engines, files, photos
from common.cli import UserError
from common.colorize import places, report
from common.colorize.engine import Engine, started, threads
from common.colorize.places import Options
from common.colorize.report import Row
from common.colorize.room import Room
from common.colorize.settings import Settings
from common.colorize.writing import write
from common.drives import Place, watched
from common.photos import PhotoError

MEGAPIXELS = 64.0  # read and not yet written; a larger photo is alone. The most is 12 bytes a pixel
PIECE = 16  # photos at a time, where other processes colour them


def colour_folder(options: Options, engine: Engine) -> int:
    """Colour every photo below a folder, write the report; the exit code, 1 if a photo failed."""
    with _watched(options) as places:
        pictures, others = _listed(options.source, options.out, engine.is_picture)
        _refuse_none(options, pictures, others)
        if options.overwrite or not all((options.out / name).is_file() for name in pictures):
            engine.prepare()
        known = _known(options, pictures)
        with cli.progress(total=len(pictures), desc="colouring", unit="photo") as bar:
            rows = _Run(options, places, engine, pictures, known, bar.update).rows()
        return _reported(options, [rows[name] for name in pictures], others)


def colour_apart(options: Options, settings: Settings, shared: engines.Engine) -> int:
    """As `colour_folder`, by an engine whose workers have processes of their own.

    A worker is a run over a piece of the folder. Every machine must see both folders.
    """
    with _watched(options):
        with started(settings, options.isolate) as here:
            pictures, others = _listed(options.source, options.out, here.is_picture)
        _refuse_none(options, pictures, others)
        there = frozenset(path for path in options.out.rglob("*") if path.is_file())
        known = dataclasses.replace(_known(options, pictures), results=there)
        load = functools.partial(_Pieces, options, settings, known)
        rows: list[Row] = []
        model = ""
        with (
            cli.progress(total=len(pictures), desc="colouring", unit="photo") as bar,
            contextlib.closing(shared.run(load, list(pictures), PIECE, network=True)) as coloured,
        ):
            for row in coloured:
                if row.model and not model:
                    model = row.model
                    cli.say(f"model: {model}")
                rows.append(row)
                bar.update()
        return _reported(options, rows, others)


@contextlib.contextmanager
def _watched(options):
    """Both folders are watched meanwhile; yields their places."""
    with watched(Place(options.source)) as source, watched(Place(options.out)) as out:
        yield [source, out]


class _Pieces:
    """The stage from a photo's name to its row; the model stays from one piece to the next."""

    def __init__(self, options: Options, settings: Settings, known: "_Known", cores: int) -> None:
        self._options, self._known = options, known
        self._starting = started(settings, options.isolate, threads())
        self._engine = self._starting.__enter__()  # until this process ends, or drops the stage

    def __call__(self, names: Iterable[Path]) -> Iterator[Row]:
        names = list(names)
        with _watched(self._options) as places:
            run = _Run(self._options, places, self._engine, names, self._known, lambda: None)
            rows = run.rows()
        return (rows[name] for name in names)


def _refuse_none(options, pictures, others):
    if not pictures:
        left_out = [f" {row.file}: {row.reason}." for row in others if row.reason]
        raise UserError(
            f"There is no photo below {options.source}; of other files there are {len(others)}."
            + "".join(left_out[:1])
        )


def _reported(options, rows, others):
    """Write and print the report; the exit code."""
    for parent in {(options.out / row.file).parent for row in rows}:
        files.clear(parent)  # a killed run may have left half a picture where nothing is left to do
    table = [*rows, *others]
    report.save(options.out, table)
    return report.summarize(options.out, table)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What is known of all photos of a run: their names, and their files.

    results: those that were there before it, None for whatever is there when a photo is read. Of a
    piece whose worker died some are there that were not before, and are made again.
    """

    names: frozenset[Path]
    originals: frozenset[str]
    results: frozenset[Path] | None = None


def _known(options, pictures):
    originals = (os.path.realpath(options.source / name) for name in pictures)
    return _Known(frozenset(pictures), frozenset(originals))


class _Run:
    """Photos are read in the calling thread, ahead of those that other threads colour and write."""

    def __init__(self, options, places, engine, pictures, known, update):
        self._options, self._places, self._engine = options, places, engine
        self._pictures, self._known = pictures, known
        self._room = Room(MEGAPIXELS, 2 * threads())
        self._rows: dict[Path, Row] = {}
        self._adding, self._update = threading.Lock(), update

    def rows(self) -> dict[Path, Row]:
        """Colour all; the row of each."""
        pool = concurrent.futures.ThreadPoolExecutor(threads(), "colouring")
        running: collections.deque[concurrent.futures.Future] = collections.deque()
        # What another run is colouring is taken up again at the end, where this run waits for it.
        waiting = collections.deque((name, False) for name in self._pictures)
        try:
            while waiting:
                drives.check(self._places)
                name, wait = waiting.popleft()
                finish = self._begun(name, wait)
                if finish is None:
                    waiting.append((name, True))
                else:
                    running.append(pool.submit(self._add, name, finish))
                while running and running[0].done():
                    running.popleft().result()  # raises what is the fault of no photo
            for each in running:
                each.result()
        except BaseException:  # an interrupt, say
            self._engine.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        if any(row.result == "failed" for row in self._rows.values()):
            drives.check(self._places)  # which is why they failed, if one is gone
        return self._rows

    def _add(self, name, finish):
        row = finish()
        with self._adding:
            self._rows[name] = row
            self._update()

    def _begun(self, name, wait) -> Callable[[], Row] | None:
        """Read a photo; what finishes it, for another thread. None if another run has it.

        What has several pages is finished here, page by page.
        """
        source, row = self._options.source / name, Row(name.as_posix(), result="coloured")
        with contextlib.ExitStack() as held:
            if not held.enter_context(_ours(source, wait)):
                return None
            try:
                with self._engine.read(source, self._options.max_megapixels) as photo:
                    height, width = photo.shapes[0]
                    row = dataclasses.replace(row, width=width, height=height)
                    target, stays = self._target(name, photo)
                    if stays:
                        return functools.partial(_noted, row, "kept", photo)
                    held.enter_context(self._room.taken(height * width / 1e6))
                    if len(photo.shapes) == 1:
                        page = next(iter(photo.pages()))
                        return functools.partial(
                            self._finished, row, photo, iter([page]), target, held.pop_all()
                        )
                    done = self._finished(row, photo, photo.pages(), target, held)
                    return lambda: done
            except (PhotoError, OSError) as error:
                return functools.partial(_failed, row, error)

    def _target(self, name, photo):
        known = self._known
        target, stays = places.target(self._options, name, photo, known.names)
        if os.path.realpath(target) in known.originals:  # possible if IN is inside OUT
            raise PhotoError("its result would replace a photo; choose another OUT=")
        return target, stays and (known.results is None or target in known.results)

    def _finished(self, row, photo, pages, target, held):
        """The row of a photo that is coloured and written; then `held` is let go."""
        with held:
            drives.check(self._places)
            try:
                write(self._engine.colour, photo, pages, target)
                row = dataclasses.replace(row, model=self._engine.model())
                return _noted(row, "coloured", photo)
            except (PhotoError, OSError) as error:
                return _failed(row, error)


def _noted(row, result, photo):
    return dataclasses.replace(row, result=result, reason="; ".join(dict.fromkeys(photo.notes)))


def _failed(row, error):
    reason = str(error) if isinstance(error, PhotoError) else cli.reason(error)
    return dataclasses.replace(row, result="failed", reason=reason)


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


def _listed(source, out, is_picture):
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
        elif is_picture(path):
            pictures[name] = None
        else:
            others.append(Row(name.as_posix()))
    return pictures, others
