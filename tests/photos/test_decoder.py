"""Decoding in a helper process: the same pictures, and files that break it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common import photos
from common.photos import PhotoError, decoder, worker
from tests import drawn
from tests.photos.files import png16, saved, tiff

RGB = drawn.picture(3, 40, 60)
DEEP = (RGB.astype(np.uint16) * 257) ^ 0x35
EXIF = Image.Exif()
EXIF[274], EXIF[270] = 6, "a turned photo"
FILES = {
    "turned.jpg": saved(RGB, "JPEG", exif=EXIF.tobytes(), dpi=(300, 300), comment=b"hello"),
    "deep.png": png16(np.dstack([DEEP, DEEP[..., 0]]), 6, (b"gAMA", b"\0\1\x86\xa0")),
    "pages.tif": tiff(
        *(np.dstack([DEEP, DEEP[..., i]]) for i in range(2)),
        photometric="rgb",
        extrasamples=["unspecified"],
        description="infrared",
        resolution=(600, 600),
        compression="lzw",
    ),
    "photo.webp": saved(RGB, "WEBP", lossless=True),
    "film.gif": saved(RGB, "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "photo.jp2": saved(RGB, "JPEG2000"),
    "cut.jpg": saved(drawn.picture(1, 200), "JPEG")[:800],
    "float.tif": tiff(RGB.astype(np.float32), photometric="rgb"),
    "empty.png": b"",
}


@pytest.fixture(scope="module")
def remote():
    remote = photos.Decoder()
    yield remote
    remote.close()


def outcome(read, path, result):
    """All that reading a file gives, and the bytes of the file that is written of it."""
    try:
        with read(path) as photo:
            pages = list(photo.pages())
            about = (photo.format, photo.written, photo.shapes, photo.compressed, photo.notes)
            pixels = [(page.pixels.tobytes(), page.pixels.dtype, page.depth) for page in pages]
            extra = [page.extra is not None and page.extra.tobytes() for page in pages]
            for page in pages:
                if page.pixels.ndim == 2:
                    page.pixels = np.dstack([page.pixels] * 3)
            photos.write(result, iter(pages), photo)
            return about, pixels, extra, result.read_bytes()
    except PhotoError as error:
        return re.sub(r"0x[0-9a-f]+", "", str(error))  # of an object in Pillow's message


@pytest.mark.parametrize("name", FILES)
def test_it_reads_as_this_process_does(remote, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    given = outcome(remote.read, path, tmp_path / "remote")
    assert given == outcome(photos.read, path, tmp_path / "here")
    assert isinstance(given, str) is (name in ("cut.jpg", "float.tif", "empty.png"))


def test_the_cap_and_the_systems_errors_are_as_here(remote, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(FILES["deep.png"])
    with pytest.raises(PhotoError, match="more than 0.001"), remote.read(path, 0.001):
        pass
    with pytest.raises(PhotoError, match="no such file"), remote.read(tmp_path / "none.png"):
        pass


@pytest.mark.parametrize("name", [b"a\nb .png", b"-rf.png", b"\xe9\xff.png", b"' \".png"])
def test_odd_names_and_links(remote, tmp_path, name):
    (tmp_path / "real").write_bytes(FILES["deep.png"])
    path = tmp_path / os.fsdecode(name)
    path.symlink_to("real")
    with remote.read(path) as photo:
        assert next(photo.pages()).pixels.shape == (40, 60, 4)


def test_it_tells_pictures_from_other_files(remote, tmp_path):
    for name, data, expected in (
        ("a.jpg", b"", True),
        ("scan", FILES["deep.png"], True),
        ("raw", b"FOVb" + bytes(60), True),
        ("text", b"hello", False),
        (".hidden", FILES["deep.png"], False),
    ):
        (tmp_path / name).write_bytes(data)
        assert remote.is_picture(tmp_path / name) is expected is photos.is_picture(tmp_path / name)
    assert remote.is_picture(tmp_path / "none") is False


def test_a_file_that_breaks_its_decoder_costs_itself(tmp_path, monkeypatch):
    """A crash, a loop without end, memory without end; the photo after each is read."""
    monkeypatch.setattr(decoder, "MODULE", "tests.photos.breaking")
    (tmp_path / "good.png").write_bytes(FILES["deep.png"])
    remote = photos.Decoder()
    try:
        for code, words in (
            (b"SG", r"its decoder crashed \(SIGSEGV\)"),
            (b"LP", "its decoder did not end"),
            (b"MM", "not enough memory for it"),
        ):
            (tmp_path / "bad").write_bytes(b"BREAK-" + code)
            with monkeypatch.context() as patch:
                if code == b"LP":
                    patch.setattr(worker, "seconds", lambda *_: 1)
                with pytest.raises(PhotoError, match=words), remote.read(tmp_path / "bad"):
                    pass
            with remote.read(tmp_path / "good.png") as photo:
                assert len(list(photo.pages())) == 1
    finally:
        remote.close()


def test_it_needs_no_keras():
    """So that it starts in a moment, whatever the backend."""
    program = "import sys, common.photos.worker; print({'keras', 'h5py'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
