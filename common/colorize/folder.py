"""Every photo of a folder: none is coloured twice, no failure stops the others."""

import collections
import contextlib
import dataclasses
import os
from pathlib import Path

from common import cli, files, photos
from common.cli import UserError
from common.colorize import report
from common.colorize.places import Options, result_name
from common.colorize.report import Row
from common.colorize.writing import Colour, write
from common.photos import PhotoError


def colour_folder(options: Options, colour: Colour) -> int:
    """Colour every photo below a folder, write the report; the exit code, 1 if a photo failed."""
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
            row = _colour_one(name, options, colour, pictures, originals, wait)
            if row is None:
                waiting.append((name, True))
            else:
                rows[name] = row
                bar.update()
    table = [*(rows[name] for name in pictures), *others]
    report.save(options.out, table)
    return report.summarize(options.out, table)


def _colour_one(name, options, colour, taken, originals, wait):
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
                target = options.out / result_name(name, photo, taken)
                if os.path.realpath(target) in originals:  # possible if IN is inside OUT
                    raise PhotoError("its result would replace a photo; choose another OUT=")
                if target.is_file() and not options.overwrite:
                    row = dataclasses.replace(row, result="kept")
                else:
                    write(colour, photo, target)
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
