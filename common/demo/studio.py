"""Uploaded photos coloured, one at a time: the files that `make colorize` would write."""

import contextlib
import dataclasses
import functools
import threading
from pathlib import Path

import numpy as np

from common import cli
from common.colorize import engine, places
from common.colorize.engine import Engine
from common.colorize.settings import Settings
from common.colorize.writing import write
from common.demo import previews
from common.photos import PhotoError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an uploaded photo.

    name: of its file. said: notes on how it was read and coloured, or why it was not. path: the
    result, None where there is none; before, after: previews of its first page.
    """

    name: str
    said: str
    path: Path | None = None
    before: Path | None = None
    after: Path | None = None


class Studio:
    """Colours photos by one model at a time, which stays loaded. Close it in the end.

    max_megapixels: larger pictures are refused. isolate: as `engine.started` takes it.
    """

    def __init__(self, max_megapixels: float, isolate: str = "auto") -> None:
        self._max_megapixels, self._isolate = max_megapixels, isolate
        self._turn = threading.Lock()
        self._running = contextlib.ExitStack()
        self._settings: Settings | None = None
        self._engine: Engine | None = None

    def close(self) -> None:
        """End the processes that read and colour."""
        self._running.close()
        self._settings = None

    def prepare(self, how: Settings) -> None:
        """Begin to load the model."""
        with self._turn:
            self._started(how.undialled).prepare()

    def colour(self, source: Path, how: Settings, out: Path) -> Outcome:
        """Colour a photo into a folder of its own; `UserError` for a mistake in the settings."""
        shown: list[np.ndarray] = []

        def colour(pixels, notes):
            first = not shown
            if first:
                shown.append(previews.small(pixels))
            coloured = by_model(pixels, notes)
            if first:
                shown.append(previews.small(coloured))
            return coloured

        with self._turn:
            started = self._started(how.undialled)
            by_model = functools.partial(started.colour, how=how)
            try:
                with started.read(source, self._max_megapixels) as photo:
                    target = out / places.result_name(Path(source.name), photo)
                    write(colour, photo, photo.pages(), target)
                before, after = (
                    previews.write(pixels, out / name / f"{source.stem}.jpg")
                    for pixels, name in zip(shown, ("before", "after"), strict=True)
                )
            except PhotoError as error:
                return Outcome(source.name, str(error))
            except OSError as error:
                return Outcome(source.name, cli.reason(error))
        said = "; ".join(dict.fromkeys(photo.notes))
        return Outcome(source.name, said, target, before, after)

    def _started(self, settings: Settings) -> Engine:
        """The engine of a model, which is loaded when it is another than the last photo's."""
        if self._engine is None or settings != self._settings:
            self.close()
            self._engine = self._running.enter_context(engine.started(settings, self._isolate))
            self._settings = settings
        return self._engine
