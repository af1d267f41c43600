"""What writing a coloured photo costs of its lightness, L*, and of space, by format and options.

    python -m benchmarks.lightness PHOTOS [--every 20]

PHOTOS is a folder of colour photos. Each is made grey, given its own colours back as a model's ab
would be, and written: a lossless format rounds to 8 bits, JPEG does more. The table has the share
of pixels whose L* is then within 0.5 of the grey photo's, the error of the worst in 1,000 pixels,
the largest, and the size relative to that of the first row. `cjpeg` (Debian: libjpeg-turbo-progs),
where it is installed, writes with the other discrete cosine transforms.
"""

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from imagecodecs import jpeg8_encode
from PIL import Image

from common import photos
from common.color import lab

_SAMPLINGS = {"4:4:4": (0x111111, "1x1"), "4:2:0": (0x221111, "2x2")}
_BINS = np.linspace(0, 100, 100_001)  # of an error of L*


def coloured(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 -> its grey picture's L*, and that L* with the photo's own ab, uint8."""
    colours = lab.rgb_to_lab(rgb)
    grey = np.round(255 * lab.l_to_grey(colours[..., 0])).astype(np.uint8)
    lightness = lab.grey_to_l(grey)
    colours[..., 0] = lightness
    result = np.round(255 * lab.lab_to_rgb(lab.into_gamut(colours))).astype(np.uint8)
    return lightness, result


def _opencv(quality, sampling):
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLINGS[sampling][0]]

    def encode(rgb):
        return cv2.imencode(".jpg", rgb[..., ::-1], options)[1].tobytes()

    return encode


def _rgb(quality):
    """Without YCbCr, whose rounding costs most at high qualities."""

    def encode(rgb):
        return jpeg8_encode(rgb, quality, colorspace="rgb", outcolorspace="rgb", optimize=True)

    return encode


def _webp(quality, lossless=False):
    """Where it is lossy, with 4:2:0 alone."""

    def encode(rgb):
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "WEBP", quality=quality, lossless=lossless)
        return file.getvalue()

    return encode


def _cjpeg(quality, sampling, transform):
    options = ["-quality", str(quality), "-sample", _SAMPLINGS[sampling][1], "-optimize"]

    def encode(rgb):
        header = b"P6 %d %d 255\n" % rgb.shape[1::-1]
        command = ["cjpeg", *options, "-dct", transform]
        return subprocess.run(
            command, input=header + rgb.tobytes(), capture_output=True, check=True
        ).stdout

    return encode


def writers() -> dict[str, Callable[[np.ndarray], bytes]]:
    """{name: encoder of (H, W, 3) uint8}; sizes are relative to those of the first."""
    found: dict[str, Callable[[np.ndarray], bytes]] = {
        f"JPEG {quality}, {sampling}": _opencv(quality, sampling)
        for sampling, qualities in (("4:4:4", (95, 96, 97, 98, 99, 100)), ("4:2:0", (95, 98, 100)))
        for quality in qualities
    }
    found.update({f"JPEG {quality}, RGB": _rgb(quality) for quality in (97, 98, 99, 100)})
    if shutil.which("cjpeg"):
        for transform in ("int", "float", "fast"):
            found[f"JPEG 100, 4:4:4, {transform}"] = _cjpeg(100, "4:4:4", transform)
    found.update({f"WebP {quality}": _webp(quality) for quality in (95, 100)})
    return {**found, "WebP, lossless": _webp(80, lossless=True), "PNG": photos.png}


def measure(paths: list[Path]) -> Iterator[tuple[str, float, float, float, int]]:
    """(name, share within 0.5, the error of the worst in 1,000 pixels, the largest, bytes)."""
    encoders = writers()
    counts = {name: np.zeros(len(_BINS) + 1, np.int64) for name in encoders}
    most, sizes = dict.fromkeys(encoders, 0.0), dict.fromkeys(encoders, 0)
    for path in paths:
        lightness, rgb = coloured(np.asarray(Image.open(path).convert("RGB")))
        for name, encode in encoders.items():
            data = encode(rgb)
            decoded = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            error = np.abs(lab.rgb_to_l(decoded) - lightness).ravel()
            counts[name] += np.bincount(np.digitize(error, _BINS), minlength=len(_BINS) + 1)
            most[name] = max(most[name], float(error.max()))
            sizes[name] += len(data)
    for name, histogram in counts.items():
        shares = np.cumsum(histogram) / histogram.sum()
        within = float(shares[np.searchsorted(_BINS, 0.5)])
        yield name, within, float(_BINS[np.searchsorted(shares, 0.999)]), most[name], sizes[name]


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lightness", description=__doc__)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of colour photos")
    parser.add_argument("--every", type=int, default=20, help="every so many of the sorted files")
    args = parser.parse_args(argv)
    paths = [path for path in photos.find(args.photos) if photos.is_picture(path)][:: args.every]
    rows = list(measure(paths))
    print(f"{len(paths)} photos\n\n| | L* within 0.5 | worst in 1,000 | largest | size |")
    print("|---|--:|--:|--:|--:|")
    for name, within, thousandth, largest, size in rows:
        share = size / rows[0][4]
        print(f"| {name} | {within:.2%} | {thousandth:.2f} | {largest:.2f} | {share:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
