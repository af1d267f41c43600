"""One photo and a folder of photos by `make colorize`, from the command's start, by part."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import skimage.data

from benchmarks.bench.turns import Effort, Row
from common.exports import extras

SIZE = (1224, 816)  # width and height of a photo of one megapixel
PHOTOS = 40  # in the folder

# What the command does to one photo, one after the other, with the time of each part.
PARTS = """
import json, sys, time
began = float(sys.argv[1])
times = {"Python": time.time() - began}
def done(part, since=[time.perf_counter()]):
    now = time.perf_counter()
    times[part], since[0] = now - since[0], now
from common import photos
from common.colorize.settings import Settings
done("imports")
colorizer = Settings(runtime=sys.argv[3]).colorizer()
done("runtime and model")
pixels = photos.Photo(open(sys.argv[2], "rb"), photos.MAX_MEGAPIXELS).page(0).pixels
done("reading")
colour = colorizer(pixels)
done("network and Lab, first time")
colorizer(pixels)
done("network and Lab")
photos.png(colour)
done("coding a PNG")
print(json.dumps(times))
"""


def one_photo(effort: Effort, folder: Path) -> Iterator[Row]:
    """Seconds of the whole command for one photo, by runtime; `facts`: seconds of each part."""
    photo = _photo(folder)
    by = runtimes()
    seconds: dict[str, list[float]] = {runtime: [] for runtime in by}
    for runtime in by:
        _command(photo, folder, runtime)  # writes the .onnx, fills the disk's cache
    for turn in range(effort.turns):
        for runtime in by[:: -1 if turn % 2 else 1]:
            seconds[runtime].append(_command(photo, folder, runtime))
    facts = {f"{runtime}: {part}": s for runtime in by for part, s in _parts(photo, runtime)}
    yield Row("one photo of a megapixel, the command", seconds, "s", "less than 10 s", facts)


def folder_of_photos(effort: Effort, folder: Path) -> Iterator[Row]:
    """Photos a second of the whole command for a folder, by runtime."""
    source = folder / "photos"
    source.mkdir()
    data = _photo(folder).read_bytes()
    for number in range(PHOTOS):
        (source / f"{number}.jpg").write_bytes(data)
    by = runtimes()
    rates: dict[str, list[float]] = {runtime: [] for runtime in by}
    for turn in range(min(effort.turns, 3)):  # half a minute each
        for runtime in by[:: -1 if turn % 2 else 1]:
            rates[runtime].append(PHOTOS / _command(source, folder, runtime))
    title = f"a folder of {PHOTOS} photos of a megapixel, the command"
    yield Row(title, rates, "photos/s", "at least 4")


def runtimes() -> list[str]:
    """["onnx", "keras"], or Keras alone where ONNX Runtime is not installed."""
    return ["onnx", "keras"] if extras.has("onnx", "onnxruntime") else ["keras"]


def _photo(folder):
    path = folder / "photo.jpg"
    photo = cv2.resize(skimage.data.coffee(), SIZE, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), photo[..., ::-1])
    return path


def _command(source, folder, runtime):
    """Seconds that the command takes, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = [f"--in={source}", f"--out={out}", f"--runtime={runtime}"]
        began = time.perf_counter()
        _run("-m", "common.commands", "colorize", *words)
        return time.perf_counter() - began


def _parts(photo, runtime):
    """(part, seconds) of one run of `PARTS`."""
    return json.loads(_run("-c", PARTS, str(time.time()), str(photo), runtime)).items()


def _run(*words):
    """Run Python and return what it prints, from its last line on."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{' '.join(words[:3])} failed: {run.stderr.strip()[-500:]}")
    return run.stdout.strip().splitlines()[-1] if run.stdout.strip() else ""
