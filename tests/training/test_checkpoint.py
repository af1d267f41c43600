"""The checkpoint: damaged, half written, in mixed precision."""

import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from common.cli import UserError
from common.training import checkpoint
from tests.training import home as runs


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a run of one epoch, `r`, and one of two, `whole`, which `r` is to end as."""
    folder = runs.make(tmp_path_factory.mktemp("begun"))
    with runs.current(folder):
        runs.train(run="whole", epochs=2, steps=3)
        runs.train(epochs=1, steps=3)
        shutil.copytree("runs", "kept")
    return folder


@pytest.fixture
def home(begun, monkeypatch):
    """`begun` as the current folder, with its two runs as they were."""
    monkeypatch.chdir(begun)
    shutil.rmtree("runs")
    shutil.copytree("kept", "runs")
    return begun


def _flip(path):
    """Flip a bit in the middle of a file; returns its bytes."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_the_one_before_serves_in_place_of_a_damaged_one(home, capsys):
    path = home / "runs" / "r" / "checkpoint.npz"
    _flip(path)
    capsys.readouterr()
    runs.train(epochs=2, steps=3)
    assert f"{path.relative_to(home)} is corrupt" in capsys.readouterr().out
    assert runs.state(home) == runs.state(home, "whole")


def test_two_damaged_ones_are_refused_and_kept(home):
    path = home / "runs" / "r" / "checkpoint.npz"
    kept = {each: _flip(each) for each in (path, checkpoint.before(path))}
    with pytest.raises(UserError, match=r"checkpoint.npz is corrupt \(.*\). Delete it"):
        runs.train(epochs=2, steps=3)
    assert {each: each.read_bytes() for each in kept} == kept


def test_killed_between_its_two_renamings_a_run_goes_on(home):
    path = home / "runs" / "r" / "checkpoint.npz"
    path.replace(checkpoint.before(path))
    runs.train(epochs=2, steps=3)
    assert runs.state(home) == runs.state(home, "whole")


def test_one_of_an_earlier_version_has_no_seal_and_is_read(home):
    path = home / "runs" / "r" / "checkpoint.npz"
    with np.load(path) as stored:
        np.savez(path, **stored)
    runs.train(epochs=2, steps=3)
    assert runs.state(home) == runs.state(home, "whole")


def test_a_full_disk_leaves_no_half_one(home, monkeypatch, capsys):
    path = home / "runs" / "r" / "checkpoint.npz"
    before = path.read_bytes()

    def full(path, **arrays):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    capsys.readouterr()
    assert runs.command("--epochs", "2", "--steps", "3") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))


@pytest.mark.slow
@pytest.mark.bfloat16
def test_mixed_bfloat16_resumes_to_the_same_bits(home):
    options = {"precision": "mixed_bfloat16", "steps": 3, "run": "mixed"}
    runs.train(**options | {"run": "both"}, epochs=2)
    runs.train(**options, epochs=1)
    runs.train(**options, epochs=2)
    assert runs.state(home, "mixed") == runs.state(home, "both")


@pytest.mark.parametrize(
    ("member", "before", "after"),
    [
        ("progress", '"epoch": 1'.encode("utf-32-le"), '"epoch": -'.encode("utf-32-le")),
        ("progress", '"epoch"'.encode("utf-32-le"), '"hcope"'.encode("utf-32-le")),
        ("progress", '"epoch"'.encode("utf-32-le"), b'"\0\0\xff' * 7),
        ("progress", b"'descr'", b"'''desc"),  # which tokenize does not take
        ("00000", b"<f4", b"|O8"),
        ("00000", b"<f4", b"<U1"),
        ("00000", b"(2, 3)", b"(3, 2)"),
        ("00000", b"(2, 3), }", b"(9**9,)}"),
        ("00000", b"\x93NUMPY", b"\x93numpy"),
        ("00000", None, None),
    ],
)
def test_no_member_of_an_archive_is_trusted(tmp_path, member, before, after):
    """The archive's own checksums are right, as no damage makes them, and there is no seal."""
    path = tmp_path / "checkpoint.npz"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    checkpoint.save(path, model, checkpoint.Progress(epoch=1))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole = members.pop(f"{member}.npy")
    if before:
        assert before in whole
        members[f"{member}.npy"] = whole.replace(before, after, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"checkpoint.npz is corrupt \(.*\). Delete it"):
        checkpoint.load(path, model, lambda progress: None)
