"""Locks of folders: who holds one is named, and a dead process leaves none."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from common import locks
from common.cli import UserError
from tests.training import home as runs

HOLD = """
import sys, time
from common import locks
with locks.held(sys.argv[1]):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path/run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_whoever_is_kept_out_learns_who_holds_it_and_the_dead_hold_nothing(holder, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(UserError) as caught, locks.held(folder, "Wait."):
        pass
    assert re.fullmatch(
        f"{re.escape(str(folder))} is in use by process {holder.pid} on "
        rf"{re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\d [\d:+-]+: .*python.* -c .*"
        r" Wait\.",
        str(caught.value),
        re.DOTALL,
    )
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (folder / locks.NAME).exists()  # left behind, and no hindrance
    with locks.held(folder, "Wait.") as lock:
        lock.check()
        assert f"process {os.getpid()} " in locks.holder_of(lock.path)
    assert not (folder / locks.NAME).exists()


@pytest.mark.parametrize("made", [False, True], ids=["a folder", "one made for the lock"])
def test_without_a_way_out_it_is_waited_for(tmp_path, monkeypatch, capsys, made):
    """Also where whoever had the lock removes its folder, in which it has written nothing."""
    folder, waits = tmp_path / "a", []
    if not made:
        folder.mkdir()
    with contextlib.ExitStack() as first:
        first.enter_context(locks.held(folder))

        def sleep(seconds):
            waits.append(seconds)
            if len(waits) == 2:
                first.close()
                assert folder.exists() is not made

        monkeypatch.setattr(locks, "time", types.SimpleNamespace(sleep=sleep))
        with locks.held(folder):
            assert len(waits) == 2
    assert not list(folder.iterdir())
    assert f"{folder} is in use by process {os.getpid()}" in capsys.readouterr().out


def test_what_is_waited_for_on_a_drive_that_is_taken_off_is_one_line(tmp_path, monkeypatch):
    drive = tmp_path / "drive"
    with contextlib.ExitStack() as first:
        first.enter_context(locks.held(drive / "a"))

        def sleep(seconds):
            drive.rename(tmp_path / "off")
            drive.mkdir()

        monkeypatch.setattr(locks, "time", types.SimpleNamespace(sleep=sleep))
        with pytest.raises(UserError, match="Bring it back"), locks.held(drive / "a"):
            pass
    assert not list(drive.iterdir())


def test_a_folder_that_was_made_for_the_lock_alone_does_not_stay(tmp_path):
    with pytest.raises(ValueError), locks.held(tmp_path / "new", "Wait."):
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_a_second_training_in_a_runs_folder_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(runs.make(tmp_path))
    with locks.held("runs/r"):
        assert runs.command() == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert re.search(rf"runs/r is in use by process {os.getpid()} on .* RUN=name\.$", line)


def test_another_folder_in_its_place_is_seen(tmp_path):
    folder = tmp_path / "a"
    with locks.held(folder, "Wait.") as lock:
        lock.check()
        folder.rename(tmp_path / "b")
        folder.mkdir()
        with pytest.raises(UserError, match="is gone, or is another folder"):
            lock.check()
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("pid", "host", "lives"),
    [(1, None, True), (2**22 + 1, None, False), (2**22 + 1, "elsewhere", True)],
)
def test_without_locks_of_the_system_the_file_counts(tmp_path, monkeypatch, pid, host, lives):
    """pid 1 always lives; no system gives numbers above 2**22."""

    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    about = {"pid": pid, "host": host or socket.gethostname(), "since": "then", "command": "c"}
    (tmp_path / locks.NAME).write_text(locks.json.dumps(about))
    if lives:
        with pytest.raises(UserError, match=f"process {pid} on"), locks.held(tmp_path, "Wait."):
            pass
    else:
        with locks.held(tmp_path, "Wait."):
            pass
