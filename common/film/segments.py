"""The work folder beside a result: a film in segments, each whole or absent, so that it goes on.

A segment is a file of coded frames that begins with a key frame, and one of what is needed to write
the next: times, and what the colours of the frames behind depend on.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import drives, files
from common.cli import UserError, first_line
from common.film import frames, pyav, yuv
from common.film.encoding import Encoding
from common.film.reading import Film

LENGTH = 96  # frames from which a segment ends
_SAMPLED = 24  # every so manieth frame is compared with what was coded


@dataclasses.dataclass(frozen=True)
class Done:
    """What a segment's second file holds.

    count: frames written, of this and all segments before; kept: of them in colour already.
    pts, durations: of its frames, in ticks. difference: the sum of mean |L*| differences that
    coding made, over `compared` frames. state: arrays that the next segment begins from. notes: of
    the film so far.
    """

    count: int
    kept: int
    pts: np.ndarray
    durations: np.ndarray
    difference: float
    compared: int
    state: dict[str, np.ndarray]
    notes: dict[str, int]


class Work:
    """The segments of one result.

    out: the result's path; about: what it is made from and how, JSON values. If the folder was
    begun with other values that is a UserError, or with overwrite=True it is begun anew.
    """

    def __init__(self, out: Path, about: dict[str, Any], overwrite: bool = False) -> None:
        self.folder = out.with_name(f"{out.name}.work")
        self._about = json.loads(json.dumps(about))
        self._overwrite = overwrite

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder, made if it is missing, for this process alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with drives.watched(drives.Place(self.folder.parent)), contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.locked(self.folder))
            except BlockingIOError:
                raise UserError(f"Another process is writing in {self.folder}.") from None
            except OSError:  # no locks on this file system
                pass
            self._begin()
            yield

    def _begin(self):
        job = self.folder / "job.json"
        try:
            stored = json.loads(job.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            stored = None
        if stored == self._about:
            return
        if stored is not None and not self._overwrite:
            other = [name for name in self._about if stored.get(name) != self._about[name]]
            raise UserError(
                f"{self.folder} holds a film begun with another {' and '.join(other)}. "
                "OVERWRITE=1 begins anew; or give what was given then, and it goes on."
            )
        for path in self.folder.glob("segment-*"):
            path.unlink()
        files.write_json(job, self._about)

    def remove(self) -> None:
        """Remove the folder: the result is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, index: int) -> Path:
        """The coded frames of a segment."""
        return self.folder / f"segment-{index:06}.mkv"

    def done(self, index: int) -> Done | None:
        """What is stored beside a complete segment; None if there is none."""
        path = self.path(index).with_suffix(".npz")
        if not path.exists() or not self.path(index).exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        about = json.loads(str(arrays.pop("about")))
        return Done(pts=arrays.pop("pts"), durations=arrays.pop("durations"), state=arrays, **about)

    def store(self, index: int, done: Done) -> None:
        """Declare a segment complete, whose frames are written."""
        about = {
            "count": done.count,
            "kept": done.kept,
            "difference": done.difference,
            "compared": done.compared,
            "notes": done.notes,
        }
        with files.replacing(self.path(index).with_suffix(".npz")) as temporary:
            np.savez(
                temporary,
                about=np.array(json.dumps(about)),
                pts=done.pts,
                durations=done.durations,
                **done.state,  # type: ignore[arg-type]  # NumPy's stub has its own flag there
            )


class Segment:
    """Coded frames in a file; a context that leaves it whole or absent."""

    def __init__(self, path: Path, film: Film, encoding: Encoding) -> None:
        self._path, self._film, self._encoding = path, film, encoding
        self.pts: list[int] = []
        self.durations: list[int] = []
        self.difference, self.compared = 0.0, 0
        self._handed: dict[int, np.ndarray] = {}

    def __enter__(self) -> "Segment":
        self._stack = contextlib.ExitStack()
        self._temporary = self._stack.enter_context(files.replacing(self._path))
        try:
            self._container, self._stream = encoder(self._temporary, self._film, self._encoding)
        except BaseException as error:
            self._stack.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if error[0] is None:
                self._compare()
        except BaseException as failure:
            self._stack.__exit__(type(failure), failure, None)
            raise
        self._stack.__exit__(*error)

    def write(self, planes: list[np.ndarray], pts: int, duration: int) -> None:
        """Code a frame."""
        if len(self.pts) % _SAMPLED == 0:
            self._handed[len(self.pts)] = yuv.lightness(planes, self._encoding.coding)
        frame = frames.frame_of(planes, self._encoding.layout, self._encoding.coding)
        frame.color_primaries = self._film.colours.primaries
        frame.color_trc = self._film.colours.transfer
        frame.pts, frame.time_base = pts, self._film.time_base
        self.pts.append(pts)
        self.durations.append(duration)
        self._container.mux(self._stream.encode(frame))

    def _compare(self):
        """Read back what was coded, and measure it against what was handed over."""
        av = pyav.av()
        count, coding = 0, self._encoding.coding
        with av.open(str(self._temporary)) as container:
            for frame in container.decode(video=0):
                if count in self._handed:
                    planes = frames.planes_of(frame, coding.dtype)
                    difference = np.abs(yuv.lightness(planes, coding) - self._handed[count])
                    self.difference += float(difference.mean())
                    self.compared += 1
                count += 1
        if count != len(self.pts):
            raise UserError(
                f"The encoder {self._encoding.encoder} returned {count} of {len(self.pts)} frames; "
                "nothing is lost: repeat the command."
            )


def encoder(path: Path, film: Film, encoding: Encoding) -> tuple[Any, Any]:
    """(an open Matroska file, its stream), to which a film's coded frames are written."""
    av = pyav.av()
    try:
        container = av.open(str(path), "w", format="matroska")
        stream = container.add_stream(encoding.encoder, rate=film.rate)
        context = stream.codec_context
        stream.height, stream.width = film.shape
        stream.pix_fmt = encoding.layout
        stream.time_base = context.time_base = film.time_base
        context.options = dict(encoding.options)
        context.sample_aspect_ratio = film.aspect
        context.colorspace = encoding.coding.matrix
        context.color_range = frames.colour_range(encoding.coding)
        context.color_primaries = film.colours.primaries
        context.color_trc = film.colours.transfer
        context.thread_type = "AUTO"
        return container, stream
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(
            f"FFmpeg's encoder {encoding.encoder} does not take this film ({first_line(error)})."
        ) from None
