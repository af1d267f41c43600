"""How a result is stored: the container by its name, the encoder by the container."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from common.cli import UserError, nearest
from common.film.reading import Film
from common.film.yuv import Coding

ANIMATIONS = (".gif", ".webp", ".png", ".apng")  # what Pillow writes
_H264 = {"crf": "16", "preset": "medium"}  # not to be told from the source by eye
_VP9 = {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
_FFV1 = {"level": "3", "slicecrc": "1", "slices": "4"}
# suffix -> (FFmpeg's name of the container, its encoder, the encoder's options, its depths)
_CONTAINERS: dict[str, tuple[str, str, dict[str, str], tuple[int, ...]]] = {
    ".mp4": ("mp4", "libx264", _H264, (8, 10)),
    ".m4v": ("mp4", "libx264", _H264, (8, 10)),
    ".mov": ("mov", "libx264", _H264, (8, 10)),
    ".mkv": ("matroska", "libx264", _H264, (8, 10)),
    ".webm": ("webm", "libvpx-vp9", _VP9, (8,)),
}
FILMS = tuple(_CONTAINERS)
_SAMPLING = {(2, 2): "420", (2, 1): "422", (1, 1): "444"}


@dataclasses.dataclass(frozen=True)
class Encoding:
    """container, encoder: FFmpeg's names; layout: of the pixels; coding: what its numbers mean."""

    container: str
    encoder: str
    layout: str
    coding: Coding
    options: Mapping[str, str]


def named(source: Path) -> Path:
    """The name of a result where none is given: in the source's container, if it is written."""
    suffix = source.suffix.lower()
    suffix = suffix if suffix in (*FILMS, *ANIMATIONS) else ".mkv"
    return source.with_name(f"{source.stem}-colour{suffix}")


def check_name(out: Path, lossless: bool = False) -> None:
    """Raise UserError where no film can be written under this name."""
    suffix = out.suffix.lower()
    if suffix not in FILMS:
        raise UserError(
            f"OUT={out}: films are written as {', '.join(FILMS)}, animations as "
            f"{', '.join(ANIMATIONS)}.{nearest(suffix, FILMS)}"
        )
    if lossless and suffix != ".mkv":
        raise UserError(
            f"LOSSLESS=1 writes FFV1, which is kept in .mkv: OUT={out.with_suffix('.mkv')}."
        )


def choose(film: Film, out: Path, lossless: bool = False) -> Encoding:
    """The encoding of a film's result; adds a note where few players take it.

    The depth and sampling of chroma are the film's, where the encoder has them. Raises UserError.
    """
    check_name(out, lossless)
    container, encoder, options, depths = _CONTAINERS[out.suffix.lower()]
    if lossless:
        encoder, options, depths = "ffv1", _FFV1, (8, 10, 16)
    source = film.coding
    sampling = source.across, source.down
    bits = next((depth for depth in depths if depth >= source.bits), depths[-1])
    full = source.full
    if film.is_grey:
        sampling, full = (2, 2), full and lossless
    elif film.is_rgb:
        sampling, bits, full = ((1, 1) if lossless else (2, 2)), film.bits, False
        bits = next((depth for depth in depths if depth >= bits), depths[-1])
    if sampling not in _SAMPLING or any(side % 2 for side in film.shape):
        sampling = 1, 1
    if bits < min(source.bits, film.bits):
        film.notes[f"its {film.bits} bits become {bits}"] = 1
    coding = Coding(source.matrix, full, bits, *sampling)
    layout = f"yuv{_SAMPLING[sampling]}p" + ("" if bits == 8 else f"{bits}le")
    if encoder == "libx264" and (bits > 8 or sampling != (2, 2)):
        film.notes[
            f"H.264 of {bits} bits and 4:{_SAMPLING[sampling][1:2]}:{_SAMPLING[sampling][2:]}, as "
            "the source: VLC and mpv play it, browsers and televisions may not"
        ] = 1
    options = dict(options)
    if film.interlaced and encoder == "libx264":
        options["x264-params"] = "bff=1" if film.interlaced == "bb" else "tff=1"
    return Encoding(container, encoder, layout, coding, options)
