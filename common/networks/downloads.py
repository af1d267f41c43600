"""Files that Keras downloads into its cache: by https, whole, and for ever what they were at first.

Keras writes a download under its final name and checks the hash of most, not of all: MobileNetV2's
has none. A record beside each file, `<name>.sha256`, closes both gaps. A server may also send Keras
from https to an address without it, which is not followed here.
"""

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from common import files
from common.cli import UserError

TIMEOUT = 10  # seconds without an answer
_BEGUN = "downloading"  # a record whose file is not whole yet


class Changed(UserError):
    """A file is not what it was when it was downloaded first."""


class _HttpsAlone(
    urllib.request.HTTPHandler, urllib.request.FTPHandler, urllib.request.FileHandler
):
    """Takes the places of these handlers, and refuses what they would open."""

    def _refuse(self, request):
        raise urllib.error.URLError(
            f"{request.full_url} is not https, and nothing is downloaded otherwise"
        )

    http_open = ftp_open = file_open = _refuse


@contextlib.contextmanager
def by_https() -> Iterator[None]:
    """Let urllib, by which Keras downloads, open https alone in the block, with a time-out."""
    before, timeout = urllib.request._opener, socket.getdefaulttimeout()  # type: ignore[attr-defined]
    urllib.request.install_opener(urllib.request.build_opener(_HttpsAlone))
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        urllib.request.install_opener(before)
        socket.setdefaulttimeout(timeout)


@contextlib.contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Use `path`, or download it, in the block, with its SHA-256 held to the record beside it.

    The first block that ends well writes the record; two processes wait for each other. What a
    killed process left of a download is removed before the block. Raises `Changed` before the block
    or after it. Where no record can be written, as in a read-only cache, nothing is checked.
    """
    record = path.with_name(f"{path.name}.sha256")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()
    except OSError:
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # file systems may have no locks
            stack.enter_context(files.locked(record, wait=True))
        known = record.read_text()
        if known == _BEGUN:
            path.unlink(missing_ok=True)
            known = ""
        _check(path, known, record)
        if not known and not path.exists():
            record.write_text(_BEGUN)
        try:
            yield
            _check(path, known, record)
            if not known and path.exists():
                record.write_text(files.sha256(path))
        finally:
            if not known and not path.exists():
                record.unlink(missing_ok=True)


def _check(path, known, record):
    if known and path.exists() and files.sha256(path) != known:
        raise Changed(
            f"{path} is not the file that was downloaded first: its SHA-256 is not {known[:12]}... "
            f"Delete it, to download it anew; if it is to be trusted, delete {record.name} instead."
        )
