"""Films drawn for the tests, and a colorizer that needs no network."""

import functools
from fractions import Fraction

import cv2
import numpy as np
import pytest

from common import film
from common.color import lab
from common.colorize.colorizer import Small
from common.film import yuv
from common.film.reading import Film
from tests import drawn

av = pytest.importorskip("av", reason="films need PyAV: make setup FILM=1")

HEIGHT, WIDTH = 48, 64
TICKS = 1000  # a second


def shot(seed, count, step=1, colour=False, size=(HEIGHT, WIDTH)):
    """Frames of a camera that moves over a drawn picture: `count` times (H, W, 3) uint8."""
    height, width = size
    picture = drawn.picture(seed, height, width + step * count + 1)
    rng = np.random.default_rng(seed)
    spots = rng.integers(-40, 40, (height // 4, picture.shape[1] // 4, 1)).astype(np.float32)
    spots = cv2.resize(spots, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    picture = np.clip(picture + spots, 0, 255).astype(np.uint8)
    if not colour:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return [np.ascontiguousarray(picture[:, i * step : i * step + width]) for i in range(count)]


def write(path, frames, codec="libx264", layout="yuv420p", times=None, sound=None, **about):
    """Write frames as a film. times: in milliseconds; sound: a codec; about: chapters, turn, ..."""
    times = times or [40 * i for i in range(len(frames))]
    with av.open(str(path), "w", options=about.get("options", {})) as out:
        stream = out.add_stream(codec, rate=25, options=about.get("encoder", {"crf": "4"}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = layout
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        if "turn" in about:
            stream.set_display_rotation(about["turn"])
        voice = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        out.metadata.update(about.get("metadata", {}))
        out.set_chapters(about.get("chapters", []))
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format=layout, dst_colorspace=about.get("matrix", "itu601")
            )
            frame.pts, frame.time_base = time, Fraction(1, TICKS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if voice:
            samples = np.zeros((1, 48 * (times[-1] + 40)), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.rate, frame.pts = 48000, 0
            out.mux(voice.encode(frame))
            out.mux(voice.encode())
    return path


class Waves:
    """A colorizer whose ab follow L* and flicker from call to call, without a network."""

    def __init__(self, stop_after=None):
        self.calls, self._stop_after = 0, stop_after

    def small(self, grey):
        if self.calls == self._stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        l = cv2.resize(lab.grey_to_l(grey), (32, 32), interpolation=cv2.INTER_AREA)
        # from the picture alone, so that a film that goes on has the same
        shift = 10 * np.sin(1000 * float(l.mean()))
        return Small(l, np.dstack([l / 2 - 25 + shift, 40 - l / 2 - shift]).astype(np.float32))

    def joined(self, grey, small):
        ab = cv2.resize(small.ab, grey.shape[::-1])
        colours = np.dstack([lab.grey_to_l(grey), ab])
        return np.rint(lab.lab_to_rgb(lab.into_gamut(colours)) * 65535).astype(np.uint16)


def colour(source, out, colorizer=None, **options):
    """`film.colour` by `Waves`."""
    colorizer = colorizer or Waves()
    return film.colour(film.Options(source, out, **options), lambda: colorizer)


def read(path):
    """(seconds of every frame, L* of every frame, ab of every frame) of a film."""
    opened = Film(path)
    frames = list(opened.frames())
    lightness = [yuv.lightness(frame.planes, opened.coding) for frame in frames]
    ab = [lab.rgb_to_lab(yuv.rgb(frame.planes, opened.coding))[..., 1:] for frame in frames]
    return [float(frame.pts * opened.time_base) for frame in frames], lightness, ab


@functools.cache
def is_written(codec):
    """Whether this build of FFmpeg has an encoder."""
    return codec in av.codecs_available
