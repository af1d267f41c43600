"""Installed by pip, the command works in any folder, with nothing of the repository importable."""

import os
import shutil
import subprocess
import sys
import tarfile
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
def source(tmp_path_factory):
    """A copy of the project, since a build leaves folders beside the code."""
    source = tmp_path_factory.mktemp("copied") / "source"
    ignored = shutil.ignore_patterns("__pycache__", "raw", "tfrecords")
    for path in (*ROOT.glob("*/__init__.py"), ROOT / "data" / "sources.toml"):
        shutil.copytree(path.parent, source / path.parent.name, symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / "models" / "shipped", source / "models" / "shipped")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    return source


@pytest.fixture(scope="module")
def site(source, tmp_path_factory):
    """A folder with the wheel unpacked by pip; what it needs is this interpreter's."""
    folder = tmp_path_factory.mktemp("installed")
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

    # The shipped models are in the package, and colour where no model is named.
    shipped = site / "common" / "networks" / "shipped"
    for path in (ROOT / "models" / "shipped").rglob("*.*"):
        assert (shipped / path.relative_to(ROOT / "models" / "shipped")).is_file(), path
    for model in ("wombat", "koala"):
        words = ("--in=old.png", f"--out={model}", *(["--model=koala"] * (model == "koala")))
        assert f"{model}.h5" in colorization("colorize", *words)
        assert cv2.imread(str(tmp_path / model / "old.png")).shape == (40, 60, 3)

    # A report's training as its README has it, with pictures prepared by the command above.
    flags = "--size=32 --epochs=1 --steps=1 --batch=2 --embedding=mobilenet_v2"
    train = (sys.executable, "-m", "koala.train", *flags.split(), "--embedding-weights=random")
    run(*train, cwd=tmp_path, PYTHONPATH=str(site))
    assert (tmp_path / "models" / "koala.h5").is_file()


@pytest.mark.slow
def test_an_archive_of_the_source_holds_what_a_build_of_it_reads(source, tmp_path):
    build = "import sys; from setuptools import build_meta as b; b.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        files = {name.partition("/")[2] for name in file.getnames() if file.getmember(name).isreg()}
    assert files >= {path.name for path in ROOT.glob("requirements*.txt")}
    assert "common/datasets/sources.toml" in files  # and not as a link to what is left out
    assert "common/networks/shipped/README.md" in files
