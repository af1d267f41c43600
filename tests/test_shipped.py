"""The models in models/shipped: small, whole, and ready in a clone as in an installed package."""

import json
import os
import re
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
from skimage import color

from common import cli, files
from common.colorize import Colorizer
from common.commands import colorize as colorize_command
from common.networks import efficientnet_lite, embeddings, h5, model_names, pretrained
from common.networks.interface import predict
from tests import drawn

FOLDER = model_names.shipped().resolve()
COLORIZERS = ("wombat", "wombat-vivid", "koala", "feup", "cs230-plain")
SMALL = ("feup", "cs230-plain")  # of the reports, without an embedding
FILES = sorted(FOLDER.rglob("*.h5"))
MOST = 15_000_000  # bytes


def lightness(side):
    """L* of two drawn pictures, (2, side, side, 1) float32."""
    pictures = (color.rgb2lab(drawn.picture(seed, side))[..., :1] for seed in (1, 2))
    return np.stack(list(pictures)).astype(np.float32)


L = lightness(256)
BARE = """
import json, pathlib, sys
import keras, numpy as np
assert not any(name.startswith(("common", "koala", "wombat")) for name in sys.modules)
for path in json.loads(sys.argv[1]):
    model = keras.models.load_model(path, compile=False)
    inputs = {tensor.name: tensor.shape for tensor in model.inputs}
    rng = np.random.default_rng(0)
    if "l" in inputs:
        given = {"l": np.load(f"l-{inputs['l'][1]}.npy")}
        if "embedding" in inputs:
            given["embedding"] = rng.normal(size=(2, 1000)).astype("float32")
    else:
        given = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
    np.save(pathlib.Path(path).stem, model.predict(given, verbose=0))
"""


def mantissa_bits(values):
    """The most bits of float32's mantissa that any of the values uses."""
    used = int(np.bitwise_or.reduce(values.view(np.uint32).ravel())) & ((1 << 23) - 1)
    return 24 - (used & -used).bit_length() if used else 0


def weights_of(path):
    places: list[str] = []
    with h5py.File(path) as file:
        file.visit(places.append)
        return [file[place][()] for place in places if isinstance(file[place], h5py.Dataset)]


def test_these_models_come_with_the_library():
    assert {path.stem for path in model_names.available(FOLDER)} == set(COLORIZERS)
    assert [path.parent.name for path in FILES].count("embeddings") == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_small_and_its_weights_as_short_as_it_says(path):
    assert path.stat().st_size <= MOST
    bits = h5.metadata(path).get("mantissa_bits", 10)  # an embedding network has no metadata
    arrays = [each for each in weights_of(path) if each.dtype == np.float32]
    assert arrays and max(map(mantissa_bits, arrays)) <= bits


@pytest.mark.slow
def test_each_loads_with_keras_alone_in_an_empty_folder(tmp_path):
    """One process for all, which takes seconds to start; the answers are those of our loader."""
    models = {name: h5.load(FOLDER / f"{name}.h5") for name in COLORIZERS}
    given = {name: lightness(model.input["l"].shape[1]) for name, model in models.items()}
    for l in given.values():
        np.save(tmp_path / f"l-{l.shape[1]}.npy", l)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", BARE, json.dumps(list(map(str, FILES)))],
        cwd=tmp_path,
        check=True,
        env=environment,
    )
    embedding = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    for name, model in models.items():
        bare = np.load(tmp_path / f"{name}.npy")
        l = given[name]
        assert bare.shape == (*l.shape[:3], 2) and np.isfinite(bare).all()
        ours = predict(model, {"l": l, "embedding": embedding})
        assert bare == pytest.approx(ours, abs=0.01)  # float32, compiled by other functions
    (network,) = (path for path in FILES if path.parent.name == "embeddings")
    assert np.load(tmp_path / f"{network.stem}.npy").shape == (2, 1000)


def test_no_normalisation_is_left_to_fold_in_wombat():
    kinds = {type(layer).__name__ for layer in h5.load(FOLDER / "wombat.h5")._flatten_layers()}
    assert "Conv2D" in kinds and "BatchNormalization" not in kinds


# --- what each gives ------------------------------------------------------------------------------


def test_the_two_wombats_are_the_ends_of_one_dial():
    faithful, vivid = (Colorizer(FOLDER / f"{name}.h5") for name in COLORIZERS[:2])
    assert (faithful.dial.default, vivid.dial.default) == (0.0, 1.0)
    ends = [each.predict_ab(L) for each in (faithful, vivid)]
    assert np.abs(ends[0] - ends[1]).max() > 1
    # The same layers with the same weights; the graphs are compiled one by one.
    assert faithful.turned(vivid=1.0).predict_ab(L) == pytest.approx(ends[1], abs=0.01)
    assert vivid.turned(vivid=0.0).predict_ab(L) == pytest.approx(ends[0], abs=0.01)


def test_koalas_embedding_is_the_one_beside_it(tmp_path, monkeypatch):
    """Found without a download, an installed package or a folder models/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMBEDDING_WEIGHTS", raising=False)

    def never(*arguments, **options):
        raise AssertionError("a download, or an installed package")

    monkeypatch.setattr(pretrained, "fetch", never)
    monkeypatch.setattr(efficientnet_lite, "packaged", never)
    about = h5.metadata(FOLDER / "koala.h5")["embedding"]
    network, sha256 = about["network"], about["sha256"]
    assert (FOLDER / "embeddings" / f"{network}-{sha256[:12]}.h5").is_file()
    koala = Colorizer("koala")
    assert koala.embedder.sha256 == sha256 == embeddings.find(about, folder=FOLDER).sha256
    ab = koala.predict_ab(L)
    assert ab.shape == (2, 256, 256, 2) and np.abs(ab).mean() > 1


@pytest.mark.parametrize("name", SMALL)
def test_a_small_one_needs_nothing_beside_it(name):
    about = h5.metadata(FOLDER / f"{name}.h5")
    assert about["embedding"] is None
    ab = Colorizer(name).predict_ab(lightness(about["image_size"]))
    assert np.abs(ab).mean() > 1


def test_it_colours_a_photo_and_says_by_which_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    grey = np.rint(255 * color.rgb2gray(drawn.picture(3, 90, 120))).astype(np.uint8)
    cv2.imwrite("photo.png", grey)
    assert cli.run(colorize_command.main, ["--in", "photo.png", "--isolate=no"]) == 0
    out, err = capsys.readouterr()
    assert "coloured/photo.png" in out and f"model: {FOLDER / 'wombat.h5'}" in out + err
    coloured = color.rgb2lab(cv2.imread("coloured/photo.png")[..., ::-1])
    assert np.abs(coloured[..., 1:]).mean() > 1
    assert np.abs(coloured[..., 0] - color.rgb2lab(np.dstack([grey] * 3))[..., 0]).max() < 1


# --- what is written of them ----------------------------------------------------------------------


def test_the_card_has_the_hash_of_every_file():
    """`sha256sum *.h5 */*.h5` in the folder."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  (\S+\.h5)", card)}
    assert listed == {path.relative_to(FOLDER).as_posix(): files.sha256(path) for path in FILES}


def test_the_terms_are_those_of_what_the_models_are_made_of():
    terms = (FOLDER / "LICENSE.md").read_text(encoding="utf-8")
    assert "Apache License, Version 2.0" in terms and "EfficientNet-Lite" in terms
