"""The Colorizer and its command, on drawn photos and tiny models built here."""

import builtins
import csv
import errno
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import h5py
import keras
import numpy as np
import pytest
import tifffile
from keras import layers
from PIL import Image
from skimage.color import rgb2lab

from common import cli, files, photos
from common.color import lab
from common.colorize import Colorizer
from common.colorize.report import REPORT
from common.commands import colorize as colorize_command
from common.networks import embeddings, h5
from tests import drawn
from tests.photos import files as drawn_files

SIZE = 32
RGB = drawn.picture(11, 90, 130)


def save_model(path, strength=70.0, kernel=None):
    """A colorizer without metadata: waves of ab, up to `strength`, that follow the lightness."""
    lightness = keras.Input((SIZE, SIZE, 1), name="l")
    waves = layers.Conv2D(2, 5, padding="same", activation="tanh", name="waves")
    x = layers.Rescaling(strength)(waves(layers.Rescaling(1 / 25, -2.0)(lightness)))
    model = keras.Model({"l": lightness}, x)
    rng = np.random.default_rng(0)
    waves.set_weights(
        [rng.normal(0, 0.3, (5, 5, 1, 2)) if kernel is None else kernel, np.array([0.3, 0.5])]
    )
    model.save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "waves.h5")


@pytest.fixture(scope="module")
def colorizer(model):
    return Colorizer(model)


def lightness(pixels):
    """skimage's L* of the colours of a picture of 8 or 16 bits."""
    values = pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    return rgb2lab(values / np.iinfo(pixels.dtype).max)[..., 0]


def chroma(pixels):
    ab = rgb2lab(pixels[..., :3] / np.iinfo(pixels.dtype).max)[..., 1:]
    return np.hypot(ab[..., 0], ab[..., 1])


# --- The Colorizer --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 40000), (7, 7), (33, 250)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["grey", "rgb", "rgba"])
def test_any_size_keeps_size_depth_lightness_and_alpha(colorizer, shape, dtype, channels):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, np.iinfo(dtype).max + 1, (*shape, *channels), dtype)
    before = picture.copy()
    result = colorizer(picture)
    assert result.shape == (*shape, 4 if channels == (4,) else 3) and result.dtype == dtype
    np.testing.assert_array_equal(picture, before)
    limit = 0.5 if dtype == np.uint8 else 0.1  # without rounding, what the gamut's table leaves
    assert np.abs(lightness(result) - lightness(picture)).max() < limit
    if channels == (4,):
        np.testing.assert_array_equal(result[..., 3], picture[..., 3])


@pytest.mark.parametrize("strength", [20, 300])
def test_lightness_holds_far_out_of_gamut(tmp_path, strength):
    colorizer = Colorizer(save_model(tmp_path / "strong.h5", strength))
    grey = np.tile(np.arange(256, dtype=np.uint8), (300, 1))
    for result in (colorizer(grey), colorizer(grey, in_place=True)):
        assert np.abs(lightness(result) - lightness(grey)).max() < 0.5
        assert np.median(chroma(result)) > 10


def test_sixteen_bits_stay_sixteen(colorizer):
    grey = (np.arange(90 * 130, dtype=np.uint16) * 5).reshape(90, 130)
    result = colorizer(grey)
    levels = np.unique(np.round(lightness(result), 3))
    assert len(levels) > 5000  # 8 bits have 256
    assert np.abs(lightness(result) - lightness(grey)).max() < 0.02


def test_the_networks_colours_arrive(colorizer):
    small = np.full((1, SIZE, SIZE, 1), 60, np.float32)
    ab = colorizer.predict_ab(small)
    assert ab.shape == (1, SIZE, SIZE, 2)
    grey = np.full((200, 300), 145, np.uint8)  # L* of 60.1
    result = rgb2lab(colorizer(grey))[100, 150, 1:]
    np.testing.assert_allclose(result, ab[0, SIZE // 2, SIZE // 2], atol=1.0)


def test_a_colour_picture_is_coloured_from_its_lightness(colorizer):
    colour = RGB.astype(np.uint16) * 257
    grey = np.round(65535 * lab.l_to_grey(lab.rgb_to_l(colour))).astype(np.uint16)
    # 16-bit rounding of L*, which the steepest of the colours enlarge
    np.testing.assert_allclose(colorizer(colour).astype(int), colorizer(grey), atol=65)


@pytest.mark.parametrize("cut", ["squash", "letterbox"])
@pytest.mark.parametrize("picture", [RGB, RGB.astype(np.uint16) * 257], ids=["8 bit", "16 bit"])
def test_bands_meet_without_a_seam(model, picture, cut):
    colorizers = Colorizer(model), Colorizer(model, band=5 * picture.shape[1])
    for each in colorizers:
        each.cut = cut
    whole, bands = (each(picture) for each in colorizers)
    # The order of float32 sums may turn a rounding, nothing more.
    np.testing.assert_allclose(bands.astype(int), whole, atol=1 if picture.dtype == np.uint8 else 8)
    assert (bands != whole).mean() < (1e-3 if picture.dtype == np.uint8 else 0.2)


def test_what_is_transparent_does_not_change_the_rest(colorizer):
    alpha = np.zeros((90, 130), np.uint8)
    alpha[:, 40:] = 255
    hidden = np.dstack([RGB, alpha])
    other = hidden.copy()
    other[:, :40, :3] = 255 - other[:, :40, :3]
    np.testing.assert_array_equal(colorizer(hidden)[:, 40:], colorizer(other)[:, 40:])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), np.float32), "uint8"),
        (np.zeros((4, 4, 3), np.int64), "uint8"),
        ([[1, 2]], "uint8"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
    ],
)
def test_other_arrays_are_refused(colorizer, array, words):
    with pytest.raises(ValueError, match=words):
        colorizer(array)


@pytest.mark.parametrize("picture", [RGB, RGB[..., 0], np.dstack([RGB, RGB[..., :1]])])
def test_arrays_as_tiff_readers_return_them(colorizer, picture):
    deep = picture.astype(np.uint16) * 257
    result = colorizer(deep.astype(">u2"))
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, colorizer(deep))


def test_one_channel_and_one_bit_are_grey(colorizer):
    grey = RGB[..., 0]
    np.testing.assert_array_equal(colorizer(grey[..., None]), colorizer(grey))
    bits = grey > 100
    np.testing.assert_array_equal(colorizer(bits), colorizer(np.where(bits, 255, 0).astype("u1")))


def test_a_read_only_array_stays(colorizer):
    fixed = RGB.copy()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(colorizer(fixed, in_place=True), colorizer(RGB))
    np.testing.assert_array_equal(fixed, RGB)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_pictures_colours_depend_on_no_neighbour_and_no_number(model, batch):
    colorizer = Colorizer(model, batch=batch)
    small = np.random.default_rng(0).uniform(0, 100, (7, SIZE, SIZE, 1)).astype(np.float32)
    whole = colorizer.predict_ab(small)
    for start, stop in ((0, 1), (2, 3), (3, 7), (1, 6)):
        np.testing.assert_array_equal(colorizer.predict_ab(small[start:stop]), whole[start:stop])


@pytest.mark.parametrize("error", [MemoryError, type("ResourceExhaustedError", (Exception,), {})])
def test_a_batch_for_which_memory_is_short_is_halved(model, monkeypatch, error):
    """Also as TensorFlow says it; a single picture for which it is short is a MemoryError."""
    colorizer = Colorizer(model, batch=4)
    small = np.random.default_rng(0).uniform(0, 100, (5, SIZE, SIZE, 1)).astype(np.float32)
    predict, tried, most = colorizer._network.predict, [], 2

    def short(batch, **options):
        tried.append(len(batch["l"]))
        if tried[-1] > most:
            raise error
        return predict(batch, **options)

    monkeypatch.setattr(colorizer._network, "predict", short)
    halved = colorizer.predict_ab(small)
    assert tried == [4, 2, 2, 2]
    np.testing.assert_array_equal(halved, Colorizer(model, batch=2).predict_ab(small))
    most = 0
    with pytest.raises(MemoryError):
        colorizer.predict_ab(small)


def test_a_model_of_an_earlier_version_colours():
    result = Colorizer(Path(__file__).parents[1] / "golden.h5")(RGB)
    assert np.abs(lightness(result) - lightness(RGB)).max() < 0.5


def test_nan_is_an_error_and_not_a_grey_picture(tmp_path):
    broken = Colorizer(save_model(tmp_path / "nan.h5", kernel=np.full((5, 5, 1, 2), np.nan)))
    with pytest.raises(cli.UserError, match="NaN"):
        broken(RGB)


def test_a_layer_that_takes_no_picture_is_one_line(tmp_path):
    path = save_model(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        network = json.loads(file.attrs["model_config"])
        (waves,) = [each for each in network["config"]["layers"] if each["class_name"] == "Conv2D"]
        waves["config"]["dilation_rate"] = [10**9, 10**9]
        file.attrs["model_config"] = json.dumps(network)
    with pytest.raises(cli.UserError, match="the model cannot be run"):
        Colorizer(path)(RGB)


def test_a_fusion_model_finds_its_embedding(tmp_path):
    embedder = embeddings.load("mobilenet_v2", "random")
    path = drawn.exported(
        tmp_path / "fusion.h5", drawn.Config(embedding="mobilenet_v2"), embedding=embedder.metadata
    )
    fusion = Colorizer(path)
    assert fusion.needs_embedding and (fusion.size, fusion.cut) == (32, "squash")
    small = np.random.default_rng(0).uniform(0, 100, (2, 32, 32, 1)).astype(np.float32)
    given = fusion.predict_ab(small, embedder(small))
    np.testing.assert_allclose(fusion.predict_ab(small), given, atol=1e-4)
    assert not np.allclose(given, fusion.predict_ab(small, np.ones((2, 1000), np.float32)))
    assert np.abs(lightness(fusion(RGB)) - lightness(RGB)).max() < 0.5


def test_the_embedding_is_of_the_photo_where_the_model_was_trained_on_such(tmp_path):
    """At the embedding network's own size, not of the small picture that the model colours."""
    embedder = embeddings.load("mobilenet_v2", "random")
    fine = np.random.default_rng(0).integers(0, 256, (448, 448), np.uint8)

    def model(name, **more):
        return drawn.exported(
            tmp_path / f"{name}.h5",
            drawn.Config(embedding="mobilenet_v2"),
            embedding={**embedder.metadata, **more},
        )

    seen = []

    def watched(path):
        colorizer = Colorizer(path)
        colorizer.embedder = lambda l, **_: seen.append(l) or embedder(l)
        colorizer.embedder.size = embedder.size
        colorizer(fine)
        return seen.pop()

    # Area averaging of 2 x 2 pixels, and of 14 x 14, in L*.
    l = lab.grey_to_l(fine)
    photo, picture = watched(model("photo", **{"from": "photo"})), watched(model("picture"))
    expected = l.reshape(224, 2, 224, 2).mean((1, 3))
    np.testing.assert_allclose(photo[0, ..., 0], expected, atol=1e-3)
    expected = l.reshape(32, 14, 32, 14).mean((1, 3))
    np.testing.assert_allclose(picture[0, ..., 0], expected, atol=1e-3)


def test_a_fusion_model_without_its_weights_is_refused(tmp_path):
    metadata = {"network": "mobilenet_v2", "weights": "mine.h5", "sha256": "0" * 64}
    path = drawn.exported(
        tmp_path / "fusion.h5", drawn.Config(embedding="mobilenet_v2"), embedding=metadata
    )
    with pytest.raises(cli.UserError, match="EMBEDDING_WEIGHTS"):
        Colorizer(path)(RGB)
    path = drawn.exported(tmp_path / "mute.h5", drawn.Config(embedding="mobilenet_v2"))
    with pytest.raises(cli.UserError, match="embedding"):
        Colorizer(path)


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture
def command(model, capsys):
    """Run the command: its exit code, output and errors."""

    def run(source, out, *options):
        code = cli.run(
            colorize_command.main,
            [
                *("--in", str(source), "--out", str(out), "--model", str(model)),
                *("--isolate=no", *map(str, options)),
            ],
        )
        return code, *capsys.readouterr()

    return run


def save(path, picture=RGB, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def report(out):
    with open(out / REPORT, encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def everything(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_model_that_cannot_be_loaded_leaves_no_folder(tmp_path, command):
    save(tmp_path / "photos" / "deeper" / "photo.png")
    damaged = tmp_path / "damaged.h5"
    damaged.write_text("no model")
    for name in ("missing", damaged):
        code, _, errors = command(tmp_path / "photos", tmp_path / "a" / "b", f"--model={name}")
        assert code == 2 and str(name) in errors and errors.count("\n") <= 2  # a bar and a line
        assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    assert command(tmp_path / "photos", tmp_path / "mine" / "b", "--model=missing")[0] == 2
    assert not any((tmp_path / "mine").iterdir())


def test_one_photo(tmp_path, model, command):
    source = save(tmp_path / "my photo.v2 é.png")
    code, output, errors = command(source, tmp_path / "out")
    assert (code, errors) == (0, "") and "my photo.v2 é.png" in output
    assert output.startswith(f"model: {model}, by ")
    result = np.asarray(Image.open(tmp_path / "out" / source.name))
    assert np.abs(lightness(result) - lightness(RGB)).max() < 0.5
    assert chroma(result).mean() > 5
    assert list(everything(tmp_path / "out")) == [source.name]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".tif"])
def test_formats_are_kept(tmp_path, command, suffix):
    source = save(tmp_path / f"photo{suffix}")
    assert command(source, tmp_path / "out")[0] == 0
    with Image.open(source) as before, Image.open(tmp_path / "out" / source.name) as after:
        assert (after.format, after.size, after.mode) == (before.format, before.size, "RGB")
        difference = lightness(np.asarray(after)) - lightness(np.asarray(before))
    assert np.abs(difference).mean() < 0.8  # lossy formats round on their own
    if suffix in (".bmp", ".tif"):
        assert np.abs(difference).max() < 0.5


def test_pages_of_sixteen_bits(tmp_path, command):
    pages = [(RGB[..., i].astype(np.uint16) * 257) ^ 0x35 for i in range(2)]
    with tifffile.TiffWriter(tmp_path / "scan.tif") as writer:
        for page in pages:
            writer.write(
                65535 - page, photometric="miniswhite", resolution=(600, 600), resolutionunit="INCH"
            )
    assert command(tmp_path / "scan.tif", tmp_path / "out")[0] == 0
    with tifffile.TiffFile(tmp_path / "out/scan.tif") as file:
        for page, result in zip(pages, file.pages, strict=True):
            assert result.dtype == np.uint16 and result.tags["XResolution"].value == (600, 1)
            assert np.abs(lightness(result.asarray()) - lightness(page)).max() < 0.02


def test_a_format_that_is_not_written_becomes_png(tmp_path, command):
    save(tmp_path / "in/photo.gif")
    save(tmp_path / "in/photo.gif.png")
    code, output, _ = command(tmp_path / "in/photo.gif", tmp_path / "single")
    assert code == 0 and "photo.gif.png" in output and "PNG out" in output
    assert command(tmp_path / "in", tmp_path / "out")[0] == 0
    assert set(everything(tmp_path / "out")) == {
        "photo.gif.png",
        "photo.gif.png.png",
        REPORT,
    }
    assert "PNG out" in report(tmp_path / "out")["photo.gif"]["reason"]


NAMES = [
    "a.jpg",
    "nested/deep.er/b.v1.final.png",
    "ö/ñandú é.webp",
    "写真/祖父 1936.tif",
    "no_suffix",
    "'quoted' $HOME \"x\".png",
]


def folder_of_photos(folder):
    for index, name in enumerate(NAMES):
        save(folder / name, drawn.picture(index, 20, 30), format=None if "." in name else "PNG")
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.jpg").write_text("no photo")
    return folder


def test_a_folder(tmp_path, command):
    source, out = folder_of_photos(tmp_path / "in"), tmp_path / "out"
    (source / "broken.jpg").write_bytes((source / "a.jpg").read_bytes()[:400])
    (source / "empty.png").write_bytes(b"")
    code, output, errors = command(source, out)
    assert code == 1
    assert "6 coloured, 2 failed, 1 not a photo" in output
    assert "failed: broken.jpg: " in errors and "failed: empty.png: " in errors
    rows = report(out)
    assert set(rows) == {*NAMES, "broken.jpg", "empty.png", "notes.txt"}
    assert (rows["a.jpg"]["width"], rows["a.jpg"]["height"]) == ("30", "20")
    assert rows["broken.jpg"]["result"] == "failed" and rows["broken.jpg"]["reason"]
    assert rows["notes.txt"]["result"] == "not a photo"
    assert rows["a.jpg"]["model"].endswith(".h5, by Keras") and not rows["broken.jpg"]["model"]
    assert set(everything(out)) == {*NAMES, REPORT}
    for name in NAMES:
        with Image.open(out / name) as result:
            assert result.size == (30, 20)


def test_the_report_of_a_folder_with_one_of_each_kind(tmp_path, command, monkeypatch):
    source, out = tmp_path / "in", tmp_path / "out"
    whole = save(source / "photo.jpg").read_bytes()
    save(source / f"{'é' * 120}{'x' * 11}.png")  # 255 bytes, the most that a file system takes
    save(source / f"{'y' * 251}.gif")  # its result would have .png besides
    (source / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "empty.png").touch()
    (source / "notes.txt").write_text("no photo")
    (source / ".hidden.jpg").write_bytes(whole)
    raw = [(50706, "B", 4, b"\1\4\0\0", True)]  # DNG's version, by which it is known
    tifffile.imwrite(source / "scan.dng", RGB, photometric="rgb", extratags=raw)
    (source / "link.jpg").symlink_to("photo.jpg")
    (source / "broken.jpg").symlink_to("nothing.jpg")
    (source / "loop.jpg").symlink_to("loop.jpg")
    (source / "linked").symlink_to(tmp_path)
    os.mkfifo(source / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(source)  # a socket's path must be short
        server.bind("socket.jpg")
    save(source / "lost+found/inside.png")
    save(source / "gone/photo.png")
    save(source / "closed.png")
    save(source / "in the way.png")
    (out / "in the way.png").mkdir(parents=True)
    save(source / "crowded/photo.png")
    (out / "crowded").touch()
    _without_permission(monkeypatch, "lost+found", "closed.png")
    found = photos.find
    monkeypatch.setattr(
        photos, "find", lambda *paths: [found(*paths), shutil.rmtree(source / "gone")][0]
    )
    code, output, errors = command(source, out)
    expected = {
        "photo.jpg": ("coloured", ""),
        "link.jpg": ("coloured", ""),
        f"{'é' * 120}{'x' * 11}.png": ("coloured", ""),
        f"{'y' * 251}.gif": ("failed", "name is too long"),
        "cut.jpg": ("failed", "damaged"),
        "empty.png": ("failed", "not a picture"),
        "scan.dng": ("failed", "raw"),
        "closed.png": ("failed", "permission"),
        "gone/photo.png": ("failed", "no such file"),
        "in the way.png": ("failed", "a folder stands where a file"),
        "crowded/photo.png": ("failed", "a file stands where a folder"),
        "notes.txt": ("not a photo", ""),
        "broken.jpg": ("left out", "broken link"),
        "loop.jpg": ("left out", "leads back to itself"),
        "linked": ("left out", "link to a folder"),
        "pipe.png": ("left out", "pipe"),
        "socket.jpg": ("left out", "socket"),
        "lost+found": ("left out", "permission"),
    }
    rows = report(out)
    assert {name: row["result"] for name, row in rows.items()} == {
        name: result for name, (result, _) in expected.items()
    }
    for name, (_, words) in expected.items():
        assert words in rows[name]["reason"]
    assert code == 1 and "3 coloured, 8 failed, 6 left out, 1 not a photo" in output
    assert errors.count("\nfailed: ") == 8 and "Traceback" not in errors
    coloured = {name for name, (result, _) in expected.items() if result == "coloured"}
    assert set(everything(out)) == {*coloured, REPORT, "crowded"}
    assert not list(out.rglob(".*"))


def test_the_report_of_photos_of_many_sorts(tmp_path, command):
    """Each is coloured, with a note where something is left out or unusual, or failed with why."""
    source, out, deep = tmp_path / "in", tmp_path / "out", RGB.astype(np.uint16) * 257
    turned = {"compression": "lzw", "photometric": "rgb", "extratags": [(274, "H", 1, 6, True)]}
    infrared = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    second = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1].copy())]}
    png = drawn_files.saved(RGB, "PNG")
    text = bytearray(drawn_files.chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1  # the last byte of its checksum
    kinds = {
        "turned.tif": (drawn_files.tiff(deep, **turned), "coloured", ""),
        "linear.png": (
            _with_chunk(png, drawn_files.chunk(b"gAMA", b"\0\1\x86\xa0")),
            "coloured",
            "",
        ),
        "text.png": (_with_chunk(png, text), "coloured", "wrong checksum"),
        "infrared.tif": (
            drawn_files.tiff(np.dstack([RGB, RGB[..., 0]]), **infrared),
            "coloured",
            "infrared",
        ),
        "film.gif": (drawn_files.saved(RGB, "GIF", **second), "coloured", "PNG out"),
        "stereo.mpo": (drawn_files.saved(RGB, "MPO", **second), "coloured", "the first only"),
        "cmyk.jpg": (
            drawn_files.saved(Image.fromarray(RGB).convert("CMYK"), "JPEG"),
            "coloured",
            "",
        ),
        "float.tif": (
            drawn_files.tiff(RGB.astype(np.float32), photometric="rgb"),
            "failed",
            "float32",
        ),
        "jxl.jpg": (b"\xff\x0a" + bytes(500), "failed", "JPEG XL"),
        "archive.jpg": (b"PK\3\4" + bytes(100), "failed", "not a picture"),
        "large.png": (drawn_files.saved(np.zeros((200, 600), np.uint8), "PNG"), "failed", "0.1"),
    }
    source.mkdir()
    for name, (data, *_) in kinds.items():
        (source / name).write_bytes(data)
    assert command(source, out, "--max-megapixels=0.1")[0] == 1
    rows = report(out)
    assert {name: row["result"] for name, row in rows.items()} == {
        name: result for name, (_, result, _) in kinds.items()
    }
    for name, (_, result, words) in kinds.items():
        assert words in rows[name]["reason"] and (words or not rows[name]["reason"]), name
        done = out / (name if not name.endswith("gif") else f"{name}.png")
        assert done.exists() is (result == "coloured")
    assert tifffile.imread(out / "turned.tif").shape == (130, 90, 3)  # upright


def _with_chunk(png, chunk):
    """A PNG with a further chunk behind its header."""
    return png[:33] + chunk + png[33:]


def _without_permission(monkeypatch, folder, file):
    """Deny what the system would not deny to root: a folder's names, a file's bytes."""

    def denied(function, name):
        def call(path, *rest, **options):
            if not isinstance(path, int) and Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *rest, **options)

        return call

    monkeypatch.setattr(os, "scandir", denied(os.scandir, folder))
    monkeypatch.setattr(builtins, "open", denied(open, file))


@pytest.mark.slow
def test_two_runs_share_the_photos_of_a_folder(tmp_path, model):
    source, out = tmp_path / "in", tmp_path / "out"
    for index in range(24):
        save(source / f"{index:02d}.png", drawn.picture(index, 300, 400))
    flags = ["--in", source, "--out", out, "--model", model]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "common.commands", "colorize", *flags],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outcomes = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert not any("Traceback" in errors for _, errors in outcomes)
    assert set(everything(out)) == {*everything(source), REPORT}
    coloured = [re.search(r"(\d+) coloured", output) for output, _ in outcomes]
    assert sum(int(found[1]) for found in coloured if found) == 24  # each once


def test_a_photo_that_another_run_has_is_waited_for(tmp_path, command):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        save(source / name)

    def other_run():
        with files.locked(source / "a.png"):
            started.set()
            while not (out / "b.png").exists():
                time.sleep(0.01)
            save(out / "a.png", drawn.picture(1))

    started = threading.Event()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(other_run)
        started.wait()
        assert command(source, out)[0] == 0
        other.result()
    results = [(name, row["result"]) for name, row in report(out).items()]
    assert results == [("a.png", "kept"), ("b.png", "coloured")]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_terminal_cannot_show(tmp_path, command, monkeypatch, encoding):
    name = os.fsdecode("straße № 写真 ".encode() + b"\xe9.png")  # its last letter is not UTF-8
    source = save(tmp_path / "in" / name)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)  # strict, as a terminal's is
    monkeypatch.setattr(sys, "stdout", terminal)
    assert command(source, tmp_path / "alone")[0] == 0
    assert command(source.parent, tmp_path / f"{name} out")[0] == 0
    terminal.flush()
    shown = name.encode(encoding, "replace").decode(encoding)
    lines = terminal.buffer.getvalue().decode(encoding).splitlines()
    assert [line for line in lines if not line.startswith("model: ")] == [
        str(tmp_path / "alone" / shown),
        f"1 coloured: see {tmp_path}/{shown} out/{REPORT}",
    ]


def test_warnings_of_decoders_stay_out_of_the_progress_bar(tmp_path, command, monkeypatch):
    save(tmp_path / "in/photo.png")
    opened = Image.open

    def warning(*args, **options):
        scope = {"__name__": "PIL.Image", "warnings": warnings}
        exec("warnings.warn('Palette images with transparency')", scope)
        return opened(*args, **options)

    monkeypatch.setattr(Image, "open", warning)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert command(tmp_path / "in", tmp_path / "out")[0] == 0
    assert not caught


def test_a_photos_bytes_depend_on_no_neighbour_and_no_time(tmp_path, command):
    names = ["a.png", "b.jpg", "c.webp", "d.tif", "e.bmp", "f.gif"]
    for index, name in enumerate(names):
        save(tmp_path / "in" / name, drawn.picture(index, 40, 60))
    assert command(tmp_path / "in", tmp_path / "together")[0] == 0
    time.sleep(1.1)  # the resolution of times in files
    for name in names:
        assert command(tmp_path / "in" / name, tmp_path / "alone")[0] == 0
    together = everything(tmp_path / "together")
    del together[REPORT]
    assert together == everything(tmp_path / "alone") and len(together) == len(names)


def test_started_again_it_does_only_what_is_left(tmp_path, command):
    source, out = folder_of_photos(tmp_path / "in"), tmp_path / "out"
    assert command(source, out)[0] == 0
    (out / NAMES[0]).unlink()
    (out / NAMES[1]).write_bytes(b"mine")
    before = everything(out)
    code, output, _ = command(source, out)
    assert code == 0 and "\n1 coloured, 5 kept, 1 not a photo: " in output
    after = everything(out)
    assert after[NAMES[1]] == b"mine" and NAMES[0] in after
    assert {**after, NAMES[0]: None, REPORT: None} == {
        **before,
        NAMES[0]: None,
        REPORT: None,
    }
    assert report(out)[NAMES[1]]["result"] == "kept"
    assert command(source, out, "--overwrite")[0] == 0
    assert everything(out)[NAMES[1]] != b"mine"


def test_an_existing_result_of_one_photo_stays(tmp_path, command):
    source = save(tmp_path / "photo.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.png").write_bytes(b"mine")
    code, output, _ = command(source, tmp_path / "out")
    assert code == 0 and "OVERWRITE=1" in output
    assert (tmp_path / "out/photo.png").read_bytes() == b"mine"
    assert command(source, tmp_path / "out", "--overwrite")[0] == 0
    assert Image.open(tmp_path / "out/photo.png").size == (130, 90)


def test_results_within_the_source_are_not_coloured_again(tmp_path, command):
    source = folder_of_photos(tmp_path / "in")
    for again in ((), ("--overwrite",)):
        assert command(source, source / "done/here", *again)[0] == 0
        assert len(report(source / "done/here")) == len(NAMES) + 1
        assert not (source / "done/here/done").exists()


def test_no_photo_is_ever_replaced(tmp_path, command):
    save(tmp_path / "p/q/q/x.png")
    original = save(tmp_path / "p/q/x.png", drawn.picture(5)).read_bytes()
    code, _, errors = command(tmp_path / "p/q", tmp_path / "p", "--overwrite")
    assert code == 1 and "would replace" in errors
    assert (tmp_path / "p/q/x.png").read_bytes() == original


# --- Mistakes -------------------------------------------------------------------------------------


def mistake(outcome, *words):
    code, output, errors = outcome
    assert (code, output) == (2, "") and errors.startswith("error: ") and errors.count("\n") == 1
    for word in words:
        assert word in errors
    return True


def test_a_bad_photo_alone(tmp_path, command):
    path = tmp_path / "photo.jpg"
    out = tmp_path / "out"
    whole = save(tmp_path / "whole.jpg", drawn.picture(1, 200)).read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(data)
        assert mistake(command(path, out), "photo.jpg")
    assert mistake(
        command(tmp_path / "whole.jpg", out, "--max-megapixels", 0.01), "0.01", "--max-megapixels"
    )
    assert not everything(out)


def test_wrong_folders(tmp_path, command):
    source = save(tmp_path / "in/photo.png")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert mistake(command(tmp_path / "missing", tmp_path / "out"), "missing")
    assert mistake(command(tmp_path / "empty", tmp_path / "out"), "no photo")
    assert mistake(command(source, tmp_path / "in"), "where the photos are")
    assert mistake(command(tmp_path / "in", tmp_path / "in"), "where the photos are")
    assert mistake(command(source, tmp_path / "result.png"), "folder")
    assert mistake(command(source, tmp_path / "file"), "file")
    assert mistake(command(source, tmp_path / "file/below"), "file")
    assert mistake(command(source, "/proc/none"), "no such file")  # where nobody makes a folder
    os.mkfifo(tmp_path / "pipe.png")
    assert mistake(command(tmp_path / "pipe.png", tmp_path / "out"), "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert mistake(command(tmp_path / "loop", tmp_path / "out"), "There is no")
    assert mistake(command(source, tmp_path / "loop"), "a file stands where a folder")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/all").symlink_to(tmp_path / "in")
    assert mistake(command(tmp_path / "links", tmp_path / "out"), "no photo", "not followed")


@pytest.mark.usefixtures("nothing_shipped")
def test_a_missing_model(tmp_path, command, capsys, monkeypatch):
    source = save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    save_model(Path("models/other.h5"))
    named = ["--in", str(source), "--out", "out", "--model", "koala"]
    code = cli.run(colorize_command.main, named)
    assert mistake((code, *capsys.readouterr()), "koala", "other", "make train-koala")
    assert (
        cli.run(colorize_command.main, ["--in", str(source), "--out", "out", "--model", "other"])
        == 0
    )


def test_home_is_expanded_wherever_a_path_is_given(tmp_path, command, model, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in/photo.png")
    shutil.copy(model, tmp_path / "mine.h5")
    assert command("~/in", "~/out", "--model=~/mine.h5")[0] == 0
    assert Colorizer("~/mine.h5").size == SIZE
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "mine.h5"}


def test_an_encoders_error_is_one_row(tmp_path, command, monkeypatch):
    for name in ("a.png", "b.webp", "c.png"):
        save(tmp_path / "in" / name)

    def fail(*_, **__):
        raise ValueError("too large for WebP")

    monkeypatch.setattr(Image.Image, "save", fail)
    assert command(tmp_path / "in", tmp_path / "out")[0] == 1
    rows = report(tmp_path / "out")
    assert [row["result"] for row in rows.values()] == ["coloured", "failed", "coloured"]
    assert "too large for WebP" in rows["b.webp"]["reason"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_full_disk(tmp_path, command, suffix):
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    source = save(tmp_path / f"in/photo{suffix}", picture)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # no file may grow larger
    try:
        outcomes = [command(each, tmp_path / "out") for each in (source, source.parent)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (alone, _, errors), (in_folder, _, listed) = outcomes
    assert (alone, in_folder) == (2, 1)
    assert errors.startswith(f"error: {source}: the ") and errors.count("\n") == 1
    assert f"failed: photo{suffix}: the " in listed  # file is too large, or disk full
    assert list(everything(tmp_path / "out")) == [REPORT]


def test_an_interrupt_leaves_no_half_file(tmp_path, model):
    source, out = tmp_path / "in", tmp_path / "out"
    picture = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    first = save(source / "000.png", picture)
    for index in range(1, 200):
        os.link(first, source / f"{index:03d}.png")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "common.commands.colorize",
            "--in",
            source,
            "--out",
            out,
            "--model",
            model,
        ],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        # A shell's background jobs ignore the interrupt, and so do their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130 and "Traceback" not in errors
    done = everything(out)
    assert 0 < len(done) < 200 and not list(out.glob(".*"))
    for data in done.values():
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (900, 900, 3)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("network", ["inception_resnet_v2", "mobilenet_v2"])
def test_memory_for_24_megapixels(tmp_path, network):
    from koala import CONFIGS, build_model

    config = CONFIGS["lee2021"]
    h5.export(
        h5.wrap(build_model(config), config),
        tmp_path / "koala.h5",
        {
            "image_size": config.image_size,
            "cut": config.cut,
            "embedding": embeddings.load(network, "random").metadata,
        },
    )
    small = Image.fromarray(drawn.picture(0, 400, 600))
    small.resize((6000, 4000), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg", quality=92)
    program = (
        "import sys; from common import cli; from common.commands import colorize\n"
        "print(cli.run(colorize.main, sys.argv[1:]))" + drawn.PRINT_PEAK
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "--in",
            tmp_path / "photo.jpg",
            "--out",
            tmp_path / "out",
            "--model",
            tmp_path / "koala.h5",
            "--isolate=no",  # all in the one process that is measured
        ],
        cwd=Path(__file__).parents[2],
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    code, kilobytes = map(int, done.stdout.split()[-2:])
    assert code == 0
    assert kilobytes * 1024 < 1.5e9
    with photos.read(tmp_path / "out/photo.jpg") as photo:
        assert photo.shapes == [(4000, 6000)]
