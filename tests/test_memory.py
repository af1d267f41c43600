"""Memory stays flat: what the report failed on."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from common import datasets
from tests import drawn

ROOT = Path(__file__).parent.parent
PREPARE = (
    """
import sys
from pathlib import Path
from common import datasets
dataset = datasets.prepare(sys.argv[1], 16, "squash", folder=Path(sys.argv[2]))
for batch in dataset.batches("train", 64):
    pass
for start in range(0, dataset.count("train") - 64, 64):
    dataset.read("train", range(start, start + 64))
print(dataset.count("train"))
"""
    + drawn.PRINT_PEAK
)


EVALUATE = (
    """
import sys
from common import datasets
from common.evaluation import evaluate
report = evaluate.evaluate([], datasets.Dataset(sys.argv[1]), out=None)
print(report.grey.figures["mse_ab"].n)
"""
    + drawn.PRINT_PEAK
)


def _photos(folder, count, size, split=""):
    """Write `count` pictures into folders of a thousand, every file another one."""
    for seed in range(count):
        path = folder / split / f"{seed // 1000:03d}" / f"{seed:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        tile = drawn.picture(seed % 50, size)
        tile[0, 0] = seed % 256, seed // 256 % 256, len(split)
        cv2.imwrite(str(path), tile)
    return folder


def _run(code, *arguments):
    """The two numbers that the code prints last: pictures, and the peak in KiB."""
    out = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    ).stdout
    return tuple(map(int, out.split()[-2:]))


def _measured_peak(tmp_path, count):
    photos = _photos(tmp_path / f"photos{count}", count, 48, "test")
    _photos(photos, 20, 48, "train")
    shards = tmp_path / f"shards{count}"
    datasets.prepare(photos, 48, "squash", split_by="folder", folder=shards)
    return _run(EVALUATE, shards)


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


@pytest.mark.slow
@linux
def test_ten_times_the_pictures_take_a_few_megabytes_more(tmp_path):
    pytest.importorskip("jax")
    few, small = _run(PREPARE, _photos(tmp_path / "few", 1_000, 16), tmp_path / "a")
    many, large = _run(PREPARE, _photos(tmp_path / "many", 10_000, 16), tmp_path / "b")
    assert many > 9 * few
    # The list of names and hashes: under a kilobyte and a half a picture, pictures themselves none.
    assert (large - small) * 1024 < 1500 * (many - few), (small, large)


@pytest.mark.slow
@linux
def test_an_evaluation_keeps_its_numbers_and_no_picture(tmp_path):
    pytest.importorskip("jax")
    (few, small), (many, large) = (_measured_peak(tmp_path, count) for count in (1_000, 4_000))
    assert (few, many) == (1_000, 4_000)
    # A byte for each of 2,000 resamples and some thirty numbers; a picture has 6.8 KB, its Lab 27.
    assert (large - small) * 1024 < 6000 * (many - few), (small, large)
