"""The second backend: prepares, trains, exports and colours where TensorFlow cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import models
from tests import drawn

ROOT = Path(__file__).parent.parent
CODE = """
import sys


class Without:  # as on a machine that has no TensorFlow
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Without())
import numpy as np
from common import cli, colorize
from tests import drawn, tiny
flags = ["--data", "photos", "--config", "fused", "--embedding-weights", "random", "--run", "r"]
assert cli.run(tiny.main, [*flags, "--epochs", "1"]) == 0
assert cli.run(tiny.main, [*flags, "--epochs", "2"]) == 0  # goes on from the checkpoint
coloured = colorize.Colorizer("models/tiny-fused.h5")(drawn.picture(1, 50, 70))
np.save("coloured.npy", coloured)
assert "tensorflow" not in sys.modules
"""


def test_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    drawn.folder(tmp_path / "photos", 30, 40)
    process = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"})
    assert process.returncode == 0, process.stderr
    assert "goes on after 1 epochs" in process.stdout
    coloured = np.load(tmp_path / "coloured.npy")
    assert coloured.shape == (50, 70, 3) and coloured.dtype == np.uint8

    # The model is the same on this backend.
    path = tmp_path / "models" / "tiny-fused.h5"
    assert "jax" in models.metadata(path)["versions"]
    from common import colorize

    ours = colorize.Colorizer(path)(drawn.picture(1, 50, 70))
    difference = np.abs(ours.astype(int) - coloured)
    assert difference.max() <= 2  # float32 on two backends, then rounding to 8 bit
