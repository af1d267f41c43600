"""Atomic writes: every file is written under a temporary name and then renamed."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import drives
from common.cli import UserError

_TEMPORARY = ".writing-"  # begins the names of temporary folders


@contextlib.contextmanager
def replacing(path: str | Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path with the name of `path`; rename it over `path` on success.

    It lies in a hidden folder beside `path`, since Keras picks the format by the suffix and a
    rename is atomic only within a file system. The folder's name is unique, so that several
    processes may write the same path. After an error nothing remains; what a killed process left is
    removed by the next one that writes beside it. previous: a path in the same folder that what is
    replaced is renamed to. An `OSError` names `path`; `UserError` where the folder went away, or
    one of those in `drives.watched` that `path` lies in.
    """
    path = Path(path)
    with _naming(path), contextlib.ExitStack() as stack:
        around = drives.around(path)
        folder = None
        try:
            drives.make(path.parent, around)
            _clear(path.parent.resolve())
            folder = _own_folder(path.parent, stack)
            drives.check(around)  # else this folder is below the drive that was there
            yield folder / path.name
            with open(folder / path.name, "rb+") as file:
                os.fsync(file.fileno())
            drives.check(around)
            if previous:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, previous)
            os.replace(folder / path.name, path)
        except FileNotFoundError:
            drives.check(around)
            if folder and folder.exists():
                raise
            raise UserError(
                f"{path} cannot be written: its folder is gone. A drive taken off? Bring it back "
                "and start the same command again; it goes on."
            ) from None


@contextlib.contextmanager
def _naming(path):
    """An `OSError` without a file's name, as one of a write has it, or with a temporary's, names
    `path`."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno and (named is None or _TEMPORARY in str(named)):
            error.filename = str(path)
        raise


def _own_folder(parent, stack, prefix=_TEMPORARY):
    """A new folder, locked while in use, which is removed when `stack` closes."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        for _ in range(2):  # an interrupt may end the first
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # file systems may have no locks
            stack.enter_context(locked(folder, wait=True))
        if folder.exists():  # else another process took it for left before it was locked
            return folder


@functools.cache  # once in a process: a folder may hold very many files
def _clear(parent):
    clear(parent)


def clear(parent: Path, prefix: str = _TEMPORARY) -> None:
    """Remove the temporary folders in `parent` that killed processes left: that none has locked."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), locked(folder):
            shutil.rmtree(folder)


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `parent` that no other user can enter; it is removed in the end.

    First those of this prefix are removed that killed processes left.
    """
    clear(parent, prefix)
    with contextlib.ExitStack() as stack:
        yield _own_folder(parent, stack, prefix)


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
    """Write `content` as JSON, whole or not at all, without a copy of its text in memory."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
