"""Models as .onnx: the same ab as Keras, without Keras, and nothing of a stranger's but numbers."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from keras import layers

from common import cli
from common.cli import UserError
from common.color.dial import Dial
from common.colorize import Colorizer
from common.commands import colorize as colorize_command
from common.commands import export as export_command
from common.exports import choice, export, extras, onnx_checks, outputs, resampling
from common.exports.onnx_network import OnnxNetwork
from common.networks import h5, model_names
from common.networks.metadata import ATTRIBUTE
from tests import drawn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = drawn.Config(faithful=(1.0, 0.0), vivid=(0.38, 0.7), export_both=True)
L = np.random.default_rng(0).uniform(0, 100, (3, 32, 32, 1)).astype(np.float32)
BLOCKED = """
import sys
sys.modules["keras"] = sys.modules["tensorflow"] = sys.modules["tf2onnx"] = None
from common.commands.__main__ import command
sys.exit(command())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An .h5 of a small classifier with a dial, and its .onnx, written by the command."""
    folder = tmp_path_factory.mktemp("models")
    network = drawn.classifier(CONFIG)
    prior = np.random.default_rng(0).dirichlet(np.full(313, 0.2))
    dial = dataclasses.replace(Dial.of(CONFIG, prior, True), default=0.0)
    about = {"image_size": 32, "cut": "squash", "dial": dataclasses.asdict(dial)}
    h5.export(h5.wrap(network, CONFIG, dial.decode), folder / "dial.h5", about)
    words = ["--model", str(folder / "dial.h5"), "--out", str(folder / "dial.onnx")]
    assert cli.run(export_command.main, words) == 0
    return folder / "dial.h5"


@pytest.fixture
def written(model):
    return model.with_suffix(".onnx")


# --- the same as Keras ------------------------------------------------------------------------


@pytest.mark.parametrize("vivid", [None, 0.4, 1.0])
def test_ab_are_keras_own_at_every_turn_of_the_dial(model, written, vivid):
    ours, theirs = Colorizer(written, vivid=vivid), Colorizer(model, vivid=vivid)
    assert np.abs(ours.predict_ab(L) - theirs.predict_ab(L)).max() <= export.TOLERANCE
    assert theirs.runtime == "Keras" and ours.runtime.startswith("ONNX Runtime")


@pytest.mark.parametrize("refine", ["guided", "crf"])
def test_a_photo_is_coloured_within_a_level(model, written, refine):
    photo = drawn.picture(5, 90, 130)
    ours, theirs = (Colorizer(path, refine=refine)(photo) for path in (written, model))
    off = np.abs(ours.astype(int) - theirs)
    assert off.max() <= 1 and (off > 0).mean() <= 1e-3
    assert np.abs(theirs.astype(int) - theirs.mean(2, keepdims=True)).max() > 5  # it has colours
    np.testing.assert_array_equal(Colorizer(written, refine=refine)(photo), ours)


@pytest.mark.parametrize("vivid", [None, 1.0])
def test_a_random_field_over_the_bins_is_as_with_keras(model, written, vivid):
    ours, theirs = (Colorizer(path, vivid=vivid, refine="crf") for path in (written, model))
    np.testing.assert_allclose(ours.refined_ab(L), theirs.refined_ab(L), atol=0.05)


def test_the_metadata_and_what_it_was_made_of_are_inside(model, written):
    inside, about = OnnxNetwork(written).metadata, h5.metadata(model)
    assert inside.pop("export")["numbers"] == "float32"
    assert inside == about


@pytest.mark.parametrize(("size", "to"), [(48, 32), (32, 45), (20, 20)])
def test_resampling_is_keras_resizing(size, to):
    l = np.random.default_rng(1).uniform(0, 100, (2, size, size, 1)).astype(np.float32)
    expected = layers.Resizing(to, to, antialias=True)(l)
    assert resampling.resized(l, to) == pytest.approx(np.asarray(expected), abs=1e-3)


def test_a_second_size_of_l_is_resampled_by_matrices(tmp_path):
    """As networks have it that take L* at two sizes; the layer itself would be no ONNX."""
    l = keras.Input((32, 32, 1), name="l")
    whole = layers.Flatten()(layers.Resizing(8, 8, antialias=True, name="l_to_global")(l))
    ab = layers.Conv2D(2, 1)(l)
    model = keras.Model({"l": l}, layers.Add()([ab, layers.Reshape((1, 1, 2))(
        layers.Dense(2)(whole))]))  # fmt: skip
    network = outputs.of_colorizer(model)
    assert not any(isinstance(layer, layers.Resizing) for layer in network.layers)
    expected = model.predict_on_batch({"l": L})
    assert network.predict_on_batch({"l": L})["ab"] == pytest.approx(expected, abs=1e-3)


# --- without Keras ----------------------------------------------------------------------------


def test_it_colours_where_neither_keras_nor_tensorflow_can_be_imported(written, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), drawn.picture(3))
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, "colorize", f"--in={tmp_path / 'photo.png'}"]
        + [f"--out={tmp_path / 'out'}", f"--model={written}", "--vivid=1", "--tint=warm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "by ONNX Runtime" in done.stdout + done.stderr
    assert cv2.imread(str(tmp_path / "out" / "photo.png")).shape == (48, 48, 3)


def test_without_the_extra_one_line_says_how_to_get_it(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="needs ONNX Runtime, .* `make setup` in a clone"):
        OnnxNetwork(written)


# --- a stranger's file ------------------------------------------------------------------------

helper = onnx.helper


def graph(*nodes, initializers=(), output="ab", shape=("N", 32, 32, 2)):
    """The bytes of a model of these operators, from `l` to `output`."""
    l = helper.make_tensor_value_info("l", onnx.TensorProto.FLOAT, ("N", 32, 32, 1))
    returned = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)
    made = helper.make_graph(list(nodes), "x", [l], [returned], list(initializers))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def external():
    numbers = onnx.numpy_helper.from_array(np.ones(2, np.float32), "secret")
    numbers.data_location = onnx.TensorProto.EXTERNAL
    numbers.ClearField("raw_data")
    entry = numbers.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return graph(helper.make_node("Mul", ["l", "secret"], ["ab"]), initializers=[numbers])


def huge():
    shape = onnx.numpy_helper.from_array(np.array([1, 32, 32, 1 << 30]), "shape")
    return graph(helper.make_node("Expand", ["l", "shape"], ["ab"]), initializers=[shape])


def missing():
    scale = onnx.numpy_helper.from_array(np.ones(2, np.float32), "scale")
    scale.dims[0] = 1 << 40
    return graph(helper.make_node("Mul", ["l", "scale"], ["ab"]), initializers=[scale])


def looping():
    branch = helper.make_graph([], "b", [], [])
    node = helper.make_node("If", ["l"], ["ab"], then_branch=branch, else_branch=branch)
    return graph(node)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: graph(helper.make_node("Evil", ["l"], ["ab"], domain="x")), "operator x.Evil"),
        (
            lambda: graph(helper.make_node("\x1b[2J" + 900 * "a", ["l"], ["ab"])),
            r"the operator \?\[2Jaa[^\x1b]*\.\.\.",
        ),
        (looping, "the operator If"),
        (external, "secret, whose data are in another file"),
        (missing, "scale, of which most are not stored"),
        (huge, "ab, of .* numbers a picture"),
        (lambda: graph(helper.make_node("Identity", ["l"], ["ab"])), "is no colorizer|damaged"),
        (
            lambda: graph(helper.make_node("Concat", ["l", "none"], ["ab"], axis=3)),
            "do not fit together|cannot be loaded|size is not known",
        ),
    ],
)
def test_a_strangers_file_is_one_line(tmp_path, made, message):
    path = tmp_path / "x.onnx"
    path.write_bytes(made().SerializeToString())
    with pytest.raises(UserError, match=message) as caught:
        OnnxNetwork(path)
    assert str(path) in str(caught.value)


def test_names_that_are_no_text_are_one_line(tmp_path):
    scale = onnx.numpy_helper.from_array(np.ones(2, np.float32), "scale")
    whole = graph(helper.make_node("Mul", ["l", "scale"], ["ab"]), initializers=[scale])
    whole.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "pictures"
    path = tmp_path / "x.onnx"
    path.write_bytes(whole.SerializeToString().replace(b"pictures", b"pict\xebres"))
    with pytest.raises(UserError, match="cannot be loaded|damaged"):
        OnnxNetwork(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"\x08\x07" * 50, b"{}", b"\xff" * 999])
def test_what_is_no_onnx_is_one_line(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no ONNX model, or is damaged"):
        OnnxNetwork(path)


@pytest.mark.parametrize("stored", ["{", '{"image_size": -1}', '{"dial": {"vivid": 1}}'])
def test_damaged_metadata_are_one_line(written, tmp_path, stored):
    model = onnx.load(written)
    onnx.helper.set_model_props(model, {ATTRIBUTE: stored})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(UserError, match="its metadata cannot be read"):
        OnnxNetwork(tmp_path / "x.onnx")


def test_a_file_too_large_is_not_read(written, monkeypatch):
    monkeypatch.setattr(onnx_checks, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1,000"):
        OnnxNetwork(written)


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--quantize=int8", "QUANTIZE=int8 needs photos"),
        ("--quantize=int8 --calibrate=nowhere", "There is no folder nowhere"),
        ("--calibrate=x", "CALIBRATE= is for QUANTIZE=int8"),
        ("--out=x.h5", "does not end in .onnx"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    model, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    assert cli.run(export_command.main, [f"--model={model}", *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(model, written, capsys):
    before = written.read_bytes()
    assert cli.run(export_command.main, [f"--model={model}", f"--out={written}"]) == 2
    assert "OVERWRITE=1" in capsys.readouterr().err and written.read_bytes() == before


def test_what_differs_from_keras_is_not_written(model):
    source = export.Source.of(model)
    with pytest.raises(UserError, match="its ab would be off by 1 "):
        export.check(source, lambda inputs: source.model.predict_on_batch(inputs) + 1)


# --- RUNTIME= ---------------------------------------------------------------------------------


@pytest.fixture
def writes(model, written, tmp_path, monkeypatch):
    """[.h5s that were converted]; the conversion copies the .onnx at hand."""
    made = []

    def to_onnx(source, target):
        made.append(source.path)
        target.write_bytes(written.read_bytes())

    monkeypatch.setattr(export, "to_onnx", to_onnx)
    monkeypatch.setattr(choice, "NVIDIA", tmp_path / "none")
    monkeypatch.delenv("RUNTIME", raising=False)
    return made


def copied(model, folder, name="m.h5"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(model.read_bytes())
    return folder / name


def test_the_onnx_is_written_once_and_known_by_the_hash(model, tmp_path, writes):
    path = copied(model, tmp_path / "a")
    first, second = choice.choose(path), choice.choose(path)
    assert first == second and first.path.parent == tmp_path / "a" / ".onnx"
    assert writes == [path]
    with open(path, "ab") as file:  # another model of the same name
        file.write(b"x")
    third = choice.choose(path)
    assert third.path != first.path and writes == [path, path] and not first.path.exists()


def test_a_shipped_model_s_lies_below_models(tmp_path, model, monkeypatch, writes):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_names, "shipped", lambda: tmp_path / "box")
    path = copied(model, tmp_path / "box")
    assert choice.choose(path).path == path and not writes  # no folder models/ here
    Path("models").mkdir()
    assert choice.choose(path).path.parent == Path("models/.onnx")


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({"RUNTIME": "keras"}, {}),
        ({"KERAS_BACKEND": "jax"}, {}),
        ({}, {"runtime": "keras"}),
        ({}, {"precision": "auto"}),
    ],
)
def test_keras_where_it_is_asked_for(model, tmp_path, monkeypatch, writes, settings, arguments):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    path = copied(model, tmp_path / "a")
    assert choice.choose(path, **arguments) == choice.Choice(path) and not writes


def test_what_is_asked_for_wins_over_the_environment(model, tmp_path, monkeypatch, writes):
    monkeypatch.setenv("RUNTIME", "keras")
    path = copied(model, tmp_path / "a")
    assert choice.choose(path, "auto").path.suffix == ".onnx" and writes == [path]


def test_keras_without_the_packages_or_with_a_gpu(model, tmp_path, monkeypatch, writes):
    path = copied(model, tmp_path / "a")
    monkeypatch.setattr(extras, "has", lambda *names: "tf2onnx" not in names)
    assert choice.choose(path).path == path
    monkeypatch.undo()
    monkeypatch.delenv("RUNTIME", raising=False)
    monkeypatch.setattr(choice, "NVIDIA", tmp_path)
    assert choice.choose(path).path == path


def test_what_cannot_be_written_is_coloured_by_keras_with_a_note(
    model, tmp_path, monkeypatch, writes
):
    tries = []

    def fails(source, target):
        tries.append(1)
        raise UserError("an operator that ONNX lacks")

    monkeypatch.setattr(export, "to_onnx", fails)
    path = copied(model, tmp_path / "a")
    for _ in range(2):
        assert choice.choose(path) == choice.Choice(path, "an operator that ONNX lacks")
    assert len(tries) == 1  # not at every start
    with pytest.raises(UserError, match="an operator"):
        choice.choose(path, "onnx")

    def full(source, target):
        raise OSError(30, "read-only", str(target))

    monkeypatch.setattr(export, "to_onnx", full)
    path = copied(model, tmp_path / "b")
    assert "the file system is read-only" in choice.choose(path).note


def test_the_runtime_is_said(model, tmp_path, monkeypatch, writes, capsys):
    path = copied(model, tmp_path / "a")
    cv2.imwrite(str(tmp_path / "photo.png"), drawn.picture(3))
    words = [f"--in={tmp_path / 'photo.png'}", f"--model={path}", f"--out={tmp_path / 'o'}"]
    assert cli.run(colorize_command.main, words) == 0
    assert f"model: {path}, by ONNX Runtime" in "".join(capsys.readouterr())
    # In this process, where Keras has started; what a helper process says is in the line above.
    words += ["--overwrite", "--isolate=no", "--runtime=keras"]
    assert cli.run(colorize_command.main, words) == 0
    assert f"model: {path}, by Keras" in "".join(capsys.readouterr())


def test_an_onnx_cannot_be_computed_by_keras(written):
    with pytest.raises(UserError, match="RUNTIME=keras needs the .h5"):
        choice.choose(written, "keras")
    with pytest.raises(UserError, match="leave PRECISION=mixed_bfloat16 out"):
        Colorizer(written, "mixed_bfloat16")


# --- whole models, float16 and int8 -----------------------------------------------------------


@pytest.mark.slow
def test_koala_with_its_embedding_network_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = drawn.picture(7, 120, 160)
    shipped = model_names.shipped() / "koala.h5"
    theirs = Colorizer(shipped)(photo)
    source = export.Source.of(shipped)
    export.to_onnx(source, Path("koala.onnx"))
    ours = Colorizer("koala.onnx")
    assert np.abs(ours(photo).astype(int) - theirs).max() <= 1
    l = np.linspace(0, 100, 2 * 256 * 256, dtype=np.float32).reshape(2, 256, 256, 1)
    assert ours.embedder(l) == pytest.approx(source.embedder(l), abs=0.01)
    embedding = next(Path("embeddings").iterdir())
    embedding.unlink()
    with pytest.raises(UserError, match="keep them together"):
        Colorizer("koala.onnx")(photo)


@pytest.mark.slow
@pytest.mark.parametrize(("numbers", "most"), [("float16", 0.3), ("int8", 6)])
def test_smaller_numbers_change_ab_a_little(model, tmp_path, numbers, most):
    """Lab units on the mean; those of a graph that is taken apart wrongly are off by tens."""
    source, path = export.Source.of(model), tmp_path / "small.onnx"
    export.to_onnx(source, path, numbers, drawn.folder(tmp_path / "photos", 3, 64))
    ours, theirs = (Colorizer(each).predict_ab(L) for each in (path, model))
    assert np.abs(theirs).mean() > 10
    assert 0 < np.abs(ours - theirs).mean() < most
    assert OnnxNetwork(path).metadata["export"]["numbers"] == numbers


@pytest.mark.slow
def test_an_operator_that_onnx_lacks_is_one_line(tmp_path):
    l = keras.Input((32, 32, 1), name="l")
    noisy = layers.RandomRotation(0.1)(layers.Conv2D(2, 1)(l), training=True)
    keras.Model({"l": l}, noisy).save(tmp_path / "x.h5")
    with pytest.raises(UserError, match="cannot be written|is refused: it holds") as caught:
        export.to_onnx(export.Source.of(tmp_path / "x.h5"), tmp_path / "x.onnx")
    assert "\n" not in str(caught.value) and not (tmp_path / "x.onnx").exists()
    assert os.listdir(tmp_path) == ["x.h5"]
