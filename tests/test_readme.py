"""README's example runs as printed, in another folder, with nothing of ours importable."""

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

import koala
from common import colorize
from common.color import lab
from common.networks import embeddings, h5
from tests import drawn

README = Path(__file__).parent.parent / "README.md"


def test_every_config_has_a_row_of_what_was_run():
    """Of the packages that the README's table of reports names."""
    text = README.read_text(encoding="utf-8")
    rows = {line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")}
    for report in re.findall(r"\| \[(\w+)/\]\(\1/README.md\) \|", text):
        for name in importlib.import_module(report).CONFIGS:
            assert rows & {f"| {report} `{name}`", f"| {report} `{name}`, ours"}, (report, name)


def test_the_example_colours_a_grey_photo(tmp_path):
    (example,) = re.findall(r"run as printed.*?```python\n(.*?)```", README.read_text(), re.DOTALL)
    config = koala.CONFIGS["lee2021"]
    embedder = embeddings.load("mobilenet_v2", "random")
    embedder.keep(tmp_path / "models")
    network = koala.build_model(config)
    # Untrained, its colours would be next to none: stretch them, but not beyond the gamut.
    last = network.get_layer("decoder_ab")
    last.set_weights([80 * last.get_weights()[0], last.get_weights()[1]])
    h5.export(
        h5.wrap(network, config),
        tmp_path / "models" / "koala.h5",
        {
            "config": dataclasses.asdict(config),
            "image_size": config.image_size,
            "cut": config.cut,
            "embedding": {**embedder.metadata, "from": "photo"},
        },
    )
    grey = 60 + drawn.picture(3, 300, 420)[..., 0] // 2
    cv2.imwrite(str(tmp_path / "photo.jpg"), grey)

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (tmp_path / "script.py").write_text(example)
    subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        check=True,
        env=environment,
        capture_output=True,
    )

    theirs = cv2.imread(str(tmp_path / "coloured.png"))[..., ::-1]
    photo = cv2.imread(str(tmp_path / "photo.jpg"), cv2.IMREAD_GRAYSCALE)
    ours = colorize.Colorizer(tmp_path / "models" / "koala.h5")(photo)
    assert theirs.shape == ours.shape == (300, 420, 3)
    ab, reference = lab.rgb_to_lab(theirs)[..., 1:], lab.rgb_to_lab(ours)[..., 1:]
    assert np.abs(reference).mean() > 1
    # What differs is how the picture is made small (a Gaussian, not area averaging) and rounding.
    assert np.abs(ab - reference).mean() < 0.15 * np.abs(reference).mean(), (
        np.abs(ab - reference).mean(),
        np.abs(reference).mean(),
    )


def test_the_two_commands_come_first():
    code = re.search(r"^    .*(?:\n    .*)*", README.read_text(), re.MULTILINE).group()
    assert code.split("\n") == ["    make train-koala", "    make test"]
