"""The readers that files of others reach, each with its cases."""

import copy
import functools
import io
import json
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from benchmarks.fuzz import corpus, mutation
from common import files, photos, seals
from common.cli import UserError
from common.colorize import Colorizer
from common.datasets import index, plan, records
from common.datasets.splits import SPLITS
from common.networks.metadata import ATTRIBUTE
from common.survey import answers
from common.training import checkpoint

# In a pipeline of one's own TensorFlow's own errors say what is wrong with a shard, the last where
# it cannot print a record that has the right checksum and is none.
TENSORFLOWS = ("DataLossError", "InvalidArgumentError", "UnicodeDecodeError")
MEGAPIXELS = 20  # of the pictures' cases: at the default of 300 a picture may rightly take 2 GB


class Target(NamedTuple):
    """A reader.

    case: a file, changed by a generator. read: what the library does with the file in a path, with
    an empty folder beside it. also: errors that it may raise besides UserError. name: of the file.
    """

    case: Callable[[np.random.Generator], bytes]
    read: Callable[[Path], None]
    also: tuple[str, ...] = ()
    name: str = "file"


def case(target: str, seed: int) -> bytes:
    """The file of a target's case: of one seed always the same."""
    return TARGETS[target].case(np.random.default_rng([seed, *target.encode()]))


def _any(of, rng):
    return of[int(rng.integers(len(of)))]


# --- pictures -------------------------------------------------------------------------------------


def _picture(rng):
    kinds = corpus.pictures()
    kind = _any(sorted(kinds), rng)  # each format as often, however many files it has
    data = mutation.changed(_any(kinds[kind], rng), rng, _any(sorted(kinds.values()), rng))
    if data[:4] == b"\x89PNG" and rng.random() < 0.7:
        data = mutation.with_png_checksums(data)
    return data


def _read_picture(path):
    """As the commands do: is it one, for a data set, for its result, and that again."""
    photos.is_picture(path)
    decoded = functools.partial(photos.decode, path.read_bytes(), 32, "letterbox", MEGAPIXELS)
    try:
        assert decoded().shape == (32, 32, 3)
    except photos.PhotoError as error:
        one_line(error)
    target = path.with_name("result")
    with photos.read(path, MEGAPIXELS) as photo:
        photos.write(target, map(_in_colour, photo.pages()), photo)
    for note in photo.notes:
        one_line(note)
    with photos.read(target, MEGAPIXELS) as again:
        shapes = [page.pixels.shape for page in again.pages()]
    assert len(shapes) == len(photo.shapes)


def _in_colour(page):
    if page.pixels.ndim == 2:
        page.pixels = np.repeat(page.pixels[..., None], 3, axis=2)
    return page


def one_line(message: Any) -> None:
    """AssertionError unless it is one line, without characters that control a terminal."""
    text = str(message)
    controls = any(unicodedata.category(character) == "Cc" for character in text)
    assert 0 < len(text) < 500 and len(text.splitlines()) == 1 and not controls, (
        f"not one line: {text[:200]!r}"
    )


# --- data sets ------------------------------------------------------------------------------------


@functools.cache
def _manifest():
    return _unsealed(corpus.shards() / "manifest.json")


@functools.cache
def _index():
    """What lists the pictures of the first shard."""
    return _unsealed(index.path(corpus.shards(), _manifest()["shards"][0]["name"]))


def _unsealed(path):
    """A JSON file as of an earlier version: it may be changed."""
    content = json.loads(path.read_bytes())
    content.pop("checksum", None)
    return content


def _shard(rng):
    """A shard with its bytes, or with its records' contents changed and the checksums right."""
    path = corpus.shards() / f"{_manifest()['shards'][0]['name']}.tfrecord"
    if rng.random() < 0.3:
        return mutation.changed(path.read_bytes(), rng)
    examples = [records.read_record(path, offset) for offset in _index()["offsets"]]
    which = int(rng.integers(len(examples)))
    examples[which] = mutation.changed(examples[which], rng, examples)
    return b"".join(map(mutation.record, examples))


def _with_shard(path):
    """The folder of a data set whose first shard is the file, with an index that says so."""
    folder = shutil.copytree(corpus.shards(), path.with_name("shards"))
    entry = copy.deepcopy(_manifest()["shards"][0])
    data = path.read_bytes()
    (folder / f"{entry['name']}.tfrecord").write_bytes(data)
    entry |= {"bytes": len(data), "sha256": files.sha256(data)}
    starts, at = [], 0
    for _ in range(entry["count"]):
        starts.append(min(at, 2**60))
        at += 16 + int.from_bytes(data[at : at + 8], "little")
    listed = {**_index(), "offsets": starts, "bytes": entry["bytes"], "sha256": entry["sha256"]}
    entry["seal"] = seals.write_json(index.path(folder, entry["name"]), listed)
    _write_manifest(folder, entry)
    return folder, entry["split"]


def _write_manifest(folder, first):
    """A manifest with another entry of the first shard."""
    manifest = {**_manifest(), "shards": [first, *_manifest()["shards"][1:]]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _read_shard(path):
    folder, split = _with_shard(path)
    dataset = records.Dataset(folder)
    for batch in dataset.batches(split, 5):
        assert batch["rgb"].shape[1:] == (dataset.image_size,) * 2 + (3,)


def _read_shard_tf(path):
    folder, split = _with_shard(path)
    for example in records.tf_dataset(folder, split):
        example["rgb"].numpy()


def _manifest_case(rng):
    if rng.random() < 0.2:
        return mutation.changed((corpus.shards() / "manifest.json").read_bytes(), rng)
    return json.dumps(mutation.changed_json(_manifest(), rng)).encode()


def _read_manifest(path):
    folder = shutil.copytree(corpus.shards(), path.with_name("shards"))
    shutil.copy(path, folder / "manifest.json")
    _read_whole(folder)


def _index_case(rng):
    """An index of which the bytes or an entry are changed; what reads it seals it anew."""
    name = _manifest()["shards"][0]["name"]
    if rng.random() < 0.2:
        return mutation.changed(index.path(corpus.shards(), name).read_bytes(), rng)
    content = mutation.changed_json(_index(), rng)
    return json.dumps(content).encode()


def _read_index(path):
    folder = shutil.copytree(corpus.shards(), path.with_name("shards"))
    entry = copy.deepcopy(_manifest()["shards"][0])
    target = index.path(folder, entry["name"])
    shutil.copy(path, target)
    try:
        entry["seal"] = seals.write_json(target, json.loads(path.read_bytes()))
    except (ValueError, AttributeError, RecursionError):  # no JSON, no dict: it stays as it is
        entry["seal"] = seals.of_json(target)
    _write_manifest(folder, entry)
    _read_whole(folder)


def _read_whole(folder):
    """All of a data set, as preparing and training do."""
    try:
        manifest = plan.read(folder)
        if manifest and not plan.damaged(manifest, folder):
            list(plan.unreadable(manifest, folder)), plan.left_out(manifest, folder)
    except UserError as error:
        one_line(error)
    dataset = records.Dataset(folder)
    dataset.split_sha256()
    for split in SPLITS:
        dataset.names(split), dataset.labels_of(split), dataset.paths(split)
        for _ in dataset.batches(split, 5):
            pass


# --- runs and models ------------------------------------------------------------------------------


@functools.cache
def _trained():
    """A network with an optimizer that has a state, and the bytes of its checkpoint."""
    model = corpus.network()
    model.compile(keras.optimizers.Adam(), keras.losses.MeanSquaredError())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.npz")
        progress = checkpoint.Progress(3, 1, {"loss": 1.0}, history=[{"epoch": 1, "loss": 2.0}])
        checkpoint.save(path, model, progress)
        return model, path.read_bytes()


def _checkpoint(rng):
    """A checkpoint with its bytes, or with a member changed and the archive's checksums right."""
    _, data = _trained()
    if rng.random() < 0.4:
        return mutation.changed(data, rng)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
        names = source.namelist()
        chosen = {_any(names, rng), "progress.npy" if rng.random() < 0.4 else ""}
        for name in names:
            member = source.read(name)
            archive.writestr(name, mutation.changed(member, rng) if name in chosen else member)
    return target.getvalue()


def _read_checkpoint(path):
    model, _ = _trained()
    progress = checkpoint.load(path, model, lambda progress: None)
    assert isinstance(progress, checkpoint.Progress)


def _model(rng):
    """An .h5 with its bytes, or its configuration, its metadata or its structure changed."""
    data = _any(corpus.models(), rng)
    choice = rng.random()
    if choice < 0.4:
        return mutation.changed(data, rng, corpus.models())
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        if choice < 0.85:
            name = "model_config" if choice < 0.75 else "colorization"
            stored = json.loads(file.attrs.get(name, "{}"))
            changed = json.dumps(mutation.changed_json(stored, rng))
            file.attrs.create(name, np.void(b"\xff") if rng.random() < 0.02 else changed)
        else:
            names: list[str] = []
            file.visit(names.append)
            _restructure(file, _any(names, rng), rng)
    return buffer.getvalue()


def _restructure(file, name, rng):
    """Remove, replace or link a group or an array of an HDF5 file, or change an attribute."""
    item = file[name]
    choice = int(rng.integers(6))
    attributes = list(item.attrs)
    if choice == 0 and attributes:
        del item.attrs[_any(attributes, rng)]
    elif choice == 1 and attributes:
        values = (0, "x", np.arange(3), np.zeros(0), np.array([b"\xff", b"x"]), np.nan)
        item.attrs[_any(attributes, rng)] = _any(values, rng)
    else:
        del file[name]
        if choice == 2:
            file[name] = h5py.SoftLink("/model_weights")
        elif choice == 3:
            file[name] = h5py.ExternalLink("other.h5", "/")
        elif choice == 4:
            shape = _any([(), (0,), (3, 3, 1, 4), (1000, 1000, 1000)], rng)
            file.create_dataset(name, shape, _any(["f4", "f8", "i1", "S3"], rng))


def _read_model(path):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)  # to compile each network would take most of the time
    _colour(path)


def _onnx(rng):
    """An .onnx with its bytes, its metadata or any field of its network changed."""
    data = _any(corpus.onnx_models(), rng)
    choice = rng.random()
    if choice < 0.25:
        return mutation.changed(data, rng, corpus.onnx_models())
    import onnx

    model = onnx.ModelProto.FromString(data)
    if choice < 0.4:
        (stored,) = (each for each in model.metadata_props if each.key == ATTRIBUTE)
        changed = mutation.changed_json(json.loads(stored.value), rng)
        stored.value = json.dumps(changed)
    else:
        mutation.change_message(model, rng)
    return model.SerializeToString()


def _colour(path):
    colorizer = Colorizer(path)
    coloured = colorizer(np.arange(20 * 30, dtype=np.uint8).reshape(20, 30))
    assert coloured.shape == (20, 30, 3)


# --- surveys --------------------------------------------------------------------------------------


def _answers(rng):
    """The key and the verdicts of a survey, one of them changed, on a line each."""
    key, verdicts = corpus.survey()
    which = int(rng.integers(2))
    contents = [json.dumps(each).encode() for each in (key, verdicts)]
    if rng.random() < 0.3:
        contents[which] = mutation.changed(contents[which], rng).replace(b"\n", b" ")
    else:
        contents[which] = json.dumps(mutation.changed_json((key, verdicts)[which], rng)).encode()
    return b"\n".join(contents)


def _read_answers(path):
    folder = path.with_name("returned")
    folder.mkdir()
    key, _, verdicts = path.read_bytes().partition(b"\n")
    (folder / "key.json").write_bytes(key)
    (folder / "verdicts.json").write_bytes(verdicts)
    results = answers.read(folder, folder)
    for _, reason in results.skipped:
        one_line(reason)
    answers.table(results)


TARGETS = {
    "picture": Target(_picture, _read_picture),
    "shard": Target(_shard, _read_shard),
    "shard-tensorflow": Target(_shard, _read_shard_tf, TENSORFLOWS),
    "manifest": Target(_manifest_case, _read_manifest),
    "index": Target(_index_case, _read_index),
    "checkpoint": Target(_checkpoint, _read_checkpoint),
    "model": Target(_model, _read_model, name="file.h5"),
    "onnx": Target(_onnx, _colour, name="file.onnx"),
    "answers": Target(_answers, _read_answers),
}
