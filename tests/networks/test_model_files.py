"""What a file is that is no model, with the way out."""

import pickle
import subprocess
import sys
import zipfile

import h5py
import keras
import pytest

from common.cli import UserError
from common.networks import h5, model_names
from tests import drawn


def _zip(*names):
    def make(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"")

    return make


def _keras(path):
    drawn.build_model(drawn.Config()).save(path.with_suffix(".keras"))
    path.with_suffix(".keras").rename(path)


def _legacy_weights(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1"]


def _half(path):
    content = drawn.exported(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FILES = {
    "lfs": (lambda path: path.write_bytes(POINTER), "Git LFS pointer.*git lfs pull"),
    "empty": (lambda path: path.write_bytes(b""), "is empty.*download it again"),
    "half": (_half, "is incomplete.*download it again"),
    "keras": (_keras, r"\.keras format.*load_model.*save\('m.h5'\)"),
    "torch": (_zip("archive/data.pkl", "archive/version"), "file of PyTorch.*model.save"),
    "old torch": (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "file of PyTorch"),
    "zip": (_zip("koala.h5"), "ZIP archive. Unpack it"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08\x00"), "is compressed. Unpack it"),
    "onnx": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch"), "ONNX model.*model.save"),
    "tflite": (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3\0"), "TensorFlow Lite"),
    "safetensors": (
        lambda path: path.write_bytes(b"\x40" + b"\0" * 7 + b'{"w":{}}'),
        "safetensors",
    ),
    "web page": (lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>"), "web page. Download"),
    "json": (lambda path: path.write_bytes(b'{"class_name": "Functional"}'), "JSON text"),
    "text": (lambda path: path.write_bytes(b"junk"), "no HDF5 file or is damaged"),
    "weights": (_legacy_weights, "weights without their network"),
    "other": (lambda path: h5py.File(path, "w").close(), "HDF5 file of another kind"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_model_says_what_it_is(tmp_path, kind):
    make, message = FILES[kind]
    make(tmp_path / "m.h5")
    with pytest.raises(UserError, match=message) as error:
        h5.load(tmp_path / "m.h5")
    assert str(error.value).startswith(str(tmp_path / "m.h5")) and "\n" not in str(error.value)


def test_a_suffix_tells_where_the_content_does_not(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"?")
    with pytest.raises(UserError, match="is an ONNX model"):
        h5.load(tmp_path / "m.onnx")


def test_a_model_of_another_suffix_is_to_be_renamed(tmp_path):
    drawn.exported(tmp_path / "m.h5").rename(tmp_path / "m.bin")
    with pytest.raises(UserError, match="Rename it: m.h5"):
        h5.load(tmp_path / "m.bin")


@pytest.mark.parametrize(
    ("files", "message"),
    [(("saved_model.pb",), "SavedModel folder"), (("config.json", "metadata.json"), "unpacked")],
)
def test_a_folder_of_a_model_is_named(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=message):
        model_names.named(tmp_path)
    with pytest.raises(UserError, match=message):
        h5.load(tmp_path)


def test_a_model_that_another_process_writes_is_locked(tmp_path):
    path = drawn.exported(tmp_path / "m.h5")
    hold = "import sys, h5py; file = h5py.File(sys.argv[1], 'r+'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        try:
            with pytest.raises(UserError, match="is locked: another process has it open"):
                h5.load(path)
        finally:
            other.communicate(b"\n")
    assert isinstance(h5.load(path), keras.Model)
