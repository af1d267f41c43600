"""Compare ways to bring ab to full size: `python -m benchmarks.edges`, or with a folder of photos.

True ab is averaged to the size at which a network decides it, brought back by each way, and joined
with the true L*: what is lost is the way's own. With `--model` it is that model's ab. Everything is
measured on all pixels and on those within 8 pixels of strong edges, where colour bleeds: the 2 % of
the pixels with the largest gradient of Lab. docs: benchmarks/README.md.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from common import cli, metrics, photos
from common.cli import UserError
from common.color import lab
from common.colorize import refine, upsampling
from common.datasets import samples
from common.networks import h5, model_names
from common.networks.interface import predict

SIZE = 256  # of the L* that a network takes
SAMPLE = 100_000  # pixels of a photo that are scored, at most
EDGES, NEAR = 0.02, 8  # the share of pixels that are edges, and how near is near


# --- the ways: (ab (s, s, 2), L* (s, s), and of some pixels L* (n,) and where they are in the map,
#     (2, n) rows and columns) -> their ab (n, 2) -----------------------------------------------


def bilinear(ab: np.ndarray, _guide: np.ndarray, _l: np.ndarray, at: np.ndarray) -> np.ndarray:
    """What takes no notice of L*."""
    return _between(ab, at)


def lines(ab: np.ndarray, guide: np.ndarray, l: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The way of the Colorizer."""
    return upsampling.along(_between(upsampling.lines(ab, guide), at), l)


def smoothed_lines(ab: np.ndarray, guide: np.ndarray, l: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The same after total variation: REFINE=tv."""
    return lines(refine.total_variation(ab), guide, l, at)


def guided_filter(radius: int, flat: float = 10.0) -> Callable[..., np.ndarray]:
    """The fast guided filter (He, Sun 2015): lines fitted in boxes, and their mean over boxes."""

    def mean(values):
        return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT_101)

    def way(ab, guide, l, at):
        of_guide = mean(guide)
        variance = mean(guide * guide) - of_guide**2
        covariance = mean(ab * guide[..., None]) - mean(ab) * of_guide[..., None]
        slope = covariance / (variance + flat)[..., None]
        fitted = np.concatenate([slope, mean(ab) - slope * of_guide[..., None]], axis=2)
        return upsampling.along(_between(mean(fitted), at), l)

    return way


def joint_bilateral(across: float, spread: float = 0.7) -> Callable[..., np.ndarray]:
    """Joint bilateral upsampling (Kopf and others 2007) from the nine nearest positions.

    across, spread: deviations of its Gaussians, of L* and of the distance in positions.
    """

    def way(ab, guide, l, at):
        total, weights = 0, 0
        for step in itertools.product((-1, 0, 1), repeat=2):
            there = np.rint(at).astype(int) + np.array(step)[:, None]
            away = np.square(there - at).sum(0) / spread**2
            row, column = np.clip(there, 0, len(ab) - 1)
            weight = np.exp(-away / 2)
            weight *= np.exp(np.square(l - guide[row, column]) / (-2 * across**2)) + 1e-6
            total = total + weight[:, None] * ab[row, column]
            weights = weights + weight
        return total / weights[:, None]

    return way


def _between(values, at):
    """A map (s, s, c), bilinear at (2, n) positions -> (n, c)."""
    planes = np.moveaxis(values, -1, 0)
    found = [ndimage.map_coordinates(plane, at, order=1, mode="nearest") for plane in planes]
    return np.stack(found, axis=1)


WAYS = {
    "bilinear": bilinear,
    "guided filter, radius 1": guided_filter(1),
    "guided filter, radius 2": guided_filter(2),
    "joint bilateral, L* 4": joint_bilateral(4),
    "joint bilateral, L* 8": joint_bilateral(8),
    "lines": lines,
    "total variation, lines": smoothed_lines,
}


# --- measuring ------------------------------------------------------------------------------------


def near_edges(colours: np.ndarray) -> np.ndarray:
    """Lab (H, W, 3) -> (H, W) bool."""
    smooth = cv2.GaussianBlur(colours, (0, 0), 1.5)
    gradient = np.sqrt(
        sum(np.square(cv2.Sobel(smooth, cv2.CV_32F, *way)).sum(-1) for way in ((1, 0), (0, 1)))
    )
    edges = (gradient >= np.quantile(gradient, 1 - EDGES)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1,) * 2)
    return cv2.dilate(edges, disc) > 0


def score(rgb: np.ndarray, colours: np.ndarray, ab: np.ndarray) -> tuple[float, float]:
    """Pixels (n, 3) in sRGB and in Lab, and the ab (n, 2) to put in -> (PSNR in dB, CIEDE2000)."""
    joined = np.concatenate([colours[:, :1], ab], axis=1)
    result = np.rint(255 * lab.lab_to_rgb(lab.into_gamut(joined))).astype(np.uint8)
    return (
        metrics.psnr_rgb(rgb[None], result[None]),
        metrics.ciede2000(colours[None], lab.rgb_to_lab(result)[None]),
    )


def measure(path: Path, decide: dict[str, Callable]) -> Iterator[tuple[str, str, tuple]]:
    """Yield (what ab is, the way, PSNR and CIEDE2000 near edges, then those of all pixels).

    decide: {what ab is: function of the true Lab and of the L* that a network takes}.
    """
    with photos.read(path) as photo:
        rgb = photos.opaque(next(iter(photo.pages())).pixels)
    colours = lab.rgb_to_lab(rgb)
    l = np.ascontiguousarray(colours[..., 0])
    small = photos.fit(l, SIZE, "squash")
    rng = np.random.default_rng(0)
    near = np.flatnonzero(near_edges(colours))
    chosen = [
        np.unravel_index(rng.choice(pixels, min(np.size(pixels), SAMPLE), False), l.shape)
        for pixels in (near, np.arange(l.size))
    ]
    for what, function in decide.items():
        ab = function(colours, small)
        guide = photos.fit(small, len(ab), "squash")
        for name, way in WAYS.items():
            figures = []
            for pixels in chosen:
                at = (np.array(pixels) + 0.5) * len(ab) / np.array(l.shape)[:, None] - 0.5
                found = way(ab, guide, l[pixels], at).astype(np.float32)
                figures += score(rgb[pixels], colours[pixels], found)
            yield what, name, tuple(figures)


def main(argv: list[str] | None = None) -> int:
    """Print a table: means over the photos, and on how many CIEDE2000 near edges is lower."""
    parser = cli.Parser("benchmarks.edges", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="by default the sample photos")
    parser.add_argument("--model", help="an .h5 that needs no embedding, in place of the true ab")
    args = parser.parse_args(argv)
    if args.folder:
        paths = [path for path in photos.find(args.folder) if photos.is_picture(path)]
    else:
        paths = [samples.find(name) for names, _ in samples.PHOTOS.values() for name in names]
    if not paths:
        raise UserError(f"There is no photo below {args.folder}.")
    decide = {
        f"true, {size} x {size}": lambda colours, _, size=size: photos.fit(
            np.ascontiguousarray(colours[..., 1:]), size, "squash"
        )
        for size in (64, 256)
    }
    if args.model:
        model = h5.without_upsampling(h5.load(model_names.named(args.model)))
        decide = {args.model: lambda _, small: predict(model, {"l": small[None, ..., None]})[0]}
    scores: dict[tuple, list] = {}
    for path in cli.progress(paths, desc="measuring", unit="photo"):
        for what, name, figures in measure(path, decide):
            scores.setdefault((what, name), []).append(figures)
    print(
        f"| {len(paths)} photos | near edges: PSNR, CIEDE2000 | all: PSNR, CIEDE2000 | better on |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for (what, name), figures in scores.items():
        better = np.array(figures)[:, 1] < np.array(scores[what, "bilinear"])[:, 1]
        means = " | ".join(f"{mean:.2f}" for mean in np.mean(figures, axis=0))
        print(f"| {what}: {name} | {means} | {better.sum()} |")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
