"""Exported models: bare, in Lab units, float32, safe to load, and still the same format."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from common import seals
from common.cli import UserError
from common.networks import h5, model_names
from common.networks.interface import predict
from common.networks.precision import in_precision
from tests import drawn

GOLDEN = Path(__file__).parents[1] / "golden.h5"
BARE = """
import sys, json
import h5py, keras, numpy as np
assert not any(name.startswith(("common", "koala", "tests")) for name in sys.modules)
for name in ("plain", "fusion"):
    for options in ({}, {"compile": False}):
        model = keras.models.load_model(f"{name}.h5", **options)
        rng = np.random.default_rng(0)
        inputs = {"l": rng.uniform(0, 100, (2, 32, 32, 1)).astype("float32")}
        if len(model.inputs) == 2:
            inputs["embedding"] = rng.normal(size=(2, 1000)).astype("float32")
        ab = np.asarray(model.predict(inputs, verbose=0))
        assert ab.shape == (2, 32, 32, 2) and ab.dtype == np.float32
        assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
        np.save(f"{name}-{len(options)}.npy", ab)
"""


def test_bare_load_in_an_empty_folder(tmp_path):
    """With and without `compile=False`; one process, which takes seconds to start."""
    paths = {
        "plain": drawn.exported(tmp_path / "plain.h5"),
        "fusion": drawn.exported(tmp_path / "fusion.h5", drawn.Config(embedding="mobilenet_v2")),
    }
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", BARE], cwd=tmp_path, check=True, env=environment)
    rng = np.random.default_rng(0)
    inputs = {
        "l": rng.uniform(0, 100, (2, 32, 32, 1)).astype(np.float32),
        "embedding": rng.normal(size=(2, 1000)).astype(np.float32),
    }
    for name, path in paths.items():
        ours = predict(h5.load(path), inputs)
        for options in (0, 1):
            theirs = np.load(tmp_path / f"{name}-{options}.npy")
            assert ours == pytest.approx(theirs, abs=1e-4)  # other batch functions


@pytest.mark.parametrize("path", [GOLDEN, GOLDEN.with_name("golden-keras2.h5")])
def test_golden_models_of_keras_3_and_2_still_load_and_answer_the_same(path):
    l = np.linspace(0, 100, 16 * 16, dtype=np.float32).reshape(1, 16, 16, 1)
    with h5py.File(path) as file:
        expected = np.array(json.loads(file.attrs["expected"]), np.float32)
    ab = predict(h5.load(path), {"l": l})
    assert ab[0, ::5, ::5] == pytest.approx(expected, abs=1e-3)  # float32, |ab| up to 128
    assert h5.metadata(path).get("title") == ("golden" if path == GOLDEN else None)


def test_metadata_survives_even_when_long(tmp_path):
    network = drawn.build_model(drawn.Config())
    exported = h5.wrap(network, drawn.Config())
    h5.export(exported, tmp_path / "m.h5", {"digest": "é" * 200_000})
    metadata = h5.metadata(tmp_path / "m.h5")
    assert metadata["digest"] == "é" * 200_000
    assert metadata["versions"]["keras"] == keras.__version__


@pytest.mark.parametrize(
    "wrong",
    [
        '{"image_size": "large"}',
        '{"image_size": 1e300}',
        '{"image_size": 32.5}',
        '{"image_size": -1}',
        '{"cut": ["centre"]}',
        '{"cut": "round"}',
        '{"data": "photos"}',
        '{"embedding": {"network": "mobilenet_v2"}}',
        '{"dial": 7}',
        '{"dial": {"faithful": 1}}',
        '["a list"]',
        "{",
        b"\xff",
    ],
)
def test_metadata_without_sense_are_one_line(tmp_path, wrong):
    path = drawn.exported(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[h5.ATTRIBUTE] = np.bytes_(wrong) if isinstance(wrong, bytes) else wrong
    with pytest.raises(UserError, match=r"m\.h5 is damaged: its metadata cannot be read"):
        h5.metadata(path)


def test_metadata_that_hdf5_cannot_read_are_one_line(tmp_path):
    """A long text lies in a heap of its own, which begins with GCOL."""
    path = drawn.exported(tmp_path / "m.h5")
    with h5py.File(path, "r+"):
        pass  # which takes the seal off
    path.write_bytes(path.read_bytes().replace(b"GCOL", b"gone"))
    with pytest.raises(UserError, match=r"m\.h5 is damaged: its metadata cannot be read"):
        h5.metadata(path)


def test_a_network_that_hdf5_cannot_read_is_one_line(tmp_path):
    """The attributes' type, a text of characters of one byte, is said to have larger ones."""
    path = drawn.exported(tmp_path / "m.h5")
    with h5py.File(path, "r+"):
        pass
    character = b"\x01\0\0%b\0\0\x08\0"
    path.write_bytes(path.read_bytes().replace(character % b"\0", character % b"\x44"))
    with pytest.raises(UserError, match=r"m\.h5 cannot be loaded"):
        h5.load(path)


def test_a_network_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    network = in_precision(drawn.build_model(drawn.Config()), "mixed_bfloat16")
    policies = [layer.dtype_policy.name for layer in network.layers if layer.weights]
    assert policies == ["mixed_bfloat16"] * 2 + ["float32"]  # the last layer stays exact
    h5.export(h5.wrap(network, drawn.Config()), tmp_path / "m.h5", {})
    loaded = h5.load(tmp_path / "m.h5")
    assert {layer.dtype_policy.name for layer in loaded._flatten_layers()} == {"float32"}
    for mine, theirs in zip(network.get_weights(), loaded.get_weights(), strict=True):
        assert (mine == theirs).all()


@pytest.mark.bfloat16
def test_loading_in_bfloat16_changes_ab_a_little_and_keeps_l_exact(tmp_path):
    path = drawn.exported(tmp_path / "m.h5")
    l = np.random.default_rng(0).uniform(0, 100, (2, 32, 32, 1)).astype(np.float32)
    exact = predict(h5.load(path), {"l": l})
    mixed = predict(h5.load(path, "mixed_bfloat16"), {"l": l})
    assert mixed.dtype == np.float32
    assert 0 < np.abs(exact - mixed).max() < 5 and np.abs(exact).max() > 5


def _lambda(path):
    x = keras.Input((8, 8, 1), name="l")
    y = layers.Lambda(lambda t: t)(layers.Conv2D(2, 1)(x))
    keras.Model({"l": x}, y).save(path)


def _custom(path):
    @keras.saving.register_keras_serializable("mine")
    class Own(layers.Layer):
        def call(self, x):
            return x

    x = keras.Input((8, 8, 1), name="l")
    keras.Model({"l": x}, Own()(layers.Conv2D(2, 1)(x))).save(path)


def _named_like_ours(path):
    """A class of somebody's module that borrows the name of a built-in layer."""
    drawn.exported(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["module"] = "os"
        file.attrs["model_config"] = json.dumps(config)


def _model(inputs, outputs=lambda y: y, channels=2):
    """A function that saves a convolution of the first of the inputs, {name: shape}."""

    def save(path):
        tensors = {name: keras.Input(shape, name=name) for name, shape in inputs.items()}
        first, *others = tensors.values()
        y = layers.Conv2D(channels, 1)(first)
        for other in others:
            y = layers.Add()([y, layers.Reshape((1, 1, 2))(layers.Dense(2)(other))])
        keras.Model(tensors, outputs(y)).save(path)

    return save


def _weights(path):
    drawn.build_model(drawn.Config()).save_weights(path.with_name("m.weights.h5"))
    path.with_name("m.weights.h5").rename(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_lambda, "lambda holds Lambda, which is Python code"),
        (_custom, "holds mine>Own, which is none of"),
        (_named_like_ours, "holds Rescaling of os, which is none of"),
        (_model({"x": (8, 8, 1)}), "is no colorizer"),
        (_model({"l": (8, 8, 3)}), "is no colorizer"),
        (_model({"l": (8, 16, 1)}), "is no colorizer"),
        (_model({"l": (8, 8, 1)}, channels=3), "is no colorizer"),
        (_model({"l": (8, 8, 1)}, lambda y: {"colour": y}), "is no colorizer"),
        (_model({"l": (8, 8, 1)}, lambda y: [y, y]), "is no colorizer"),
        (_model({"l": (8, 8, 1), "hint": (3,)}), "is no colorizer"),
        (_weights, "holds weights without their network"),
        (lambda path: path.write_bytes(b"junk"), "no HDF5 file"),
        (lambda path: None, "There is no model"),
    ],
)
def test_what_is_not_a_safe_colorizer_is_refused(tmp_path, make, message):
    make(tmp_path / "m.h5")
    with pytest.raises(UserError, match=message):
        h5.load(tmp_path / "m.h5")


@pytest.mark.usefixtures("nothing_shipped")
def test_available_and_named(tmp_path):
    drawn.exported(tmp_path / "b.h5")
    drawn.exported(tmp_path / "a.h5")
    (tmp_path / "x.weights.h5").write_bytes(b"")
    assert [path.name for path in model_names.available(tmp_path)] == ["a.h5", "b.h5"]
    assert (
        model_names.named("a", tmp_path)
        == model_names.named(tmp_path / "a.h5")
        == tmp_path / "a.h5"
    )
    with pytest.raises(UserError, match="There is no model c; .* holds a, b. Train one"):
        model_names.named("c", tmp_path)


def test_a_name_is_of_a_trained_model_before_a_shipped_one(tmp_path, monkeypatch):
    trained, shipped = tmp_path / "models", tmp_path / "shipped"
    monkeypatch.setattr(model_names, "shipped", lambda: shipped)
    with pytest.raises(UserError, match="There is no model wombat; .* no model. Train one"):
        model_names.named(None, trained)
    for path in (trained / "a.h5", shipped / "wombat.h5"):
        drawn.exported(path)
    assert (
        model_names.named(None, trained)
        == model_names.named("wombat", trained)
        == shipped / "wombat.h5"
    )
    with pytest.raises(UserError, match="no model b; .* holds a, and shipped are wombat"):
        model_names.named("b", trained)
    with pytest.raises(UserError, match="no model wombta; .* Did you mean wombat?"):
        model_names.named("wombta", trained)
    drawn.exported(trained / "wombat.h5")
    assert model_names.named(None, trained) == trained / "wombat.h5"


def test_without_a_shipped_model_the_only_one_is_taken_and_of_several_none(tmp_path, monkeypatch):
    monkeypatch.setattr(model_names, "shipped", lambda: tmp_path / "none")
    drawn.exported(tmp_path / "models" / "a.h5")
    assert model_names.named(None, tmp_path / "models") == tmp_path / "models" / "a.h5"
    drawn.exported(tmp_path / "models" / "b.h5")
    with pytest.raises(UserError, match="holds a, b. Name one: MODEL=name"):
        model_names.named(None, tmp_path / "models")


def test_arguments_at_their_defaults_that_older_versions_do_not_know_are_left_out(tmp_path):
    l = keras.Input((8, 8, 1), name="l")
    x = layers.BatchNormalization()(layers.Conv2D(4, 1)(l))
    model = keras.Model({"l": l}, layers.Dense(2, name="ab")(x))
    h5.save(model, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        text = file.attrs["model_config"]
    assert not [name for name in h5.NEWER if f'"{name}"' in text]
    loaded = keras.models.load_model(tmp_path / "m.h5", compile=False)
    assert loaded.get_config() == model.get_config()

    kept = json.dumps({"config": {"renorm": True, "renorm_momentum": 0.9, "input_axes": [0]}})
    assert json.loads(h5.for_older(kept)) == json.loads(kept)


def test_an_export_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = drawn.exported(tmp_path / "m.h5")
    before = path.read_bytes()

    def fail(path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seals, "seal", fail)
    with pytest.raises(OSError, match="No space"):
        drawn.exported(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def test_fusion_needs_a_fixed_size():
    from common.networks.layers import fuse

    with pytest.raises(ValueError, match="fixed height and width.*Received.*image_size"):
        fuse(keras.Input((None, None, 4)), keras.Input((10,)))


def test_no_flipped_byte_of_an_export_is_unseen(tmp_path):
    """In the header, the names, the weights, the gaps between them, the seal."""
    path = drawn.exported(tmp_path / "m.h5")
    whole, unseen = path.read_bytes(), []
    places = np.random.default_rng(0).integers(len(whole), size=40)
    for at in [0, 8, *places, len(whole) - 1]:
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with contextlib.suppress(UserError):
            h5.metadata(path)
            unseen.append(at)
    assert not unseen
    path.write_bytes(whole)
    assert h5.metadata(path)
