"""Disks that get full, read-only or are taken off in the middle of a work: one line, nothing lost.

The disk is a folder of memory mounted for the test, where that is allowed.
"""

import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import cli, datasets, locks, photos, training
from common.colorize import folder, places
from common.colorize.engine import Engine
from common.datasets import build
from common.evaluation import evaluate
from common.networks import h5
from tests import drawn, tiny
from tests.evaluation.scoring import evaluated
from tests.training import home as runs


class Disk:
    """A file system of 4 MB at `folder`."""

    def __init__(self, folder: Path):
        self.folder, self.store = folder, folder.with_name(f"{folder.name}-store")
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
        aside = self.folder.with_name(f"{self.folder.name}-aside")
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


@contextlib.contextmanager
def mounted(folder):
    """A `Disk` at a folder; the test is skipped where mounting is refused."""
    disk = Disk(folder)
    with disk.mounted:
        try:
            disk.mount()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting is refused here")
        try:
            yield disk
        finally:
            while os.path.ismount(disk.folder):
                disk.take_off()


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A `Disk`; the current folder is beside it."""
    monkeypatch.chdir(tmp_path)
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def other(disk):
    """A second `Disk`."""
    with mounted(disk.folder.with_name("other")) as other:
        yield other


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
    """Takes a disk off at one call of those that open, make, rename or remove a file on it.

    Counted from where `begun` is set: before that it is not known that there is a disk.
    """

    EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "tempfile.mkdtemp")

    def __init__(self, disk):
        self.disk, self.left, self.begun = disk, None, False
        self.path = re.compile(rf"(^|/){disk.folder.name}(/|$)")
        sys.addaudithook(self._called)  # which stays, and does nothing afterwards

    def _called(self, event, arguments):
        if self.left is None or event not in self.EVENTS:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
        if not self.path.search(path):
            return
        if self.begun:
            self.left -= 1
            if not self.left:
                self.left = None
                self.disk.take_off()
        self.begun = self.begun or path.endswith(locks.NAME)


def at_each_call(disk, work, again, capsys, others=(), least=5, every=1):
    """Take a disk off at each of its calls, or at one in `every`; then do the work again.

    work: is given the `Calls`, and begins anew. again: the same with what is there, and what is
    checked. others: lines in which an error may end beside that of a disk that is gone.
    """
    calls = Calls(disk)
    for number in itertools.count(1, every):
        calls.left, calls.begun = number, False
        capsys.readouterr()
        code = cli.run(lambda _: work(calls))
        lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        if calls.left:  # it ended before a call of that number
            assert code == 0 and number > least
            break
        if code:
            assert code == 2 and re.match("|".join(["error: .*Bring it back", *others]), *lines)
        disk.mend()
        again(number)
    calls.left = None


def emptied(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_disk_is_taken_off_at_any_call_of_preparing(disk, capsys):
    drawn.folder(Path("photos"), 6, 24)

    def prepare():
        datasets.prepare("photos", 24, "squash", folder="disk/shards", shard_pictures=2)

    def anew(calls):
        emptied(disk.folder / "shards")
        prepare()

    def again(number):
        prepare()
        assert contents(disk.folder) == whole, number

    prepare()
    whole = contents(disk.folder)
    # "No shards": where it was done already, and read.
    at_each_call(disk, anew, again, capsys, ["error: No shards in"], least=30)


@pytest.mark.parametrize("taken", ["disk", "other"], ids=["its photos", "its results"])
def test_a_disk_is_taken_off_at_any_call_of_colorizing(disk, other, capsys, taken):
    drawn.folder(disk.folder / "photos", 3, 24, ".tif")
    options = places.Options(disk.folder / "photos", other.folder / "coloured")
    here = Engine(
        photos.read, photos.is_picture, lambda x, notes: 255 - x, lambda: None, lambda: None
    )

    def colorize(calls=None):
        with places.made(options):
            if calls:
                emptied(options.out)
                calls.begun = True
            return folder.colour_folder(options, here)

    def again(number):
        assert colorize() == 0
        found = contents(other.folder)
        assert found.pop(report) and found == whole, number

    assert colorize() == 0
    report, whole = "colorize-report.csv", contents(other.folder)
    whole.pop(report)
    at_each_call({"disk": disk, "other": other}[taken], colorize, again, capsys)


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
@pytest.mark.parametrize("name", ["runs", "data"])
def test_a_disk_is_taken_off_at_calls_of_training(tmp_path, monkeypatch, capsys, name):
    """Of its checkpoints, logs and export; and of the shards that it reads, once it has begun."""
    monkeypatch.chdir(runs.make(tmp_path))

    def train(calls=None):
        def build_model(config):
            if calls and name == "data":
                calls.begun = True
            return drawn.build_model(config)

        report = dataclasses.replace(tiny.REPORT, build_model=build_model)
        training.train(report, "plain", "photos", **options)

    def result():
        return runs.state(tmp_path), h5.load("runs/r/tiny.h5").get_weights()

    def anew(calls):
        shutil.rmtree("runs") if name == "data" else emptied(disk.folder)
        train(calls)

    def again(number):
        train()
        (state, weights), (its_state, its_weights) = result(), whole
        assert state == its_state, number
        for ours, theirs in zip(weights, its_weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    options = {"epochs": 2, "steps": 2, "precision": "float32", "run": "r", "published": False}
    with mounted(tmp_path / name) as disk:
        train()
        whole = result()
        at_each_call(disk, anew, again, capsys, every={"runs": 30, "data": 9}[name])


@pytest.mark.slow
@pytest.mark.parametrize("taken", ["disk", "other"], ids=["its pictures", "its results"])
def test_a_disk_is_taken_off_at_calls_of_an_evaluation(disk, other, monkeypatch, capsys, taken):
    drawn.folder(Path("photos"), 40, 24)
    folder, out = disk.folder / "shards", other.folder / "out"
    dataset = datasets.prepare("photos", 32, "squash", folder=folder, fractions=(0.5, 0.25, 0.25))
    model = drawn.exported(Path("tiny.h5"))

    def evaluation():
        return evaluated([model], dataset, out=out)

    def anew(calls):
        def begin(out):
            writable(out)
            calls.begun = True

        emptied(out)
        with monkeypatch.context() as patch:
            patch.setattr(evaluate, "check_writable", begin)
            evaluation()

    def again(number):
        assert evaluation().rows == whole.rows
        assert len(list(out.glob("[!.]*"))) == 3

    whole, writable = evaluation(), evaluate.check_writable
    at_each_call({"disk": disk, "other": other}[taken], anew, again, capsys, every=6)


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
