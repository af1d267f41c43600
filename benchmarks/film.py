"""How steady the colours of a film are, against each frame by itself, and how fast they come.

    python -m benchmarks.film PHOTOS [CLIP ...] [--count 40] [--frames 150] [--model wombat]

PHOTOS is a folder of colour photos that the model has not seen. Over `--count` of them a camera is
drawn that pans, zooms and turns, 24 frames each; CLIPs are films in colour. Both are made grey and
coloured anew as `make video` does, but for the coding. The tables have, of the 8-bit result:

- PSNR against the true colours, dB.
- warp: by how much ab differ from those of the frame before, brought here: the mean distance in Lab
  units. A drawn camera's motion is known; that of a clip is Farneback's optical flow, which is not
  the one that the colours are carried along, where it and the flow back agree.
- CDC, colour distribution consistency (Liu et al. 2021): the mean Jensen-Shannon divergence of the
  histograms of R, G and B between frames 1, 2 and 4 apart, in thousandths. Motion alone makes some
  of it: see the row of the true colours.

Then come cuts between drawn shots, found by `common.film.scenes` and, where it can be imported, by
PySceneDetect (without its own OpenCV: pip install --no-deps scenedetect), and the speed at three
sizes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import photos
from common.color import lab
from common.colorize import Colorizer
from common.film import scenes, yuv
from common.film.colouring import Colouring
from common.film.reading import Film, Frame
from common.film.yuv import Coding

_CODING = Coding(1, True, 16, 1, 1)
_SIDE, _FRAMES = 192, 24  # of a drawn film
_APART = (1, 2, 4)
_AGREES = 1.0  # pixels: flow there and back
_TIMED = 48  # frames
_SIZES = {"720 x 576": (576, 720), "1280 x 720": (720, 1280), "1920 x 1080": (1080, 1920)}


def pan(side: int, at: float) -> np.ndarray:
    """Where a drawn frame's pixels lie in a photo: (2, 3), at a moment in [0, 1]."""
    scale, free = 0.7 * side / _SIDE, 0.3 * side
    return np.array([[scale, 0, free * at], [0, scale, free * at / 2]])


def zoom(side: int, at: float) -> np.ndarray:
    """As `pan`: closer by two thirds."""
    return _centred(side, 0.7 * (1.25 - 0.5 * at), 0)


def turn(side: int, at: float) -> np.ndarray:
    """As `pan`: by 24 degrees."""
    return _centred(side, 0.67, np.deg2rad(24 * at - 12))


def _centred(side, share, angle):
    scale = share * side / _SIDE
    turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = side / 2 - turned @ np.array([_SIDE / 2, _SIDE / 2])
    return np.hstack([turned, offset[:, None]])


_Brought = Callable[[np.ndarray, int], np.ndarray]


def drawn(rgb: np.ndarray, move: Callable) -> tuple[list[np.ndarray], _Brought]:
    """A camera over a photo -> its frames, and what brings a map of the frame before to frame i.

    What was not in the frame before is NaN.
    """
    places = [move(min(rgb.shape[:2]), i / (_FRAMES - 1)) for i in range(_FRAMES)]
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    frames = [
        cv2.warpAffine(rgb, place, (_SIDE, _SIDE), flags=how, borderMode=cv2.BORDER_REFLECT_101)
        for place in places
    ]
    whole = [np.vstack([place, [0, 0, 1]]) for place in places]

    def brought(values, i):
        between = (np.linalg.inv(whole[i - 1]) @ whole[i])[:2]
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(values, between, (_SIDE, _SIDE), flags=how, borderValue=(np.nan,) * 4)

    return frames, brought


def filmed(path: Path, count: int) -> tuple[list[np.ndarray], _Brought]:
    """The first frames of a clip, and as `drawn` by Farneback's flow."""
    film = Film(path)
    frames = []
    for frame in film.frames():
        frames.append(np.rint(255 * yuv.rgb(frame.planes, film.coding)).astype(np.uint8))
        if len(frames) == count:
            break
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = greys[0].shape
    grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    settings = (0.5, 4, 21, 3, 7, 1.5, 0)

    def brought(values, i):
        back = cv2.calcOpticalFlowFarneback(greys[i], greys[i - 1], None, *settings)
        forth = cv2.calcOpticalFlowFarneback(greys[i - 1], greys[i], None, *settings)
        x, y = cv2.split(grid + back)
        returned = back + cv2.remap(forth, x, y, cv2.INTER_LINEAR)
        result = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderValue=(np.nan,) * 4)
        result[np.square(returned).sum(axis=2) > _AGREES**2] = np.nan
        return result

    return frames, brought


def coloured(frames: list[np.ndarray], colorizer: Colorizer, steady: bool) -> list[np.ndarray]:
    """Frames in colour -> made grey and coloured anew, uint8."""
    greys = [lab.l_to_grey(lab.rgb_to_l(frame)) for frame in frames]
    planes = [[np.rint(65535 * grey).astype(np.uint16)] for grey in greys]
    colouring = Colouring(_CODING, _CODING, frames[0].shape[:2], lambda: colorizer, steady)
    result = []
    for group, _ in colouring.groups(Frame(i, i, 1, each) for i, each in enumerate(planes)):
        for held, ab in group:
            rgb = yuv.rgb(colouring.written(held, ab), _CODING)
            result.append(np.rint(255 * rgb).astype(np.uint8))
    return result


def scores(frames: list[np.ndarray], true: list[np.ndarray], brought: _Brought) -> list[float]:
    """[PSNR, warp, CDC in thousandths] of a film."""
    error = [np.square(a.astype(float) - b).mean() for a, b in zip(frames, true, strict=True)]
    psnr = np.mean([10 * np.log10(255**2 / max(each, 1e-3)) for each in error])
    abs_ = [lab.rgb_to_lab(frame)[..., 1:] for frame in frames]
    warp = [
        np.nanmean(np.linalg.norm(abs_[i] - brought(abs_[i - 1], i), axis=2))
        for i in range(1, len(frames))
    ]
    return [float(psnr), float(np.mean(warp)), 1000 * consistency(frames)]


def consistency(frames: list[np.ndarray]) -> float:
    """CDC, in nats."""
    shares = [
        [np.bincount(channel.ravel(), minlength=256) / channel.size for channel in cv2.split(frame)]
        for frame in frames
    ]
    divergences = [
        np.mean(
            [
                _divergence(p, q)
                for i in range(len(shares) - apart)
                for p, q in zip(shares[i], shares[i + apart], strict=True)
            ]
        )
        for apart in _APART
    ]
    return float(np.mean(divergences))


def _divergence(p, q):
    """Jensen-Shannon."""
    middle = (p + q) / 2
    return sum((x[x > 0] * np.log(x[x > 0] / middle[x > 0])).sum() for x in (p, q)) / 2


def table(name: str, films: list, colorizer: Colorizer) -> None:
    """Print the scores of films, their means, by each way of colouring."""
    ways = {"true colours": None, "frame by frame": False, "steady": True}
    print(f"\n| {name} | PSNR | warp | CDC |\n|---|--:|--:|--:|")
    for way, steady in ways.items():
        rows = []
        for true, brought in films:
            frames = true if steady is None else coloured(true, colorizer, steady)
            rows.append(scores(frames, true, brought))
        psnr, warp, cdc = np.mean(rows, axis=0)
        print(
            f"| {way} | {'' if steady is None else f'{psnr:.2f}'} | {warp:.2f} | {cdc:.2f} |",
            flush=True,
        )


# --- Cuts ------------------------------------------------------------------------------------


def shots(pictures: list[np.ndarray], kind: str) -> tuple[list[np.ndarray], list[int]]:
    """Drawn shots one behind the other, (H, W) uint8 -> the frames, and where the cuts are."""
    rng = np.random.default_rng(0)
    speed = {"slow": 1, "fast pans": 16}.get(kind, 3)
    frames: list[np.ndarray] = []
    cuts = []
    for picture in pictures:
        large, angle = cv2.resize(picture, (480, 480)), rng.uniform(0, 2 * np.pi)
        cuts.append(len(frames))
        for i in range(int(rng.integers(12, 40))):
            x, y = 96 + speed * i * np.array([np.cos(angle), np.sin(angle)])
            place = np.array([[0.9, 0, x], [0, 0.9, y]])
            how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            border = cv2.BORDER_REFLECT_101
            frames.append(cv2.warpAffine(large, place, (320, 240), flags=how, borderMode=border))
    for i, frame in enumerate(frames):
        values = frame.astype(np.float32)
        if kind == "old":
            values = values * rng.uniform(0.8, 1.15) + rng.uniform(-10, 10)
            values = np.roll(values + rng.normal(0, 12, values.shape), rng.integers(-2, 3), axis=0)
        elif kind == "flashes" and rng.random() < 0.03:
            values = values * 0.3 + 180
        frames[i] = np.clip(values, 0, 255).astype(np.uint8)
    return frames, cuts[1:]


def ours(frames: list[np.ndarray]) -> list[int]:
    """The cuts that `common.film.scenes` finds."""
    tiny = [scenes.tiny(lab.grey_to_l(frame)) for frame in frames]
    pairs = enumerate(zip(tiny, tiny[1:], strict=False), start=1)
    return [i for i, (a, b) in pairs if scenes.unlikeness(a, b) > scenes.UNLIKE]


def theirs(frames: list[np.ndarray], detector: str) -> list[int]:
    """The cuts that PySceneDetect finds, by its defaults but for the shortest scene."""
    import scenedetect

    found = getattr(scenedetect, detector)(min_scene_len=1)
    cuts = []
    for i, frame in enumerate(frames):
        time_code = scenedetect.FrameTimecode(i, 25.0)
        cuts += found.process_frame(time_code, cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    cuts += found.post_process(scenedetect.FrameTimecode(len(frames) - 1, 25.0))
    return [int(cut.frame_num) for cut in cuts]


def cut_table(pictures: list[np.ndarray]) -> None:
    """Print how many cuts are found, and how many that are none."""
    ways: dict[str, Callable] = {"ours": ours}
    try:
        import scenedetect  # noqa: F401

        for name in ("ContentDetector", "AdaptiveDetector"):
            ways[name] = lambda frames, name=name: theirs(frames, name)
    except ImportError:
        print("\nPySceneDetect is not installed: its columns are left out")
    print(f"\n| {len(pictures)} drawn shots | {' | '.join(ways)} |\n|---|{'--:|' * len(ways)}")
    for kind in ("slow", "pans", "fast pans", "old", "flashes"):
        frames, cuts = shots(pictures, kind)
        cells = []
        for find in ways.values():
            found = set(find(frames))
            cells.append(f"{len(found & set(cuts))} of {len(cuts)}, {len(found - set(cuts))} false")
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


# --- Speed -----------------------------------------------------------------------------------


def speed_table(picture: np.ndarray, colorizer: Colorizer) -> None:
    """Print frames a second and processor seconds a frame, without decoding and encoding."""
    print("\n| frames a second (processor seconds a frame) | frame by frame | steady |")
    print("|---|--:|--:|")
    coding = Coding(1, False)
    for name, (height, width) in _SIZES.items():
        large = cv2.resize(picture, (width + 64, height))
        grey = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
        neutral = [np.full(coding.chroma_shape((height, width)), 128, np.uint8)] * 2
        cells = []
        for steady in (False, True):
            colouring = Colouring(coding, coding, (height, width), lambda: colorizer, steady)
            frames = (
                Frame(i, i, 1, [np.ascontiguousarray(grey[:, i : i + width]), *neutral])
                for i in range(_TIMED)
            )
            start, spent = time.perf_counter(), time.process_time()
            for group, _ in colouring.groups(frames):
                for held, ab in group:
                    colouring.written(held, ab)
            rate = _TIMED / (time.perf_counter() - start)
            cells.append(f"{rate:.1f} ({(time.process_time() - spent) / _TIMED:.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder of unseen colour photos")
    parser.add_argument("clips", type=Path, nargs="*", help="films in colour")
    parser.add_argument("--count", type=int, default=40, help="of photos, evenly spread")
    parser.add_argument("--frames", type=int, default=150, help="of a clip, from its beginning")
    parser.add_argument("--model", default="wombat")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    paths = [path for path in photos.find(args.photos) if photos.is_picture(path)]
    paths = sorted(paths)[:: max(1, len(paths) // args.count)][: args.count]
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    colorizer = Colorizer(args.model, args.precision)
    colorizer.small(np.zeros((64, 64), np.uint8))  # compiled, before its time is taken
    for move in (pan, zoom, turn):
        films = [drawn(picture, move) for picture in pictures]
        table(f"{move.__name__} over {len(films)} photos", films, colorizer)
    for clip in args.clips:
        table(clip.name, [filmed(clip, args.frames)], colorizer)
    cut_table([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
    speed_table(pictures[0], colorizer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
