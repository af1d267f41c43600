"""What REFINE= is worth on photos at full size: `python -m benchmarks.refine [FOLDER] [--vivid 0]`.

Each photo's L* is coloured in every way, as by `make colorize`, and the result compared with the
photo: on all pixels and on those near strong edges, as benchmarks/edges.py has them. Seconds are of
one array to another, the ways one after the other in turn, photo by photo. docs: docs/refine.md.
"""

import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.edges import SAMPLE, near_edges
from common import cli, metrics, photos
from common.cli import UserError
from common.color import lab
from common.colorize import Colorizer, refine
from common.datasets import samples


def measure(path: Path, colorizers: dict[str, Colorizer]) -> dict[str, list[float]]:
    """{way: [PSNR and CIEDE2000 near edges, the same of all pixels, seconds]} of a photo."""
    with photos.read(path) as photo:
        rgb = photos.opaque(next(iter(photo.pages())).pixels)
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=2)
    colours = lab.rgb_to_lab(rgb)
    grey = np.rint(255 * lab.l_to_grey(colours[..., 0])).astype(np.uint8)
    rng = np.random.default_rng(0)
    near = np.flatnonzero(near_edges(colours))
    chosen = [
        rng.choice(pixels, min(len(pixels), SAMPLE), False)
        for pixels in (near, np.arange(grey.size))
    ]
    found = {}
    for way, colorizer in colorizers.items():
        begin = time.perf_counter()
        result = colorizer(grey)
        seconds = time.perf_counter() - begin
        figures: list[float] = []
        for pixels in chosen:
            true, ours = (each.reshape(-1, 3)[pixels][None] for each in (rgb, result))
            figures.append(float(metrics.psnr_rgb(true, ours)))
            figures.append(float(metrics.ciede2000(lab.rgb_to_lab(true), lab.rgb_to_lab(ours))))
        found[way] = [*figures, seconds]
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table: means over the photos, and how often CIEDE2000 near edges beats guided."""
    parser = cli.Parser("benchmarks.refine", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="by default the sample photos")
    parser.add_argument("--model", help="an .h5 or a name; the shipped one if not given")
    parser.add_argument("--vivid", type=float)
    parser.add_argument("--every", type=cli.at_least(1), default=1)
    args = parser.parse_args(argv)
    if args.folder:
        paths = [path for path in sorted(photos.find(args.folder)) if photos.is_picture(path)]
    else:
        paths = [samples.find(name) for names, _ in samples.PHOTOS.values() for name in names]
    paths = paths[:: args.every]
    if not paths:
        raise UserError(f"There is no photo below {args.folder}.")
    colorizers = {way: Colorizer(args.model, vivid=args.vivid, refine=way) for way in refine.WAYS}
    for colorizer in colorizers.values():
        colorizer(np.zeros((64, 64), np.uint8))  # what is compiled is compiled before
    found = [measure(path, colorizers) for path in cli.progress(paths, desc="ways", unit="photo")]
    print(f"| {len(paths)} photos | near edges: PSNR, CIEDE2000 | | all | | better | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    guided = np.array([each[refine.DEFAULT] for each in found])
    for way in refine.WAYS:
        figures = np.array([each[way] for each in found])
        means = " | ".join(f"{mean:.2f}" for mean in figures[:, :4].mean(0))
        better = (figures[:, 1] < guided[:, 1]).sum()
        print(f"| {way} | {means} | {better} | {figures[:, 4].mean():.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
