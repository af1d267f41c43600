"""A film coloured: read, judged, steadied, coded in segments and joined; stopped, it goes on."""

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from common import cli, files
from common.cli import UserError
from common.film import animation, encoding, joining, segments
from common.film.colouring import Colouring, State
from common.film.encoding import Encoding
from common.film.options import Options, Result
from common.film.reading import Film
from common.film.segments import Done, Segment, Work

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer


def colour(options: Options, load: Callable[[], "Colorizer"]) -> Result:
    """Colour a film; load: returns the `Colorizer`, called once, when the first frame needs it.

    Raises UserError; what is done by then is kept in the work folder, for the same call later.
    """
    is_animation = options.out.suffix.lower() in encoding.ANIMATIONS
    if not is_animation:
        encoding.check_name(options.out, options.lossless)
    if options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} is there already and stays; OVERWRITE=1 replaces it.")
    load = functools.cache(load)
    if is_animation:
        return animation.colour(options, load)
    film = Film(options.source)
    coded = encoding.choose(film, options.out, options.lossless)
    work = Work(options.out, _about(options, film, coded), options.overwrite)
    with work.held():
        run = _Run(options, film, coded, work, load)
        done = run.all_segments()
        pts = np.concatenate([each.pts for each in done])
        stated = np.concatenate([each.durations for each in done])
        parts = joining.Parts(
            [work.path(index) for index in range(len(done))],
            pts,
            joining.durations(pts, stated, film.rate, film.time_base),
        )
        with files.replacing(options.out) as temporary:
            joining.join(film, coded, parts, temporary)
        work.remove()
    compared = sum(each.compared for each in done)
    difference = sum(each.difference for each in done) / max(1, compared)
    notes = [f"{count} {note}" if count > 1 else note for note, count in film.notes.items()]
    return Result(len(pts), done[-1].kept, difference, notes)


def _about(options, film, coded):
    """What the work in a folder depends on."""
    stat = options.source.stat()
    return {
        "source": [options.source.name, stat.st_size, stat.st_mtime_ns],
        "colour": options.colour,
        "steady": options.is_steady,
        "lossless": options.lossless,
        "encoding": json.loads(json.dumps(dataclasses.asdict(coded), default=str)),
        **options.settings,
    }


class _Run:
    """One call's way through a film."""

    def __init__(self, options, film, coded: Encoding, work: Work, load) -> None:
        self._options, self._film, self._coded, self._work = options, film, coded, work
        self.colouring = Colouring(
            film.coding,
            coded.coding,
            film.shape,
            load,
            options.is_steady,
            options.colour == "keep",
        )

    def all_segments(self) -> list[Done]:
        """Every segment's `Done`, those that were there and those that were missing."""
        done: list[Done] = []
        while (stored := self._work.done(len(done))) is not None:
            done.append(stored)
        count = done[-1].count if done else 0
        after = int(done[-1].pts[-1]) if done else None
        state = State.of(done[-1].state) if done else None
        if done:
            self._film.notes.update(done[-1].notes)
            cli.say(f"goes on behind frame {count}")
        finished = self.colouring.groups(self._film.frames(count, after), state)
        with cli.progress(
            total=self._film.count, desc="colouring", unit="frame", initial=count
        ) as bar:
            while (group := next(finished, None)) is not None:
                with Segment(self._work.path(len(done)), self._film, self._coded) as segment:
                    while group is not None:
                        frames, behind = group
                        for held, ab in frames:
                            planes = self.colouring.written(held, ab)
                            segment.write(planes, held.frame.pts, held.frame.duration)
                            bar.update()
                        is_full = len(segment.pts) >= segments.LENGTH
                        group = None if is_full else next(finished, None)
                done.append(self._stored(segment, behind, done))
        if not done:
            raise UserError(f"{self._film.path} has no frame that can be read.")
        return done

    def _stored(self, segment, behind, before):
        """Declare a segment complete, with the state behind it."""
        kept = before[-1].kept if before else 0
        done = Done(
            sum(len(each.pts) for each in before) + len(segment.pts),
            kept + self.colouring.take_kept(),
            np.array(segment.pts),
            np.array(segment.durations),
            segment.difference,
            segment.compared,
            behind.arrays(),
            dict(self._film.notes),
        )
        self._work.store(len(before), done)
        return done
