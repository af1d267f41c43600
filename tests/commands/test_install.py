"""Installed by pip, the command works in any folder, with nothing of the repository importable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from common import datasets
from tests import drawn

ROOT = Path(__file__).resolve().parents[2]


def run(*words, cwd, **environment):
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        text=True,
        capture_output=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the wheel unpacked by pip; what it needs is this interpreter's."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a build leaves folders beside the code
    ignored = shutil.ignore_patterns("__pycache__", "raw", "tfrecords")
    for path in (*ROOT.glob("*/__init__.py"), ROOT / "data" / "sources.toml"):
        shutil.copytree(path.parent, source / path.parent.name, symlinks=True, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", ".", "--no-deps", "--no-index", "--no-build-isolation", cwd=source)
    (wheel,) = source.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel, cwd=folder)
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_prepares_data_and_colours_a_photo(site, tmp_path):
    def colorization(*words):
        command = site / "bin" / "colorization"
        return run(command, *words, cwd=tmp_path, PYTHONPATH=str(site))

    assert "train REPORT" in colorization("--help")
    assert "koala" in colorization("--help")
    # The samples are an entry of the catalogue, which is read from the package.
    colorization("data", "--size=8", "--embedding=none")
    dataset = datasets.Dataset(tmp_path / "data" / "tfrecords" / "samples-8-squash")
    assert dataset.count("train") == 320

    cv2.imwrite(str(tmp_path / "old.png"), drawn.picture(3, 40, 60)[..., 0])
    shutil.copy(ROOT / "tests" / "golden.h5", tmp_path)
    colorization("colorize", "--in=old.png", "--model=golden.h5")
    assert cv2.imread(str(tmp_path / "coloured" / "old.png")).shape == (40, 60, 3)
