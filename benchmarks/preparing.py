"""What preparing a data set costs a picture: lossless codings of records, threads and processes.

    python -m benchmarks.preparing PHOTOS [--pictures 24] [--size 256] [--megapixels 0.2 1 12]

PHOTOS is a folder of colour photos. The first table has the bytes of each coding at `size`, and the
processor's time of one thread to encode and to decode; the second the rate of `make data`'s work on
a photo (read, hash, decode, area averaging, Lab, coding) by one thread, by as many threads as there
are cores and by as many processes, in turns, and the ratio of the last two, turn by turn: what
processes would gain. They are not charged with sending their records back. The same photos,
enlarged to JPEGs of so many megapixels, stand in for those of a camera.
"""

import argparse
import concurrent.futures
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from common import cli, files, photos
from common.datasets import index
from common.datasets.build import ShardWriter

ROUNDS, TURNS = 5, 15  # of a coding; of threads and processes


def _opencv(*options):
    def encode(rgb):
        return cv2.imencode(".png", rgb[..., ::-1], options)[1].tobytes()

    return encode


def _decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def codings() -> dict[str, tuple[Callable, Callable]]:
    """{name: (encode, decode)}, each by one thread."""
    level, strategy = cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_PNG_STRATEGY
    png = {
        "PNG, as stored": photos.png,
        **{f"PNG, zlib {n}": _opencv(level, n) for n in (1, 3, 6, 9)},
        "PNG, zlib 1, RLE": _opencv(level, 1, strategy, cv2.IMWRITE_PNG_STRATEGY_RLE),
    }
    webp = functools.partial(imagecodecs.webp_encode, lossless=True, numthreads=1)
    jxl = functools.partial(imagecodecs.jpegxl_encode, lossless=True, numthreads=1)
    return {
        **{name: (encode, _decoded) for name, encode in png.items()},
        "WebP, lossless, method 0": (functools.partial(webp, method=0), imagecodecs.webp_decode),
        "WebP, lossless, method 4": (functools.partial(webp, method=4), imagecodecs.webp_decode),
        "JPEG XL, effort 1": (functools.partial(jxl, effort=1), imagecodecs.jpegxl_decode),
        "JPEG XL, effort 3": (functools.partial(jxl, effort=3), imagecodecs.jpegxl_decode),
        "QOI": (imagecodecs.qoi_encode, imagecodecs.qoi_decode),
        "zstd of the pixels": (
            lambda rgb: imagecodecs.zstd_encode(rgb.tobytes(), level=3),
            lambda data: np.frombuffer(imagecodecs.zstd_decode(data), np.uint8),
        ),
    }


def coded(pictures: list[np.ndarray]) -> Iterator[tuple[str, float, float, float]]:
    """Yield (coding, bytes, ms to encode, ms to decode) a picture; the fastest of `ROUNDS`."""

    def took(function, values):
        start = time.process_time()
        results = [function(value) for value in values]
        return 1000 * (time.process_time() - start) / len(values), results

    cv2.setNumThreads(1)
    for name, (encode, decode) in codings().items():
        encoding, decoding = [], []
        for _ in range(ROUNDS):
            spent, data = took(encode, pictures)
            encoding.append(spent)
            spent, again = took(decode, data)
            decoding.append(spent)
        assert all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(pictures, again))  # noqa: B905
        yield name, statistics.fmean(map(len, data)), min(encoding), min(decoding)


def _photos_of(pictures, megapixels, folder):
    """Rows of a `ShardWriter` for JPEGs of so many megapixels in a folder."""
    for number, rgb in enumerate(pictures):
        side = round((megapixels * 1e6) ** 0.5)
        large = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{megapixels:g}-{number}.jpg"
        cv2.imwrite(str(path), large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        yield index.Row(path.name, path.stat().st_size, files.sha256(path), -1)


def _converted(writer, rows):
    return len(list(writer.converting(1)(rows)))


def scaled(writer: ShardWriter, rows: list[index.Row], cores: int) -> dict[str, list[float]]:
    """Pictures a second of each turn by one thread, by `cores` threads and by `cores` processes."""
    shares = [rows[at::cores] for at in range(cores)]
    with concurrent.futures.ProcessPoolExecutor(cores) as pool:
        list(pool.map(_converted, [writer] * cores, shares))  # started, and what they import
        sides: dict[str, Callable[[], object]] = {
            "one": lambda: list(writer.converting(1)(rows)),
            "threads": lambda: list(writer.converting(cores)(rows)),
            "processes": lambda: list(pool.map(_converted, [writer] * cores, shares)),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(TURNS):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                start = time.perf_counter()
                sides[name]()
                rates[name].append(len(rows) / (time.perf_counter() - start))
    return rates


def _row(megapixels, rates):
    """A row of the second table: medians, and the ratio's lowest, quartiles and highest."""
    gains = np.divide(rates["processes"], rates["threads"])
    low, first, middle, third, high = np.quantile(gains, (0, 0.25, 0.5, 0.75, 1))
    medians = " | ".join(f"{statistics.median(each):.1f}/s" for each in rates.values())
    return (
        f"| {megapixels:g} MP | {medians} | {middle:.2f} ({first:.2f} to {third:.2f}; "
        f"{low:.2f} to {high:.2f}) |"
    )


def main(argv: list[str] | None = None) -> None:
    """Print both tables."""
    parser = cli.Parser("python -m benchmarks.preparing", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=cli.at_least(2), default=24)
    parser.add_argument("--size", type=cli.at_least(8), default=256)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[0.2, 1.0, 12.0])
    args: argparse.Namespace = parser.parse_args(argv)
    paths = [path for path in photos.find(args.photos) if photos.is_picture(path)]
    paths = paths[:: max(1, len(paths) // args.pictures)][: args.pictures]
    pictures = [photos.decode(path.read_bytes(), args.size, "squash") for path in paths]
    print("| coding | bytes | encode, ms | decode, ms |\n|---|--:|--:|--:|")
    for name, size, encode, decode in coded(pictures):
        print(f"| {name} | {size:,.0f} | {encode:.2f} | {decode:.2f} |", flush=True)
    cores = os.cpu_count() or 1
    if args.megapixels:
        print(
            f"\n| photos | one thread | {cores} threads | {cores} processes | "
            "processes over threads, median (quartiles; all) |\n|---|--:|--:|--:|---|"
        )
    for megapixels in args.megapixels:
        with tempfile.TemporaryDirectory() as folder:
            rows = list(_photos_of(pictures, megapixels, Path(folder)))
            writer = ShardWriter(Path(folder), Path(folder), args.size, "squash")
            print(_row(megapixels, scaled(writer, rows, cores)), flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
