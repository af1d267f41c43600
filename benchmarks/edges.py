"""Compare ways to bring ab to full size: `python -m benchmarks.edges`, or with a folder of photos.

True ab is averaged to the size at which a network decides it, brought back by each way, and joined
with the true L*: what is lost is the way's own. With `--model` it is that model's ab. Everything is
measured on all pixels and on those within 8 pixels of strong edges, where colour bleeds: the 2 % of
the pixels with the largest gradient of Lab. docs: benchmarks/README.md.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from common import cli, metrics, photos
from common.cli import UserError
from common.color import lab
from common.colorize import upsampling
from common.datasets import samples
from common.networks import h5
from common.networks.interface import predict

SIZE = 256  # of the L* that a network takes
SAMPLE = 100_000  # pixels of a photo that are scored, at most
EDGES, NEAR = 0.02, 8  # the share of pixels that are edges, and how near is near


# --- the ways: (ab (s, s, 2), L* (S, S) as a network takes it, L* (H, W)) -> ab (H, W, 2) ---------


def bilinear(ab: np.ndarray, _small: np.ndarray, l: np.ndarray) -> np.ndarray:
    """What takes no notice of L*."""
    return photos.unfit(ab, l.shape, "squash")


def lines(ab: np.ndarray, small: np.ndarray, l: np.ndarray) -> np.ndarray:
    """The way of the Colorizer."""
    fitted = upsampling.lines(ab, _averaged(small, ab.shape[:2]))
    return upsampling.along(photos.unfit(fitted, l.shape, "squash"), l)


def guided_filter(radius: int, flat: float = 10.0) -> Callable[..., np.ndarray]:
    """The fast guided filter (He, Sun 2015): lines fitted in boxes, and their mean over boxes."""

    def mean(values):
        return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT_101)

    def way(ab, small, l):
        guide = _averaged(small, ab.shape[:2])
        of_guide = mean(guide)
        variance = mean(guide * guide) - of_guide**2
        covariance = mean(ab * guide[..., None]) - mean(ab) * of_guide[..., None]
        slope = covariance / (variance + flat)[..., None]
        fitted = np.concatenate([slope, mean(ab) - slope * of_guide[..., None]], axis=2)
        return upsampling.along(photos.unfit(mean(fitted), l.shape, "squash"), l)

    return way


def joint_bilateral(across: float, spread: float = 0.7) -> Callable[..., np.ndarray]:
    """Joint bilateral upsampling (Kopf and others 2007) from the nine nearest positions.

    across, spread: deviations of its Gaussians, of L* and of the distance in positions.
    """

    def way(ab, small, l):
        guide = _averaged(small, ab.shape[:2])
        rows, columns = (
            (np.arange(full) + 0.5) * few / full - 0.5
            for full, few in zip(l.shape, ab.shape, strict=False)
        )
        total = np.zeros((*l.shape, 2), np.float32)
        weights = np.zeros(l.shape, np.float32)
        for y in (-1, 0, 1):
            for x in (-1, 0, 1):
                (i, by_row), (j, by_column) = (
                    _neighbour(positions, step, len(ab), spread)
                    for positions, step in ((rows, y), (columns, x))
                )
                there = np.ix_(i, j)
                weight = np.exp(np.square(l - guide[there]) / (-2 * across**2)) + 1e-6
                weight *= by_row[:, None] * by_column
                total += weight[..., None] * ab[there]
                weights += weight
        return total / weights[..., None]

    return way


def _neighbour(positions, step, count, spread):
    """The indices one step from the nearest ones, and the weights of their distances."""
    indices = np.clip(np.rint(positions).astype(int) + step, 0, count - 1)
    return indices, np.exp(np.square(indices - positions) / (-2 * spread**2)).astype(np.float32)


def _averaged(values, shape):
    return cv2.resize(values, shape[::-1], interpolation=cv2.INTER_AREA)


WAYS = {
    "bilinear": bilinear,
    "guided filter, radius 1": guided_filter(1),
    "guided filter, radius 2": guided_filter(2),
    "joint bilateral, L* 4": joint_bilateral(4),
    "joint bilateral, L* 8": joint_bilateral(8),
    "lines through each position's ab": lines,
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
        np.unravel_index(rng.choice(pixels, min(len(pixels), SAMPLE), False), l.shape)
        for pixels in (near, np.arange(l.size))
    ]
    for what, function in decide.items():
        ab = function(colours, small)
        for name, way in WAYS.items():
            full = way(ab, small, l)
            yield what, name, sum((score(rgb[at], colours[at], full[at]) for at in chosen), ())


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
        model = h5.without_upsampling(h5.load(h5.named(args.model)))
        decide = {args.model: lambda _, small: predict(model, {"l": small[None, ..., None]})[0]}
    scores: dict[tuple, list] = {}
    for path in cli.progress(paths, desc="measuring", unit="photo"):
        for what, name, figures in measure(path, decide):
            scores.setdefault((what, name), []).append(figures)
    print(f"{len(paths)} photos | near edges: PSNR, CIEDE2000 | all: PSNR, CIEDE2000 | better on")
    print("|---|--:|--:|--:|--:|--:|")
    for (what, name), figures in scores.items():
        better = np.array(figures)[:, 1] < np.array(scores[what, "bilinear"])[:, 1]
        means = " | ".join(f"{mean:.2f}" for mean in np.mean(figures, axis=0))
        print(f"| {what}: {name} | {means} | {better.sum()} |")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
