"""What CLEAN=1 and BORDER=keep are worth: `python -m benchmarks.old_photos PHOTOS [--every 20]`.

PHOTOS is a folder of colour photos, of whose sorted list every 20th is taken, from the one of
index `--first` on. Of each a grey print is drawn: tinted, toned, faded, stained, or on paper. The
print is coloured as it is and with the option, and compared with the true photo: the mean error of
its L*, and the PSNR of RGB in dB within the picture. docs: docs/old-photos.md.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import cli, metrics, photos
from common.cli import UserError
from common.color import lab
from common.colorize import Colorizer
from common.photos import PhotoError

SIDE = 256
ENLARGED = 3  # a print with paper around it, as a scan has it

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


# --- prints: L* (S, S) float32 -> (S, S, 3) uint8, with a little noise of the scan ----------------


def plain(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey photo, saved in colour."""
    return _scan(_grey(l), rng)


def warm(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Yellowed paper: linear light times a colour."""
    paper = np.array([1, rng.uniform(0.82, 0.95), rng.uniform(0.5, 0.8)]) * rng.uniform(0.85, 1)
    return _scan(lab.linear_to_srgb(lab.srgb_to_linear(_grey(l)) * paper), rng)


def cool(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same, bluish: a cyanotype, or a lamp."""
    paper = np.array([rng.uniform(0.6, 0.85), rng.uniform(0.75, 0.95), 1]) * rng.uniform(0.85, 1)
    return _scan(lab.linear_to_srgb(lab.srgb_to_linear(_grey(l)) * paper), rng)


def sepia(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The filter of picture editors, which clips red and green."""
    return _scan(_grey(l) * np.array([1.351, 1.203, 0.937]), rng)


def toned(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Toned in the midtones at the same L*, on white paper."""
    tone = np.array([rng.uniform(2, 10), rng.uniform(8, 28)])
    weight = (1 - (l / 50 - 1) ** 2)[..., None]
    colours = np.concatenate([l[..., None], weight * tone], axis=2).astype(np.float32)
    return _scan(lab.lab_to_rgb(lab.into_gamut(colours)), rng)


def faded(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brown where it was black, cream where it was white."""
    black = rng.uniform(0.2, 0.4) * np.array([1, 0.85, 0.7])
    white = np.array([0.97, rng.uniform(0.86, 0.94), rng.uniform(0.65, 0.82)])
    return _scan(black + (white - black) * _grey(l), rng)


def stained(l: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Yellowed, with four brown stains of soft edges."""
    y, x = np.mgrid[: l.shape[0], : l.shape[1]]
    stain = np.zeros(l.shape)
    for _ in range(4):
        row, column, radius = rng.uniform(0, 1, 3) * (*l.shape, 0.17) + (0, 0, 0.08)
        distance = np.hypot(y - row, x - column) / (radius * max(l.shape))
        stain = np.maximum(stain, rng.uniform(0.4, 1) * np.clip((1.15 - distance) / 0.3, 0, 1))
    absorbed = np.array([0.12, 0.3, 0.5]) * rng.uniform(0.5, 1)
    light = lab.srgb_to_linear(_grey(l)) * np.array([0.95, 0.9, 0.75])
    return _scan(lab.linear_to_srgb(light * (1 - stain[..., None] * absorbed)), rng)


PRINTS: dict[str, Draw] = {
    "grey": plain,
    "warm paper": warm,
    "cool": cool,
    "sepia filter": sepia,
    "toned": toned,
    "faded": faded,
    "stained": stained,
}
PAPERS = {"white paper": (250, 249, 246), "cream paper": (238, 226, 200), "black": (18, 17, 17)}


def on_paper(
    l: np.ndarray, paper: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, photos.border.Border]:
    """L* -> a scan of the print on paper, half of them up to 0.6 degrees askew, and its border."""
    grey = cv2.resize(_grey(l), None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    height, width = grey.shape[:2]
    border = photos.border.Border(*(int(d) for d in rng.uniform(0.02, 0.12, 4) * max(grey.shape)))
    full = height + border.top + border.bottom, width + border.left + border.right
    scan = np.empty((*full, 3), np.float32)
    scan[:] = paper
    border.inside(scan)[:] = 255 * grey[..., None] * (np.array(paper) / 255 if paper[0] > 99 else 1)
    if rng.random() < 0.5:
        matrix = cv2.getRotationMatrix2D((full[1] / 2, full[0] / 2), rng.uniform(-0.6, 0.6), 1)
        scan = cv2.warpAffine(scan, matrix, full[::-1], borderValue=paper)
    return _scan(scan / 255, rng), border


def _grey(l):
    return lab.l_to_grey(l)[..., None]


def _scan(rgb, rng):
    rgb = np.broadcast_to(rgb, (*rgb.shape[:2], 3))
    return np.clip(np.rint(255 * rgb + rng.normal(0, 1, rgb.shape)), 0, 255).astype(np.uint8)


# --- measuring ------------------------------------------------------------------------------------


def cleaned(truth: list[np.ndarray], colorizers: tuple[Colorizer, Colorizer], draw: Draw) -> str:
    """A row of the table: as it is, with CLEAN=1, and how many were refused."""
    found, refused = [], 0
    for number, rgb in enumerate(cli.progress(truth, desc=draw.__name__, unit="photo")):
        l = lab.rgb_to_l(rgb)
        scan = draw(l, np.random.default_rng(number))
        try:
            results = [colorizer(scan) for colorizer in colorizers]
        except PhotoError:
            refused += 1
            continue
        found.append([(_error(result, l), _psnr(rgb, result)) for result in results])
    (error, psnr), (clean_error, clean_psnr) = np.mean(found, axis=0)
    better = sum(clean[1] > plain[1] for plain, clean in found)
    return (
        f"{error:.1f} | {clean_error:.1f} | {psnr:.2f} | {clean_psnr:.2f} | "
        f"{better} of {len(found)} | {refused}"
    )


def bordered(truth: list[np.ndarray], colorizers: tuple[Colorizer, Colorizer], paper: str) -> str:
    """A row of the table: PSNR within the picture as it is and with BORDER=keep; borders found."""
    found, sides, off = [], 0, []
    for number, rgb in enumerate(cli.progress(truth, desc=paper, unit="photo")):
        scan, border = on_paper(lab.rgb_to_l(rgb), PAPERS[paper], np.random.default_rng(number))
        seen = photos.border.find(scan)
        if seen is not None and min(depths := (seen.top, seen.right, seen.bottom, seen.left)) > 0:
            sides += 1
            true = (border.top, border.right, border.bottom, border.left)
            off.append(np.abs(np.subtract(depths, true)).max())
        results = []
        for colorizer in colorizers:
            inside = border.inside(colorizer(scan))
            ab = lab.rgb_to_lab(cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            result = metrics.recolour(lab.rgb_to_l(rgb)[None], ab[None, ..., 1:])
            results.append(float(metrics.psnr_rgb(rgb[None], result)[0]))
        found.append(results)
    plain, kept = np.mean(found, axis=0)
    better = sum(kept > plain for plain, kept in found)
    return (
        f"{plain:.2f} | {kept:.2f} | {better} of {len(found)} | {sides} | "
        f"{np.median(off):.0f}, {np.quantile(off, 0.95):.0f}"
    )


def _error(result, l):
    return float(np.abs(lab.rgb_to_l(result) - l).mean())


def _psnr(rgb, result):
    return float(metrics.psnr_rgb(rgb[None], result[None])[0])


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = cli.Parser("benchmarks.old_photos", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", help="an .h5 or a name; the shipped one if not given")
    parser.add_argument("--every", type=cli.at_least(1), default=1)
    parser.add_argument("--first", type=cli.at_least(0), default=0, help="of the sorted list")
    args = parser.parse_args(argv)
    paths = sorted(photos.find(args.photos))[args.first :: args.every]
    if not paths:
        raise UserError(f"There are no photos in {args.photos}.")
    truth = [photos.decode(path.read_bytes(), SIDE, "squash") for path in paths]
    plain = Colorizer(args.model)
    clean, keep = Colorizer(args.model, clean=True), Colorizer(args.model, border="keep")
    print(f"{len(truth)} photos\n")
    print("| print | error of L\\* | CLEAN=1 | PSNR | CLEAN=1 | better on | refused |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, draw in PRINTS.items():
        print(f"| {name} | {cleaned(truth, (plain, clean), draw)} |", flush=True)
    colours = sum(_is_taken(rgb) for rgb in truth)
    print(f"\nphotos in colour that CLEAN=1 takes for prints: {colours} of {len(truth)}\n")
    print("| on | PSNR | BORDER=keep | better on | all four sides found | pixels off, 95 % |")
    print("|---|--:|--:|--:|--:|--:|")
    for paper in PAPERS:
        print(f"| {paper} | {bordered(truth, (plain, keep), paper)} |", flush=True)
    borders = sum(photos.border.find(rgb) is not None for rgb in truth)
    print(f"\nphotos in which a border is found: {borders} of {len(truth)}")
    return 0


def _is_taken(rgb):
    """Whether CLEAN=1 would take off a tint."""
    try:
        return photos.cleaning.find(rgb) is not None
    except PhotoError:
        return False


if __name__ == "__main__":
    sys.exit(cli.run(main))
