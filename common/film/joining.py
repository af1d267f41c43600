"""Segments of coded frames, and what else the source holds -> one file."""

import dataclasses
import heapq
import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from common.cli import UserError, first_line
from common.film import pyav
from common.film.encoding import Encoding
from common.film.reading import Film

_OPTIONS = {"mp4": {"movflags": "+faststart"}, "mov": {"movflags": "+faststart"}}
_FASTEST = 240  # frames a second of a time code
# What a container says of its own bytes, or a muxer of its own work: not true of a result.
_UNTRUE = (
    *("major_brand", "minor_version", "compatible_brands"),
    *("encoder", "vendor_id", "duration", "bps", "number_of_", "_statistics"),
)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The segments' files in order, and of all frames the times and durations, in ticks."""

    paths: list[Path]
    pts: np.ndarray
    durations: np.ndarray


def join(film: Film, encoding: Encoding, parts: Parts, target: Path) -> None:
    """Write the result: the coded frames, and of the source every stream that the container holds,
    chapters and metadata. What it does not hold is noted in `film.notes`. Raises UserError.
    """
    av = pyav.av()
    options = _OPTIONS.get(encoding.container, {})
    try:
        with (
            av.open(str(film.path), metadata_errors="replace") as source,
            av.open(str(parts.paths[0])) as first,
            av.open(str(target), "w", format=encoding.container, options=options) as out,
        ):
            video = out.add_stream_from_template(first.streams.video[0])
            video.time_base = film.time_base
            video.codec_context.framerate = film.rate  # in which a time code counts
            _describe(video, source.streams[film.index])
            copies = _copies(film, encoding, source, out)
            out.set_chapters(source.chapters())
            out.metadata.update(_true(source.metadata))
            if film.rate > _FASTEST:
                _drop_time_codes(film, out, video)
            packets = heapq.merge(
                _coded(parts, film.time_base, video),
                _others(film, source, copies),
                key=lambda item: item[0],
            )
            for _, packet in packets:
                try:
                    out.mux_one(packet)
                except (av.error.FFmpegError, ValueError):
                    if packet.stream is video:
                        raise
                    film.notes[f"packets of its {packet.stream.type} that could not be kept"] += 1
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and error.errno and error.errno > 0:
            raise
        raise UserError(
            f"{target.name} cannot be written as {encoding.container} ({first_line(error)}); "
            "another ending of OUT= may work, as .mkv."
        ) from None
    _check_metadata(film, target)


def _coded(parts, time_base, stream) -> Iterator[tuple[float, Any]]:
    """The coded packets with times for all segments together, by their time of decoding.

    A packet is decoded when the frame that is shown `delay` frames before its own place is: the
    same distance in all segments, so that times of decoding rise over their joints as well.
    """
    ranks: list[np.ndarray] = []
    for path in parts.paths:
        shown = np.array([packet.pts for packet in _packets(path)])
        ranks.append(sum(len(each) for each in ranks) + np.argsort(np.argsort(shown)))
    order = np.concatenate(ranks)
    if len(order) != len(parts.pts):
        raise UserError(
            f"{parts.paths[0].parent} is damaged: it has {len(order)} of {len(parts.pts)} frames. "
            "Remove it and repeat the command."
        )
    delay = int((np.arange(len(order)) - order).max())
    step = int(parts.pts[1] - parts.pts[0]) if len(parts.pts) > 1 else 1
    packets = itertools.chain.from_iterable(map(_packets, parts.paths))
    for number, (packet, rank) in enumerate(zip(packets, order, strict=True)):
        before = number - delay
        dts = int(parts.pts[before]) if before >= 0 else int(parts.pts[0]) + before * step
        packet.pts, packet.dts = int(parts.pts[rank]), dts
        packet.duration = int(parts.durations[rank])
        packet.time_base, packet.stream = time_base, stream
        yield float(dts * time_base), packet


def _packets(path):
    """The coded frames of a segment; of their times the order alone counts: they are rounded."""
    with pyav.av().open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


def _others(film, source, copies) -> Iterator[tuple[float, Any]]:
    """The packets of the copied streams, in the order of the source."""
    av = pyav.av()
    packets = source.demux([source.streams[index] for index in copies]) if copies else iter(())
    time = float("-inf")
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:  # a film that is cut short: reading has noted it
            return
        if packet is None:
            return
        if packet.size == 0 or (packet.dts is None and packet.pts is None):
            continue
        ticks = packet.dts if packet.dts is not None else packet.pts
        time = max(time, float(ticks * packet.time_base))
        packet.stream = copies[packet.stream.index]
        yield time, packet


def _copies(film, encoding, source, out):
    """{index in the source: stream of the result} of all streams that the container holds."""
    copies = {}
    for stream in source.streams:
        if stream.index == film.index:
            continue
        if stream.type == "data" and (source.chapters() or "timecode" in stream.metadata):
            continue  # as MP4 repeats what is in its metadata, and written anew
        what = {"audio": "sound", "subtitle": "subtitles", "video": "picture"}.get(
            stream.type, stream.type
        )
        codec = getattr(stream.codec_context, "name", None) or "of an unknown codec"
        language = f", {stream.language}" if getattr(stream, "language", None) else ""
        name = f"its {what} ({codec}{language})"
        if stream.type == "attachment" and encoding.container == "matroska":
            out.add_attachment(stream.name, stream.mimetype, stream.data)
        elif stream.type == "video" and "attached_pic" not in str(stream.disposition):
            pass  # reading has noted it
        elif _holds(encoding.container, stream):
            copies[stream.index] = out.add_stream_from_template(stream)
            _describe(copies[stream.index], stream)
        else:
            film.notes[f"{name}: left out, {encoding.container} does not hold that"] = 1
    return copies


def _holds(container, stream):
    """Whether a container takes a stream, by trying."""
    av = pyav.av()
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
        return True
    except (av.error.FFmpegError, ValueError, TypeError, AttributeError):
        return False


def _drop_time_codes(film, *described):
    """Leave out what counts frames, where the rate is none that it can count in."""
    for each in described:
        for name in [name for name in each.metadata if name.lower() == "timecode"]:
            del each.metadata[name]
            film.notes["its time code: left out, the frame rate is too high"] = 1


def _describe(copy, stream):
    """What the source says of a stream."""
    copy.metadata.update(_true(stream.metadata))
    copy.disposition = stream.disposition


def _true(metadata):
    return {name: value for name, value in metadata.items() if not name.lower().startswith(_UNTRUE)}


def _check_metadata(film, target):
    """Note what the container has not kept of the chapters and the metadata."""
    av = pyav.av()
    with (
        av.open(str(film.path), metadata_errors="replace") as source,
        av.open(str(target), metadata_errors="replace") as out,
    ):
        stored = [out.metadata, *(stream.metadata for stream in out.streams)]
        kept = {name.lower() for metadata in stored for name in metadata}
        lost = sorted(name for name in _true(source.metadata) if name.lower() not in kept)
        if lost:
            film.notes[f"metadata that {target.suffix} does not hold: {', '.join(lost)}"] = 1
        missing = len(source.chapters()) - len(out.chapters())
        if missing > 0:
            film.notes[f"{missing} of its chapters are left out"] = 1


def durations(pts: np.ndarray, stated: np.ndarray, rate: Fraction, time_base: Fraction) -> Any:
    """How long each frame is shown, in ticks: until the next, and the last as the source says."""
    step = max(1, round(1 / (rate * time_base)))
    last = int(stated[-1]) or (int(pts[-1] - pts[-2]) if len(pts) > 1 else step)
    return np.append(np.diff(pts), last)
