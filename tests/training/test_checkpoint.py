"""The checkpoint: damaged, half written, in mixed precision."""

from pathlib import Path

import numpy as np
import pytest

from common.cli import UserError
from tests.training import home as runs


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return runs.make(tmp_path)


def test_a_damaged_one_is_refused_and_kept(home):
    runs.train(epochs=1, steps=1)
    path = home / "runs" / "r" / "checkpoint.npz"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for at in range(middle, middle + 256):  # more than the zip file's own headers and padding
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match="checkpoint.npz is corrupt. Delete it"):
        runs.train(epochs=2, steps=1)
    assert path.read_bytes() == bytes(data)


def test_a_full_disk_leaves_no_half_one(home, monkeypatch, capsys):
    runs.train(epochs=1, steps=1)
    path = home / "runs" / "r" / "checkpoint.npz"
    before = path.read_bytes()

    def full(path, **arrays):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    capsys.readouterr()
    assert runs.command("--epochs", "2", "--steps", "1") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))


@pytest.mark.slow
@pytest.mark.bfloat16
def test_mixed_bfloat16_resumes_to_the_same_bits(home):
    options = {"precision": "mixed_bfloat16", "steps": 3}
    runs.train(run="whole", epochs=2, **options)
    runs.train(epochs=1, **options)
    runs.train(epochs=2, **options)
    assert runs.state(home) == runs.state(home, "whole")
