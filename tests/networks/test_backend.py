"""How Keras is started: without what it needs for plots and conversions alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.networks import backend

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("variable", "settings", "passed_over"),
    [
        ("", None, True),
        ("", '{"backend": "jax"}', False),
        ("", '{"backend": 1', True),  # damaged: Keras takes its default
        ("tensorflow", '{"backend": "jax"}', True),
        ("jax", None, False),
    ],
)
def test_a_backend_is_not_passed_over(tmp_path, monkeypatch, variable, settings, passed_over):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", variable)
    if settings is not None:
        (tmp_path / "keras.json").write_text(settings)
    assert ("jax" in backend._unneeded()) is passed_over


@pytest.mark.slow
def test_what_is_passed_over_is_there_afterwards():
    program = (
        "import sys; from common.networks import backend; backend.start()\n"
        "names = {'matplotlib', 'scipy'}; print(names & sys.modules.keys())\n"
        "import keras, matplotlib.pyplot, scipy.ndimage; print(names <= sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\nTrue\n"
