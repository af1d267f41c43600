"""Any container and codec that PyAV's FFmpeg reads -> upright frames and their times."""

import collections
import contextlib
import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from common.cli import UserError, first_line
from common.film import frames, pyav, yuv
from common.film.yuv import Coding
from common.photos import PhotoError
from common.photos.profiles import refuse_hdr

_PLANAR = re.compile(r"(?:yuvj?|yuva|gray)(?:(420|422|440|444)p)?(\d*)(?:le)?")
_SAMPLING = {"420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1), None: (1, 1)}
_NARROW, _FULL = 1, 2  # FFmpeg's colour ranges
_BT709 = 1  # the code point of primaries and transfer, for which colours are made
_UNSAID = 2  # the code point of matrices, primaries and transfers that a file does not state
_BOTTOM_FIRST = (3, 4)  # of FFmpeg's field orders
_SD = 576  # rows up to which an unstated matrix is BT.601's, as players guess
_ORIENTATION = {  # the matrix that shows a frame -> quarter turns counterclockwise, then mirrored
    (1, 0, 0, 1): (0, False), (0, 1, -1, 0): (3, False), (-1, 0, 0, -1): (2, False),
    (0, -1, 1, 0): (1, False), (-1, 0, 0, 1): (0, True), (1, 0, 0, -1): (2, True),
    (0, 1, 1, 0): (3, True), (0, -1, -1, 0): (1, True),
}  # fmt: skip
_BEFORE = 10  # seconds before a frame from which decoding starts: its group of pictures is whole
_CUT_SHORT, _SLACK = 0.98, 0.5  # of the stated length, and seconds: a film that ends before is cut
_FAILURES = 32  # to read on, in a row: then the file is at its end


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame: `pts` and `duration` (0 if unknown) in ticks of the film's time base, and planes."""

    number: int
    pts: int
    duration: int
    planes: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Colours:
    """What a file says of its colours: code points of H.273, as a result states them again."""

    primaries: int
    transfer: int


class Film:
    """A film that can be read from any frame on.

    path: the file. Raises UserError where it has no film that can be read.

    Attributes: `coding` of the planes of `frames()`; `shape` (H, W) of an upright frame;
    `time_base` in seconds; `rate` in frames a second, `aspect` of a pixel, `count` of frames (an
    estimate, or None), `bits` of the file's samples, whether they are RGB, `is_rgb`, or `is_grey`,
    `colours`, `index` of the stream, `interlaced`: "", or which field is first, "tt" or "bb";
    `notes`: what a person should know, in one line each, and how often.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, collections.Counter[str]()
        with self._opened() as (container, stream):
            self.index = stream.index
            self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
            self.rate = Fraction(stream.guessed_rate or stream.average_rate or 25)
            self._start = stream.start_time
            self.length = _length(container, stream)
            self.count = stream.frames or (
                round(self.length * self.rate) if self.length is not None else None
            )
            others = [other for other in container.streams.video if _is_film(other)]
            if len(others) > 1:
                self.notes[f"only the first of its {len(others)} films is taken"] = 1
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise UserError(f"{path} has no frame that can be read.")
            self._look(first, stream)

    def _look(self, first, stream):
        """Take the first frame for all of them."""
        try:
            refuse_hdr(first.color_trc)
        except PhotoError as error:
            raise UserError(f"{self.path}: {error}") from None
        self._size = first.width, first.height
        self._turn = _orientation(first)
        if self._turn != (0, False):
            self.notes["stored turned: its frames are written upright"] = 1
        self._layout, bits, (across, down) = _layout(first.format, first.width)
        self.bits, self.is_rgb = bits, self._layout.startswith("rgb")
        self.is_grey = self._layout.startswith("gray")
        if self.is_rgb:
            self.coding = Coding(1, True, 16, 1, 1)
        else:
            full = first.color_range == _FULL or first.format.name.startswith("yuvj")
            full |= self.is_grey and first.color_range != _NARROW
            matrix = first.colorspace
            if matrix not in yuv.MATRICES:
                if matrix not in (0, _UNSAID):
                    self.notes["its colour matrix is not known here: taken for BT.601 or 709"] = 1
                matrix = 6 if first.height <= _SD else 1
            if self._turn[0] % 2:
                across, down = down, across
            self.coding = Coding(matrix, full, bits, across, down)
        if first.format.name.startswith(("yuva", "ya", "bgra", "rgba", "argb", "abgr", "gbrap")):
            self.notes["its transparency: left out"] = 1
        if first.color_primaries == 9:
            self.notes["its primaries are BT.2020: new colours are as strong as in BT.709"] = 1
        stated = (first.color_primaries, first.color_trc)
        self.colours = Colours(*(_BT709 if code == _UNSAID else code for code in stated))
        turned = self._size[::-1] if self._turn[0] % 2 else self._size
        self.shape = turned[1], turned[0]
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.aspect = 1 / aspect if self._turn[0] % 2 else aspect
        self.interlaced = ""
        if first.interlaced_frame:
            bottom_first = stream.codec_context.field_order in _BOTTOM_FIRST
            self.interlaced = "bb" if bottom_first else "tt"
            self.notes[
                "interlaced: its frames stay so; deinterlaced first, it would be coloured better"
            ] = 1

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The container and its film."""
        av = pyav.av()
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and not self.path.is_file():
                raise
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UserError(f"{self.path} cannot be read as a film ({reason}).") from None
        with container:
            if container.format.name == "image2" or container.format.name.endswith("_pipe"):
                raise UserError(
                    f"{self.path} is no film but a picture: make colorize IN={self.path}. An "
                    "animation becomes one again, of a kind that is written: OUT=name.webp."
                )
            films = [stream for stream in container.streams.video if _is_film(stream)]
            if not films:
                kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
                raise UserError(f"{self.path} has no film in it: it holds {', '.join(kinds)}.")
            if films[0].codec_context is None:
                raise UserError(f"{self.path}: the codec of its film is not known to FFmpeg.")
            films[0].thread_type = "AUTO"
            yield container, films[0]

    def _decoded(self, container, stream):
        """The frames of the open stream; what cannot be decoded is counted and passed over."""
        av = pyav.av()
        damaged = "damaged parts, which are passed over"
        packets, failures = container.demux(stream), 0
        while failures < _FAILURES:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                failures = 0
            except av.error.FFmpegError:
                self.notes[damaged] += failures == 0
                packets, failures = container.demux(stream), failures + 1  # what lies behind
                continue
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                self.notes[damaged] += 1
                continue
            yield from decoded

    def frames(self, number: int = 0, after: int | None = None) -> Iterator[Frame]:
        """The frames whose pts is larger than `after`, upright; the first is given `number`.

        Times rise from frame to frame: one without time, or behind the frame before, is put one
        frame, or one tick, behind that. A note says how often.
        """
        with self._opened() as (container, stream):
            decoded = self._from(container, stream, after)
            step = max(1, round(1 / (self.rate * self.time_base)))
            last = after
            for frame in decoded:
                pts = frame.pts
                if pts is None:
                    self.notes["frames without a time, placed by the frame rate"] += 1
                    pts = (self._start or 0) if last is None else last + step
                elif last is not None and pts <= last:
                    self.notes["frames out of order in time, moved by a tick"] += 1
                    pts = last + 1
                last = pts
                yield Frame(number, pts, int(frame.duration or 0), self._planes(frame))
                number += 1
            self._check_length(last)

    def _from(self, container, stream, after):
        """The decoded frames behind `after`, by a seek where the container allows it."""
        av = pyav.av()
        if after is None:
            return self._decoded(container, stream)
        wanted = after - round(_BEFORE / self.time_base)
        sought = wanted > (self._start or 0)
        if sought:
            try:
                container.seek(wanted, stream=stream, backward=True)
            except av.error.FFmpegError:
                sought = False
        decoded = self._decoded(container, stream)
        first = next(decoded, None)
        if sought and (first is None or first.pts is None or first.pts > after):
            container.seek(self._start or 0, stream=stream, backward=True)
            decoded = self._decoded(container, stream)
            first = next(decoded, None)

        def behind():
            started = False
            for frame in [] if first is None else [first]:
                if frame.pts is not None and frame.pts > after:
                    started = True
                    yield frame
            for frame in decoded:
                # those without a time follow one with a time
                if started or frame.pts is not None and frame.pts > after:
                    started = True
                    yield frame

        return behind()

    def _check_length(self, last):
        """Note a film whose frames end before its container does."""
        if self.length is None or last is None:
            return
        end = float((last - min(0, self._start or 0)) * self.time_base + 1 / self.rate)
        if self.length - end > max(_SLACK, (1 - _CUT_SHORT) * float(self.length)):
            self.notes[f"its frames end at {end:.1f} s of {float(self.length):.1f}"] = 1

    def _planes(self, frame):
        """A decoded frame as upright planes of the film's coding."""
        if (frame.width, frame.height) != self._size:
            self.notes["frames of another size, brought to that of the first"] += 1
            frame = frame.reformat(*self._size)
        if frame.format.name.replace("yuvj", "yuv") != self._layout:
            frame = frame.reformat(format=self._layout)
        if self.is_rgb:
            planes = yuv.of_rgb(frame.to_ndarray(), self.coding)
        else:
            count = 1 if self.is_grey else 3
            planes = frames.planes_of(frame, self.coding.dtype, count)
        quarters, mirrored = self._turn
        if self._turn != (0, False):
            planes = [np.rot90(plane, quarters) for plane in planes]
            planes = [plane[:, ::-1] if mirrored else plane for plane in planes]
        return [np.ascontiguousarray(plane) for plane in planes]


def _is_film(stream):
    """Whether a video stream is more than a picture that belongs to the sound."""
    return "attached_pic" not in str(stream.disposition)


def _length(container, stream):
    """Seconds that the file names, or None."""
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    return Fraction(container.duration, 1_000_000) if container.duration else None


def _layout(pixel_format, width):
    """(the name of a planar layout that holds it, bits, pixels per sample of chroma)."""
    name = pixel_format.name
    match = _PLANAR.fullmatch(name)
    if match and not name.endswith("be"):
        planar = name.replace("yuvj", "yuv").replace("yuva", "yuv")
        return planar, int(match[2] or 8), _SAMPLING[match[1]]
    bits = max(component.bits for component in pixel_format.components)
    if pixel_format.is_rgb or pixel_format.has_palette or name.startswith("xyz"):
        return ("rgb48le" if bits > 8 else "rgb24"), bits, (1, 1)
    depth = next(depth for depth in (8, 10, 12, 16) if depth >= bits or depth == 16)
    suffix = "" if depth == 8 else f"{depth}le"
    if len(pixel_format.components) < 3:
        return f"gray{suffix}", depth, (1, 1)
    across = 2 if pixel_format.chroma_width(64) < 64 else 1
    down = 2 if pixel_format.chroma_height(64) < 64 else 1
    sampling = {(2, 2): "420", (2, 1): "422", (1, 2): "440", (1, 1): "444"}[across, down]
    return f"yuv{sampling}p{suffix}", depth, (across, down)


def _orientation(frame):
    """Quarter turns counterclockwise, and whether mirrored then, that show a frame upright."""
    for data in frame.side_data:
        if "DISPLAYMATRIX" in str(data.type):
            values = np.frombuffer(bytes(data), np.int32)
            a, b, c, d = (int(np.sign(values[i])) for i in (0, 1, 3, 4))
            return _ORIENTATION.get((a, b, c, d), (0, False))
    return 0, False
