"""The second backend: prepares, trains, exports and colours where TensorFlow cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.networks import h5
from tests import drawn

ROOT = Path(__file__).parent.parent
WITHOUT = """
import sys


class Without:  # as on a machine that has no TensorFlow
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Without())
"""
CODE = (
    WITHOUT
    + """
import numpy as np
from common import cli, colorize
from common import training
from tests import drawn, tiny
from tests.training import mapped
flags = ["--data", "photos", "--config", "fused", "--embedding-weights", "random", "--run", "r"]
assert cli.run(tiny.main, [*flags, "--epochs", "1"]) == 0
training.batches.accelerated = lambda: True  # as on a GPU: pictures are prepared in the step
assert cli.run(tiny.main, [*flags, "--epochs", "2"]) == 0  # goes on from the checkpoint
coloured = colorize.Colorizer("models/tiny-fused.h5")(drawn.picture(1, 50, 70))
np.save("coloured.npy", coloured)
run = training.train(mapped.REPORT, "flips", "photos", epochs=1, precision="float32")
assert len(list(run.dataset.folder.glob("*.maps-*.npy"))) == 4 and run.metrics["psnr_rgb"]
assert "tensorflow" not in sys.modules
"""
)


def test_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    drawn.folder(tmp_path / "photos", 30, 40)
    process = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
    )
    assert process.returncode == 0, process.stderr
    assert "goes on after 1 epochs" in process.stdout
    coloured = np.load(tmp_path / "coloured.npy")
    assert coloured.shape == (50, 70, 3) and coloured.dtype == np.uint8

    # The model is the same on this backend.
    path = tmp_path / "models" / "tiny-fused.h5"
    assert "jax" in h5.metadata(path)["versions"]
    from common import colorize

    ours = colorize.Colorizer(path)(drawn.picture(1, 50, 70))
    difference = np.abs(ours.astype(int) - coloured)
    assert difference.max() <= 2  # float32 on two backends, then rounding to 8 bit


FEUP = (
    WITHOUT
    + """
from common import cli
from feup import train
from feup.experiments import pretext
flags = ["--data", "photos", "--split-by", "folder", "--resnet18-weights", "random"]
for config in ("resnet18_mobilenet_v2", "eccv16_rebalanced"):
    assert cli.run(train.main, [*flags, "--config", config, "--epochs", "1", "--steps", "2",
                                "--batch", "2", "--mobilenet-v2-weights", "random"]) == 0
assert cli.run(pretext.main, [*flags, "--colorizer-epochs", "1", "--epochs", "1", "--labels",
                              "100", "--seeds", "1", "--batch", "8"]) == 0
"""
)


@pytest.mark.slow
def test_the_losses_and_the_pretext_task_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    for split, count in (("train", 40), ("test", 8)):
        for label in ("one", "two"):
            drawn.folder(tmp_path / "photos" / split / label, count // 2, 32)
    process = subprocess.run(
        [sys.executable, "-c", FEUP],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
    )
    assert process.returncode == 0, process.stderr
    metadata = h5.metadata(tmp_path / "models" / "feup-resnet18_mobilenet_v2.h5")
    assert "jax" in metadata["versions"] and np.isfinite(metadata["test_loss"])
    assert len(list(tmp_path.glob("reports/pretext/*/results.json"))) == 1
