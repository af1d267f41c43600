"""What Keras downloads is whole, and stays what it was."""

import hashlib
import subprocess
import sys
from pathlib import Path

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
