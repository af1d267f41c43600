"""Memory stays flat: what the report failed on."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests import drawn

ROOT = Path(__file__).parent.parent
CODE = """
import sys
from pathlib import Path
from common import prepare
dataset = prepare.prepare(sys.argv[1], 16, "squash", folder=Path(sys.argv[2]))
for batch in dataset.batches("train", 64):
    pass
for start in range(0, dataset.count("train") - 64, 64):
    dataset.read("train", range(start, start + 64))
print(dataset.count("train"))
""" + drawn.PRINT_PEAK


def _peak(tmp_path, count):
    """(training pictures, peak KiB) of preparing and reading `count` pictures of 16 x 16."""
    source = tmp_path / f"photos{count}"
    for seed in range(count):
        folder = source / f"{seed // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        tile = drawn.picture(seed % 50, 16)
        tile[0, 0] = seed % 256, seed // 256 % 256, seed // 65536  # every file differs
        cv2.imwrite(str(folder / f"{seed:06d}.png"), tile)
    out = subprocess.run(
        [sys.executable, "-c", CODE, str(source), str(tmp_path / f"shards{count}")], cwd=ROOT,
        check=True, capture_output=True, text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"}).stdout
    return tuple(map(int, out.split()[-2:]))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_twenty_times_the_pictures_take_a_few_megabytes_more(tmp_path):
    pytest.importorskip("jax")
    few, small = _peak(tmp_path, 1_000)
    many, large = _peak(tmp_path, 20_000)
    assert many > 19 * few
    # The list of names and hashes: under a kilobyte and a half a picture, pictures themselves none.
    assert (large - small) * 1024 < 1500 * (many - few), (small, large)
