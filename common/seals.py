"""Files that end with the SHA-256 of all that is before it, so that one changed byte is seen.

A binary file gets a line of text at its end, which readers of HDF5 and NumPy's zip files pass over;
in JSON the hash is the last entry, `checksum`. A file without a seal is of an earlier version, or
was edited by another program.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from common import files

DIGITS = 64  # of SHA-256 in hexadecimal
KEY = "checksum"
BINARY = (b"\nSHA-256 of all before: ", b"\n")  # around the digits, at the end of the file
JSON = (f',\n "{KEY}": "'.encode(), b'"\n}\n')


class BrokenSealError(ValueError):
    """A file is not what it was when it was sealed."""


def seal(path: str | Path) -> None:
    """Add its seal to a file that has none."""
    before, after = BINARY
    with open(path, "rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(before + digest.encode() + after)


def check(path: str | Path) -> bool:
    """Whether a binary file is sealed; `BrokenSealError` where its content or its seal changed."""
    with open(path, "rb") as file:
        size = max(0, os.fstat(file.fileno()).st_size - _length(BINARY))
        file.seek(size)
        if not _resembles(file.read(), BINARY):
            return False
        file.seek(0)
        hashed = hashlib.sha256()
        while size:
            part = file.read(min(size, 1 << 20))
            if not part:
                raise BrokenSealError(f"{path} became shorter while it was read")
            hashed.update(part)
            size -= len(part)
        return _compare(file.read(), hashed.hexdigest(), BINARY)


def write_json(path: str | Path, content: dict[str, Any]) -> str:
    """Write a dict that has no `checksum` as sealed JSON, whole or not at all; returns the seal."""
    before, after = JSON
    body = json.dumps(content, indent=1).removesuffix("\n}")
    digest = files.sha256(body.encode())
    files.write_text(path, body + (before + digest.encode() + after).decode())
    return digest


def read_json(path: str | Path, seal: str | None = None) -> dict[str, Any]:
    """The dict of a JSON file, sealed or of an earlier version, without its seal.

    seal: that it must have, if given. ValueError where it is no JSON, no dict, or changed since it
    was sealed.
    """
    raw = Path(path).read_bytes()
    body, end = raw[: -_length(JSON)], raw[-_length(JSON) :]
    digest = files.sha256(body)
    sealed = _compare(end, digest, JSON)
    if seal is not None and (not sealed or digest != seal):
        raise BrokenSealError("it is another than the one that was written")
    content = json.loads(raw)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a dict")
    if (KEY in content) != sealed:
        raise BrokenSealError(f"{path} changed since it was written")
    content.pop(KEY, None)
    return content


def of_json(path: str | Path) -> str:
    """The seal that a JSON file ends with, not compared with its content; "" without one."""
    before, after = JSON
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _length(JSON)))
            end = file.read()
    except FileNotFoundError:
        return ""
    digits = end[len(before) : len(end) - len(after)]
    return digits.decode("ascii", "replace") if _resembles(end, JSON) else ""


def _length(around):
    return DIGITS + sum(map(len, around))


def _resembles(end, around):
    """Whether the end of a file is a seal, or is one but for a single byte."""
    before, after = around
    digits = end[len(before) : len(end) - len(after)]
    framed = end.startswith(before) and end.endswith(after)
    return len(digits) == DIGITS and (framed or not set(digits) - set(b"0123456789abcdef"))


def _compare(end, digest, around):
    """Whether `end` is the seal of content with this digest; an error if it only resembles one.

    What is around the digits and the digits themselves both show that there was a seal, so that no
    single byte, of the content or of the seal, can hide it.
    """
    before, after = around
    digits = end[len(before) : len(end) - len(after)]
    framed = end.startswith(before) and end.endswith(after) and len(digits) == DIGITS
    right = digits == digest.encode()
    if framed != right:
        raise BrokenSealError("the content does not have the SHA-256 that it was sealed with")
    return framed
