"""Atomic writes: every file is written under a temporary name and then renamed."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the name of `path`; rename it over `path` on success.

    It lies in a hidden folder beside `path`, since Keras picks the format by the suffix and a
    rename is atomic only within a file system. After an error nothing remains; what a killed
    process left is removed by the next one.
    """
    path = Path(path)
    folder = path.parent / f".{path.name}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
        yield folder / path.name
        with open(folder / path.name, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
