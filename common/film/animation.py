"""GIF, animated WebP and animated PNG, by Pillow: timings, loop count and transparency are kept.

WebP and PNG are written without loss. A GIF has 256 colours a frame, chosen anew and dithered; what
that does to L* is measured like a film's coding.
"""

import collections
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from common import cli, files
from common.cli import UserError
from common.color import lab
from common.film import encoding, yuv
from common.film.colouring import Colouring
from common.film.options import Options, Result
from common.film.reading import Frame
from common.film.yuv import Coding

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer


_KINDS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
_CODING = Coding(1, True, 16, 1, 1)  # fine enough for 8 bits to return as they were
_SHOWN = 100  # milliseconds of a frame that states nothing
_CLEAR = 255  # the number of a GIF's transparent colour
_OPAQUE = 128  # alpha from which a pixel of a GIF is shown
_KEPT = ("loop", "icc_profile", "exif", "xmp", "comment")


def colour(options: Options, load: Callable[[], "Colorizer"]) -> Result:
    """Colour an animation in memory; load: returns the `Colorizer`, for every frame.

    Raises UserError.
    """
    source, out = options.source, options.out
    notes = collections.Counter[str]()
    kind = _KINDS[out.suffix.lower()]
    try:
        with Image.open(source, formats=sorted(set(_KINDS.values()))) as image:
            frames = [*_frames(image, notes)]
            about = {name: image.info[name] for name in _KEPT if name in image.info}
            if getattr(image, "n_frames", 1) == 1:
                notes["a single picture: make colorize keeps its depth and its metadata"] = 1
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise UserError(
            f"{source} is no animation that is read here, and OUT={out} is one. Films are "
            f"written as {', '.join(encoding.FILMS)}."
        ) from None
    if not frames:
        raise UserError(f"{source} has no frame that can be read.")
    if kind == "WEBP":  # which plays for ever unless it is told otherwise
        about.setdefault("loop", 1)
    colouring = Colouring(
        _CODING,
        _CODING,
        frames[0][0].shape[:2],
        load,
        options.is_steady,
        options.colour == "keep",
    )
    coloured = []
    with cli.progress(total=len(frames), desc="colouring", unit="frame") as bar:
        for group, _ in colouring.groups(_planes(frames)):
            for held, ab in group:
                rgba = frames[held.frame.number][0]
                rgb = yuv.rgb(colouring.written(held, ab), _CODING)
                coloured.append(np.dstack([np.rint(rgb * 255).astype(np.uint8), rgba[..., 3]]))
                bar.update()
    with files.replacing(out) as temporary:
        _write(temporary, kind, coloured, [shown for _, shown in frames], about)
        difference = _difference(temporary, coloured)
    return Result(len(coloured), colouring.take_kept(), difference, list(notes))


def _frames(image, notes) -> Iterator[tuple[np.ndarray, int]]:
    """Every frame, (H, W, 4) uint8, and its milliseconds."""
    try:
        for frame in ImageSequence.Iterator(image):
            rgba = np.array(frame.convert("RGBA"))  # a WebP's times are known when it is decoded
            yield rgba, int(frame.info.get("duration", _SHOWN))
    except (OSError, SyntaxError, ValueError, EOFError):
        notes["ends early: damaged or cut short"] = 1


def _planes(frames):
    """As frames of a film. Transparent places count by their own colour, if they have one."""
    for number, (rgba, shown) in enumerate(frames):
        yield Frame(number, number, shown, yuv.of_rgb(rgba[..., :3], _CODING))


def _write(path, kind, frames, shown, about):
    if kind == "GIF":
        is_clear = any((rgba[..., 3] < _OPAQUE).any() for rgba in frames)
        pictures = [_paletted(rgba) for rgba in frames]
        extra: dict[str, Any] = {"disposal": 2 if is_clear else 1}
        extra |= {"transparency": _CLEAR} if is_clear else {}
    else:
        opaque = all((rgba[..., 3] == 255).all() for rgba in frames)
        pictures = [Image.fromarray(rgba[..., :3] if opaque else rgba) for rgba in frames]
        extra = {"lossless": True, "exact": True} if kind == "WEBP" else {"blend": 0}
    if len(pictures) > 1:
        extra |= {"save_all": True, "append_images": pictures[1:], "duration": shown}
    pictures[0].save(path, kind, **about, **extra)


def _paletted(rgba):
    """A frame in 255 colours and, as the last, the transparent one."""
    picture = Image.fromarray(rgba[..., :3])
    palette = picture.quantize(_CLEAR, Image.Quantize.MEDIANCUT)
    numbers = np.array(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    numbers[rgba[..., 3] < _OPAQUE] = _CLEAR
    result = Image.fromarray(numbers, "P")
    result.putpalette(palette.getpalette("RGB") or [], "RGB")
    return result


def _difference(path, frames):
    """The mean |L*| between frames and a file, where they are shown."""
    total, count = 0.0, 0
    with Image.open(path) as image:
        for rgba, stored in zip(frames, ImageSequence.Iterator(image), strict=False):
            visible = rgba[..., 3] >= _OPAQUE
            pixels = np.array(stored.convert("RGB"))
            if visible.any():
                difference = lab.rgb_to_l(pixels[visible]) - lab.rgb_to_l(rgba[visible][..., :3])
                total, count = total + float(np.abs(difference).mean()), count + 1
    return total / max(1, count)
