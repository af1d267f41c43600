"""What a model makes of photos that have a fault of old ones: grain, blur, fading.

    python -m benchmarks.faults PHOTOS [--model wombat] [--vivid 0] [--every 20] [--first 1]

PHOTOS is a folder of colour photos, of whose sorted list every 20th is taken, from the one of index
1 on. The model sees the photo's L* with the fault, and its ab is put under the L* without it, at
the size that the model takes. The table has the PSNR on RGB, its difference from grey, and the
colourfulness as a share of the true photos'.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import cli, metrics, photos
from common.cli import UserError
from common.color import lab
from common.colorize import Colorizer

BATCH = 16

# L* (H, W) float32 and a generator -> L* with the fault.
FAULTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "none": lambda l, rng: l,
    "grain, 8 of 255": lambda l, rng: l + rng.normal(0, 8 / 2.55, l.shape).astype(np.float32),
    "blur, 1 pixel": lambda l, rng: cv2.GaussianBlur(l, (0, 0), 1.0),
    "half the contrast": lambda l, rng: 50 + (l - 50) / 2,
}


def figures(paths: list[Path], colorizer: Colorizer, fault: str) -> dict[str, np.ndarray]:
    """{"model", "grey", "true"}: (PSNR, colourfulness) of each photo, (N, 2)."""
    found: dict[str, list] = {"model": [], "grey": [], "true": []}
    for start in range(0, len(paths), BATCH):
        rgb = np.stack(
            [
                photos.decode(path.read_bytes(), colorizer.size, colorizer.cut)
                for path in paths[start : start + BATCH]
            ]
        )
        l = lab.rgb_to_l(rgb)
        seen = np.stack(
            [
                np.clip(FAULTS[fault](each, np.random.default_rng(start + i)), 0, 100)
                for i, each in enumerate(l)
            ]
        )
        ab = colorizer.predict_ab(seen[..., None])
        for name, colours in (
            ("model", metrics.recolour(l, ab)),
            ("grey", metrics.recolour(l, np.zeros_like(ab))),
            ("true", rgb),
        ):
            scores = metrics.psnr_rgb(rgb, colours), metrics.colourfulness(colours)
            found[name] += list(zip(*scores, strict=True))
    return {name: np.array(values) for name, values in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", help="an .h5 or a name; the shipped one if not given")
    parser.add_argument("--vivid", type=float)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="of the sorted list, from 0")
    args = parser.parse_args(argv)
    paths = sorted(photos.find(args.photos))[args.first :: args.every]
    if not paths:
        raise UserError(f"There are no photos in {args.photos}.")
    colorizer = Colorizer(args.model, vivid=args.vivid, batch=BATCH)
    print(f"{len(paths)} photos, {colorizer.size} x {colorizer.size}")
    for fault in FAULTS:
        found = {name: values.mean(0) for name, values in figures(paths, colorizer, fault).items()}
        (psnr, colour), (grey, _), (_, true) = (found[n] for n in ("model", "grey", "true"))
        print(
            f"{fault:20} {psnr:6.2f} dB, {psnr - grey:+.2f} from grey, colourfulness "
            f"{colour / true:.2f} of the true"
        )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
