"""Disks that get full, read-only or are taken off in the middle of a work: one line, nothing lost.

The disk is a folder of memory mounted for the test, where that is allowed.
"""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from common import cli, datasets, locks, photos
from common.colorize import folder, places
from common.colorize.engine import Engine
from common.datasets import build
from common.networks import h5
from tests import drawn
from tests.training import home as runs


class Disk:
    """A file system of 4 MB at `folder`."""

    def __init__(self, folder: Path):
        self.folder, self.store = folder, folder.with_name("store")
        self.store.mkdir()
        self.folder.mkdir()
        self.mounted = contextlib.ExitStack()

    def call(self, *words):
        subprocess.run([*words], check=True, capture_output=True)

    def mount(self):
        self.call("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(self.store))
        self.mounted.callback(self.call, "umount", "-l", str(self.store))
        self.bring_back()

    def bring_back(self):
        self.call("mount", "--bind", str(self.store), str(self.folder))

    def fill(self):
        with contextlib.suppress(OSError), open(self.store / "filler", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def make_read_only(self):
        # Read-only beside it, then over it: one that is written in cannot be made read-only.
        aside = self.folder.with_name("aside")
        aside.mkdir()
        self.call("mount", "--bind", str(self.store), str(aside))
        self.call("mount", "-o", "remount,bind,ro", str(aside))
        self.call("mount", "--bind", str(aside), str(self.folder))
        self.call("umount", "-l", str(aside))
        aside.rmdir()

    def take_off(self):
        self.call("umount", "-l", str(self.folder))

    def mend(self):
        """As it was, whatever was done to it."""
        (self.store / "filler").unlink(missing_ok=True)
        while os.path.ismount(self.folder):
            self.take_off()
        assert not list(self.folder.iterdir()), "written below the disk that was taken off"
        self.bring_back()


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A `Disk`; the current folder is beside it."""
    monkeypatch.chdir(tmp_path)
    disk = Disk(tmp_path / "disk")
    with disk.mounted:
        try:
            disk.mount()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting is refused here")
        yield disk
        while os.path.ismount(disk.folder):
            disk.take_off()


HARMS = {
    "fill": "the disk is full",
    "make_read_only": "the file system is read-only",
    "take_off": "is gone",
}
each_harm = pytest.mark.parametrize(("harm", "words"), HARMS.items())


def after(calls, function, harm):
    """The function, which does a harm at its call of that number."""

    def harmful(*args, **options):
        nonlocal calls
        calls -= 1
        if calls == 0:
            harm()
        return function(*args, **options)

    return harmful


def fails(function, words, capsys):
    """Check that a command ends in one line with these words."""
    capsys.readouterr()
    assert cli.run(lambda _: function()) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert words in line


def contents(folder):
    """{name: bytes}, without what a process left on a disk that was taken off."""
    return {path.name: path.read_bytes() for path in folder.glob("*/*") if path.is_file()}


@each_harm
def test_preparing(disk, monkeypatch, capsys, harm, words):
    drawn.folder(Path("photos"), 30, 24)

    def prepare():
        datasets.prepare("photos", 24, "squash", folder="disk/shards", shard_pictures=5)

    prepare()
    whole = contents(disk.folder)
    for path in (disk.folder / "shards").iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        decode = after(12, photos.decode, getattr(disk, harm))
        patch.setattr(build.photos, "decode", decode)
        fails(prepare, words, capsys)
    disk.mend()
    prepare()
    assert contents(disk.folder) == whole


class Calls:
    """Takes the disk off at one call of those that open, make, rename or remove a file on it.

    Counted from where the folder is locked: before that it is not known that there is a disk.
    """

    EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "tempfile.mkdtemp")

    def __init__(self, disk):
        self.disk, self.left, self.locked = disk, None, False
        sys.addaudithook(self._called)  # which stays, and does nothing afterwards

    def _called(self, event, arguments):
        if self.left is None or event not in self.EVENTS or "disk" not in str(arguments[0]):
            return
        if self.locked:
            self.left -= 1
            if not self.left:
                self.left = None
                self.disk.take_off()
        self.locked = self.locked or str(arguments[0]).endswith(locks.NAME)


def test_a_disk_is_taken_off_at_any_call_of_preparing(disk, capsys):
    drawn.folder(Path("photos"), 6, 24)

    def prepare():
        datasets.prepare("photos", 24, "squash", folder="disk/shards", shard_pictures=2)

    prepare()
    whole, calls = contents(disk.folder), Calls(disk)
    for number in itertools.count(1):
        for path in (disk.folder / "shards").iterdir():
            path.unlink()
        calls.left, calls.locked = number, False
        code = cli.run(lambda _: prepare())
        lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        if calls.left:  # it ended before a call of that number
            assert code == 0 and number > 30
            break
        if code:  # where it was done already, and read: there are no shards
            assert code == 2 and re.match(r"error: (.*Bring it back|No shards in)", *lines)
        disk.mend()
        prepare()
        assert contents(disk.folder) == whole, number
    calls.left = None


@each_harm
def test_colorizing_a_folder(disk, monkeypatch, capsys, harm, words):
    drawn.folder(Path("photos"), 8, 24, ".tif")
    options = places.Options(Path("photos"), disk.folder / "coloured")

    def colorize(colour=lambda pixels, notes: 255 - pixels):
        here = Engine(photos.read, photos.is_picture, colour, lambda: None, lambda: None)
        with places.made(options):
            return folder.colour_folder(options, here)

    assert colorize() == 0
    whole = contents(disk.folder)
    for path in options.out.iterdir():
        path.unlink()
    # Photos that cannot be written are in the report; where that cannot be, there is one line.
    fails(
        lambda: colorize(after(4, lambda pixels, notes: 255 - pixels, getattr(disk, harm))),
        words,
        capsys,
    )
    disk.mend()
    assert colorize() == 0
    found = contents(disk.folder)
    report = "colorize-report.csv"
    assert found.pop(report) and whole.pop(report) and found == whole


class Harm(runs.Stop):
    """Harms the disk after some steps."""

    def __init__(self, steps, harm):
        super().__init__(steps)
        self.harm = harm

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if not self.steps:
            self.harm()


@pytest.mark.slow
def test_training(disk, monkeypatch, capsys):
    """One run, harmed in each of its epochs; then the clock is set back, by files' dates too."""
    runs.make(Path())
    (disk.folder / "runs").mkdir()
    Path("runs").symlink_to(disk.folder / "runs")
    options = {"epochs": len(HARMS) + 1, "steps": 2}
    for harm, words in HARMS.items():
        harmful = Harm(3, getattr(disk, harm))  # in the second epoch from here on
        fails(lambda: runs.train(callbacks=(harmful,), **options), words, capsys)  # noqa: B023
        disk.mend()
    now, year = time.time, 365 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: now() - 3 * year)
    for path in [*disk.store.rglob("*"), *Path("data").rglob("*")]:
        os.utime(path, (now() + 30 * year,) * 2)
    runs.train(**options)
    assert f"goes on after {len(HARMS)} epochs and 0 steps" in capsys.readouterr().out
    runs.train(run="whole", **options)
    assert runs.state(Path()) == runs.state(Path(), "whole")


@pytest.mark.slow
def test_exporting_on_a_full_disk(disk, capsys):
    """HDF5 itself would end the process."""
    runs.make(Path())
    Path("runs").symlink_to(disk.folder)
    model = runs.train(epochs=1, steps=1).model
    model.unlink()
    disk.fill()
    fails(lambda: runs.train(epochs=1, steps=1), "the disk is full", capsys)
    disk.mend()
    assert h5.load(runs.train(epochs=1, steps=1).model)


def test_photos_on_a_disk_that_is_taken_off(disk, monkeypatch, capsys):
    drawn.folder(disk.folder / "photos", 30, 24)

    def prepare():
        datasets.prepare("disk/photos", 24, "squash", folder="shards", shard_pictures=5)

    with monkeypatch.context() as patch:
        patch.setattr(build.photos, "decode", after(12, photos.decode, disk.take_off))
        fails(prepare, "Bring it back and run the same command again", capsys)
    fails(prepare, "is gone or empty and shards is not finished", capsys)
    disk.mend()
    prepare()
    disk.take_off()
    prepare()  # finished shards need no photos
    assert cv2.imread(str(disk.store / "photos" / "picture-000.png")) is not None
