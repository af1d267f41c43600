"""What Keras downloads is whole, and stays what it was."""

import hashlib
import http.client
import http.server
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import keras
import pytest

from common.networks import downloads, perceptual, pretrained, torch_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "models" / "tiny.h5"


def fetch(path, content=None):
    """As Keras: the file in the cache, or a download that writes `content` under its final name."""

    def build():
        if not path.exists():
            path.write_bytes(content)
        return path.read_bytes()

    return pretrained.fetch(build, "tiny", path.name)


def record(path):
    return path.with_name("tiny.h5.sha256")


def test_a_download_is_recorded_and_held_to(path):
    assert fetch(path, b"first") == b"first"
    assert record(path).read_text() == hashlib.sha256(b"first").hexdigest()
    assert fetch(path) == b"first"
    path.write_bytes(b"fIrst")
    with pytest.raises(downloads.Changed, match=r"Delete it.*tiny\.h5\.sha256"):
        fetch(path)
    path.unlink()
    with pytest.raises(downloads.Changed):
        fetch(path, b"another")
    path.unlink()
    assert fetch(path, b"first") == b"first"
    path.write_bytes(b"trusted")
    record(path).unlink()
    assert fetch(path) == b"trusted" and fetch(path) == b"trusted"


def test_a_failed_download_leaves_no_record(path):
    with pytest.raises(ConnectionError), downloads.recorded(path):
        raise ConnectionError
    assert not record(path).exists()


def test_a_changed_file_is_no_reason_for_random_weights(path):
    fetch(path, b"first")
    path.write_bytes(b"other")
    with pytest.raises(downloads.Changed):
        pretrained.load(
            "auto",
            name="tiny",
            variable="TINY_WEIGHTS",
            build=lambda: None,
            imagenet=lambda: fetch(path),
            read=lambda path: None,
        )


def test_a_read_only_cache_is_used_without_a_record(path, monkeypatch):
    path.parent.mkdir()
    path.write_bytes(b"given")

    def refuse(self, *_, **__):
        raise PermissionError

    monkeypatch.setattr(type(path), "touch", refuse)
    assert fetch(path) == b"given" and not record(path).exists()


HALF = """
import sys, time
from pathlib import Path
from common.networks import downloads
with downloads.recorded(Path(sys.argv[1])):
    Path(sys.argv[1]).write_bytes(b"ha")
    print("half", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_of_a_download_is_downloaded_anew(path):
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"half\n"
        process.kill()
    assert path.read_bytes() == b"ha"
    assert fetch(path, b"half and half") == b"half and half"


def test_our_own_downloads_are_by_https():
    assert perceptual.LINEAR.startswith("https://")
    assert torch_files.TORCHVISION.startswith("https://")


# --- by Keras, from a server ------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers by the path of a request."""

    def do_GET(self):
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved/"))
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "20" if self.path == "/truncated" else "6")
        self.end_headers()
        self.wfile.write(b"answer")

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """The host of a server of `Answers`. A stand-in for TLS: https to it is plain http."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            urllib.request.HTTPSHandler,
            "https_open",
            lambda self, request: self.do_open(http.client.HTTPConnection, request),
        )
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def downloaded(path, origin, **options):
    return pretrained.fetch(
        lambda: Path(
            keras.utils.get_file(
                path.name, origin, cache_dir=path.parents[1], cache_subdir="models", **options
            )
        ).read_bytes(),
        "tiny",
        path.name,
    )


def test_https_is_followed_to_https(path, server):
    assert downloaded(path, f"https://{server}/moved/https://{server}/file") == b"answer"
    assert record(path).read_text() == hashlib.sha256(b"answer").hexdigest()


@pytest.mark.parametrize(
    "origin",
    [
        "http://{}/file",
        "https://{}/moved/http://{}/file",
        "https://{}/moved/https://{}/moved/http://{}/file",
        "ftp://{}/file",
        "file:///etc/hostname",
    ],
)
def test_nothing_but_https_is_opened(path, server, origin):
    opener, timeout = urllib.request._opener, socket.getdefaulttimeout()
    with pytest.raises(Exception, match="is not https"):  # which Keras raises
        downloaded(path, origin.replace("{}", server))
    assert not path.exists() and not record(path).exists()
    assert (urllib.request._opener, socket.getdefaulttimeout()) == (opener, timeout)


def test_half_an_answer_is_no_file(path, server):
    with pytest.raises(Exception, match="retrieval incomplete"):
        downloaded(path, f"https://{server}/truncated")
    assert not path.exists() and not record(path).exists()
    assert downloaded(path, f"https://{server}/file") == b"answer"


def test_what_has_another_hash_is_never_used(path, server):
    wrong, right = hashlib.sha256(b"other").hexdigest(), hashlib.sha256(b"answer").hexdigest()
    for _ in range(2):
        with pytest.raises(ValueError, match="hash does not match"):
            downloaded(path, f"https://{server}/file", file_hash=wrong)
    assert downloaded(path, f"https://{server}/file", file_hash=right) == b"answer"
