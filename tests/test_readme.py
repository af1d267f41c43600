"""The documents' scripts run as printed, in another folder, with nothing of ours importable."""

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import koala
from common import colorize
from common.color import lab
from common.networks import embeddings, h5
from tests import drawn

README = Path(__file__).parent.parent / "README.md"
SCRIPTS = README.parent / "docs" / "models-in-scripts.md"


def test_every_config_has_a_row_of_what_was_run():
    """Of the packages that the README's table of reports names."""
    text = README.read_text(encoding="utf-8")
    rows = {line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")}
    for report in re.findall(r"\| \[(\w+)/\]\(\1/README.md\) \|", text):
        for name in importlib.import_module(report).CONFIGS:
            assert rows & {f"| {report} `{name}`", f"| {report} `{name}`, ours"}, (report, name)


@pytest.mark.parametrize(
    ("document", "model"),
    [(README, "wombat"), pytest.param(SCRIPTS, "koala", marks=pytest.mark.slow)],
)
def test_an_example_colours_a_grey_photo(tmp_path, document, model):
    """By the shipped model that it names, from the folder of a clone."""
    folder = tmp_path / "models" / "shipped"
    folder.parent.mkdir()
    folder.symlink_to(README.parent / "models" / "shipped")
    check_example(document, tmp_path, folder / f"{model}.h5")


@pytest.mark.slow
def test_the_example_takes_a_network_of_keras(tmp_path):
    config = koala.CONFIGS["lee2021"]
    folder = tmp_path / "models" / "shipped"
    embedder = embeddings.load("mobilenet_v2", "random")
    embedder.keep(folder)
    network = koala.build_model(config)
    # Untrained, its colours would be next to none: stretch them, but not beyond the gamut.
    last = network.get_layer("decoder_ab")
    last.set_weights([80 * last.get_weights()[0], last.get_weights()[1]])
    h5.export(
        h5.wrap(network, config),
        folder / "koala.h5",
        {
            "config": dataclasses.asdict(config),
            "image_size": config.image_size,
            "cut": config.cut,
            "embedding": {**embedder.metadata, "from": "photo"},
        },
    )
    check_example(SCRIPTS, tmp_path, folder / "koala.h5")


def check_example(document, folder, model):
    """Run a document's example in a folder; its picture is nearly what a `Colorizer` gives."""
    text = document.read_text(encoding="utf-8")
    (example,) = re.findall(r"run as printed.*?```python\n(.*?)```", text, re.DOTALL)
    cv2.imwrite(str(folder / "photo.jpg"), 60 + drawn.picture(3, 300, 420)[..., 0] // 2)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (folder / "script.py").write_text(example)
    subprocess.run(
        [sys.executable, "script.py"], cwd=folder, check=True, env=environment, capture_output=True
    )
    theirs = cv2.imread(str(folder / "coloured.png"))[..., ::-1]
    photo = cv2.imread(str(folder / "photo.jpg"), cv2.IMREAD_GRAYSCALE)
    ours = colorize.Colorizer(model)(photo)
    assert theirs.shape == ours.shape == (300, 420, 3)
    ab, reference = lab.rgb_to_lab(theirs)[..., 1:], lab.rgb_to_lab(ours)[..., 1:]
    assert np.abs(reference).mean() > 1
    # What differs is how the picture is made small (a Gaussian, not area averaging) and rounding.
    assert np.abs(ab - reference).mean() < 0.15 * np.abs(reference).mean(), (
        np.abs(ab - reference).mean(),
        np.abs(reference).mean(),
    )


def test_a_picture_and_the_command_that_colours_come_first():
    heading, picture, command, *_ = re.split(r"\n\n", README.read_text())
    (path,) = re.findall(r"^!\[.+\]\((.+)\)$", picture)
    assert heading == "# Colorization" and command == "    make colorize IN=photo.jpg"
    file = README.parent / path
    assert file.stat().st_size < 400_000 and cv2.imread(str(file)) is not None
