"""Atomic writes: every file is written under a temporary name and then renamed."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the name of `path`; rename it over `path` on success.

    It lies in a hidden folder beside `path`, since Keras picks the format by the suffix and a
    rename is atomic only within a file system. Every call has a folder of its own, so that several
    processes may write the same path. After an error nothing remains; what a killed process left is
    removed by the next one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A digest, since the longest names leave no room to add anything.
    home = path.parent / f".{sha256(os.fsencode(path.name))[:16]}.part"
    with contextlib.ExitStack() as stack:
        folder = _own_folder(home, stack)
        yield folder / path.name
        with open(folder / path.name, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(folder / path.name, path)


def _own_folder(home, stack):
    """A new folder in `home`, locked; both are removed when `stack` closes.

    The lock tells a folder in use from what a killed process left.
    """
    for _ in range(2):  # an interrupt may end the first
        stack.callback(_clear, home)
    _clear(home)
    while True:
        with contextlib.suppress(FileExistsError):
            home.mkdir()
        with contextlib.suppress(FileNotFoundError):  # another process has just removed `home`
            folder = Path(tempfile.mkdtemp(dir=home))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # file systems may have no locks
                stack.enter_context(locked(folder, wait=True))
            if folder.exists():  # else another process took it for left before it was locked
                return folder


def _clear(home):
    """Remove the folders in `home` that no process uses, and `home` if none remains."""
    with contextlib.suppress(OSError):
        for folder in home.iterdir():
            with contextlib.suppress(OSError), locked(folder):
                shutil.rmtree(folder)
        home.rmdir()


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = False) -> Iterator[None]:
    """Hold the exclusive lock of a file or folder, which ends with the process at the latest.

    Raises BlockingIOError if another process holds it and `wait` is False, and another OSError
    where the path is missing or the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def sha256(source: str | Path | bytes) -> str:
    """The SHA-256 of a file (a path) or of bytes, as 64 hex digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")
