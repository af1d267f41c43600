"""docs/adding-a-report.md, followed to the letter, gives a report that trains, with claims."""

import re
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from common import cli
from common.commands import __main__ as colorization
from common.commands import reports
from tests import drawn

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-report.md"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The guide's package, in a folder of its own which is the current one."""
    blocks = re.findall(
        r"^ *`(toy/\w+\.py)`\n\n( *)```python\n(.*?)^\2```", GUIDE.read_text(), re.M | re.S
    )
    for name, _, code in blocks:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]


def test_the_toy_trains_and_its_model_is_exported(toy, capsys):
    assert "toy" in reports.names()
    drawn.folder(toy / "photos", 24, 40)
    flags = ["--data=photos", "--steps=1", "--batch=2", "--precision=float32"]
    assert cli.run(colorization.main, ["train", "toy", *flags]) == 0, capsys.readouterr()
    model = keras.models.load_model(toy / "models" / "toy.h5", compile=False)
    assert model({"l": np.full((1, 32, 32, 1), 50.0)}).shape == (1, 32, 32, 2)
    assert "toy2026" in reports.module("toy", "claims").ROWS
    # T3, by hand: 3 x 3 x 1 x 8 + 8 and 3 x 3 x 8 x 2 + 2
    config = reports.module("toy", "config").CONFIGS["toy2026"]
    assert reports.module("toy", "model").build_model(config).count_params() == 80 + 146
