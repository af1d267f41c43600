"""Locks of folders: one process at a time writes in it, and whoever is kept out learns who has it.

The lock is the system's, on a small file in the folder, and so ends with the process, however that
dies. The file says who holds it: process, host, since when, command.
"""

import contextlib
import datetime
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common import cli, drives
from common.cli import UserError

NAME = ".lock"
SECONDS = 0.2  # between two looks at a lock that is waited for


class Lock(drives.Place):
    """The lock of a folder, which this process holds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self.path = path


@contextlib.contextmanager
def held(folder: str | Path, way_out: str | None = None) -> Iterator[Lock]:
    """Hold the lock of a folder, which is made where it is missing.

    Where another process holds it, a line on the terminal names that one. With a `way_out` it is
    raised as `UserError`; without, the lock is waited for. On a file system without locks the file
    alone counts, as long as its process lives or may live on another host.
    """
    folder = Path(folder)
    made = not folder.exists()
    drives.make(folder, drives.around(folder))
    around = drives.Place(folder.parent)
    path, told = folder / NAME, False
    while (descriptor := _taken(path, around)) is None:
        holder = f"{folder} is in use by {holder_of(path)}."
        if way_out:
            raise UserError(f"{holder} {way_out}")
        if not told:
            cli.say(f"{holder} Waiting until that ends.")
            told = True
        time.sleep(SECONDS)
    try:
        with drives.watched(Lock(path)) as lock:
            yield lock
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, or read-only by now
            if _is_at(descriptor, path):
                path.unlink()
                if made:
                    folder.rmdir()  # if nothing was written after all
        os.close(descriptor)


def holder_of(path: Path) -> str:
    """Who holds a lock, as its file says."""
    about = _about(path)
    if about is None:
        return "another process"
    return f"process {about['pid']} on {about['host']}, since {about['since']}: {about['command']}"


def _taken(path, around):
    """The descriptor of a lock file that is now this process's; None if another holds it.

    around: the place of the folder, which is made again where its last holder removed it.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            around.check()
            path.parent.mkdir(exist_ok=True)
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError:  # a file system without locks
                if _lives(_about(path)):
                    os.close(descriptor)
                    return None
            if not _is_at(descriptor, path):  # its last holder removed it in the meantime
                os.close(descriptor)
                continue
            with contextlib.suppress(OSError):  # on a full disk it is a lock without a name
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(_ourselves()).encode() + b"\n", 0)
            return descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def _is_at(descriptor, path):
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _ourselves():
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    command = shlex.join(getattr(sys, "orig_argv", sys.argv))
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "command": command}


def _about(path):
    """What a lock file says, or None."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        known = {"pid", "host", "since", "command"} <= about.keys() and isinstance(
            about["pid"], int
        )
        return about if known else None
    except (OSError, ValueError, AttributeError):
        return None


def _lives(about):
    """Whether the process of a lock file lives, or may live: on another host."""
    if about is None or about["pid"] == os.getpid():
        return False
    if about["host"] != socket.gethostname():
        return True
    try:
        os.kill(about["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
