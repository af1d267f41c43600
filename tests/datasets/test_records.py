"""Shards: framing and Example against TensorFlow's own, order, damage."""

import json

import numpy as np
import pytest

from common import datasets, files, seals
from common.cli import UserError
from common.datasets import records
from tests import drawn


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("records")
    source = drawn.folder(root / "photos", 30, 40)
    return datasets.prepare(source, 32, "squash", folder=root / "shards")


def test_an_example_survives_and_has_the_same_bytes_each_time():
    rgb = drawn.picture(3, 20)
    data = records.encode_example(rgb, "sub/é ü.jpg", -1)
    back = records.decode_example(data)
    assert (back["rgb"] == rgb).all() and back["name"] == "sub/é ü.jpg" and back["label"] == -1
    assert data == records.encode_example(rgb, "sub/é ü.jpg", -1)


def test_tensorflow_reads_our_records_and_we_read_tensorflows(tmp_path):
    tf = pytest.importorskip("tensorflow")
    rgb = drawn.picture(5, 24)
    ours = tmp_path / "ours.tfrecord"
    records.write_shard(ours, [records.encode_example(rgb, "a", 7)])
    (raw,) = tf.data.TFRecordDataset([str(ours)])
    example = tf.train.Example.FromString(raw.numpy())
    assert example.features.feature["label"].int64_list.value == [7]
    assert example.features.feature["name"].bytes_list.value == [b"a"]

    theirs = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        writer.write(example.SerializeToString())
    back = records.decode_example(records.read_record(theirs, 0))
    assert (back["rgb"] == rgb).all() and (back["name"], back["label"]) == ("a", 7)


def test_tf_dataset_gives_what_the_plain_reader_gives(dataset):
    pytest.importorskip("tensorflow")
    plain = next(dataset.batches("train", dataset.count("train")))
    theirs = list(records.tf_dataset(dataset.folder, "train").as_numpy_iterator())
    assert len(theirs) == dataset.count("train") > 10
    assert all((a["rgb"] == b).all() for a, b in zip(theirs, plain["rgb"], strict=True))
    assert [a["name"].decode() for a in theirs] == plain["name"] == dataset.names("train")


def test_tf_dataset_joins_embeddings_across_shards(tmp_path):
    pytest.importorskip("tensorflow")
    source = drawn.folder(tmp_path / "photos", 36, 40)
    made = datasets.prepare(
        source,
        32,
        "squash",
        "mobilenet_v2",
        "random",
        folder=tmp_path / "shards",
        shard_pictures=7,
    )
    plain = next(made.batches("train", made.count("train"), embedding=True))
    assert len(made.paths("train")) > 2
    theirs = list(records.tf_dataset(made.folder, "train", embedding=True).as_numpy_iterator())
    assert [a["name"].decode() for a in theirs] == plain["name"] == made.names("train")
    assert (np.stack([a["embedding"] for a in theirs]) == plain["embedding"]).all()
    assert (np.stack([a["rgb"] for a in theirs]) == plain["rgb"]).all()
    assert np.ptp(plain["embedding"], axis=0).max() > 0, "each picture has its own"


def test_tf_dataset_without_the_embedding_asked_for_is_one_line(dataset):
    pytest.importorskip("tensorflow")
    with pytest.raises(UserError, match="holds no embedding"):
        records.tf_dataset(dataset.folder, "train", embedding=True)


def test_any_position_is_read_at_any_time(dataset):
    whole = next(dataset.batches("train", 100))
    some = dataset.read("train", [5, 0, 5])
    assert some["name"] == [whole["name"][5], whole["name"][0], whole["name"][5]]
    assert (some["rgb"] == whole["rgb"][[5, 0, 5]]).all()


def test_batches_cover_a_split_once_and_in_order(dataset):
    names = [name for batch in dataset.batches("train", 7) for name in batch["name"]]
    assert names == dataset.names("train")


def test_ahead_keeps_order_and_passes_errors_on():
    assert list(datasets.ahead(lambda n: n * n, range(50), depth=7, workers=3)) == [
        n * n for n in range(50)
    ]

    def fails(number):
        if number == 3:
            raise UserError("three")
        return number

    with pytest.raises(UserError, match="three"):
        list(datasets.ahead(fails, range(10)))


def _copy(dataset, target):
    target.mkdir()
    for path in dataset.folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_flipped_bit_is_found(dataset, tmp_path):
    folder = _copy(dataset, tmp_path / "copy")
    path = folder / "train-00000.tfrecord"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    damaged = datasets.Dataset(folder)
    with pytest.raises(UserError, match="corrupt at byte .* Delete this file"):
        list(damaged.batches("train", 100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "train-00000.tfrecord").unlink(), "is missing. Run the same"),
        (lambda f: (f / "train-00000.tfrecord").write_bytes(b"x"), "has 1 bytes, not"),
        (lambda f: (f / "manifest.json").write_text("{"), "is corrupt .*Delete"),
        (lambda f: (f / "manifest.json").unlink(), "Run `make data` first"),
        (lambda f: _edit(f, schema=99), "has schema 99"),
        (lambda f: _edit(f, complete=False), "not finished"),
    ],
)
def test_a_mismatch_is_refused_in_one_line(dataset, tmp_path, change, message):
    folder = _copy(dataset, tmp_path / "copy")
    change(folder)
    with pytest.raises(UserError, match=message):
        datasets.Dataset(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "is missing.*Delete .* it is then made anew"),
        (lambda path: path.write_text("{"), "is corrupt .* Delete .* it is then made anew"),
        (lambda path: seals.write_json(path, seals.read_json(path) | {"grey": 1}), "another than"),
    ],
)
def test_an_index_that_is_not_what_was_written_is_refused_in_one_line(
    dataset, tmp_path, change, message
):
    folder = _copy(dataset, tmp_path / "copy")
    change(folder / "train-00000.json")
    with pytest.raises(UserError, match=f"{folder / 'train-00000.json'} .*{message}"):
        datasets.Dataset(folder).names("train")


def test_names_and_hashes_of_some_positions_come_in_their_order(tmp_path):
    source = drawn.folder(tmp_path / "photos", 30, 8)
    made = datasets.prepare(source, 8, "squash", folder=tmp_path / "shards", shard_pictures=4)
    positions = [made.count("train") - 1, 0, 9, 5, 0]
    for column in (made.names, made.sha256):
        assert column("train", positions) == [column("train")[at] for at in positions]
    assert made.names("train", np.array([], int)) == []
    with pytest.raises(IndexError, match="train has the positions 0 to"):
        made.names("train", [made.count("train")])


def test_the_hash_of_a_split_is_that_of_its_sorted_hashes_as_json(dataset):
    """It is in models and tables, and in those of earlier versions."""
    content = json.dumps([sorted(dataset.sha256(split)) for split in datasets.SPLITS])
    assert dataset.split_sha256() == files.sha256(content.encode())


def _edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(seals.read_json(path) | changes))


EXAMPLE = records.encode_example(np.zeros((32, 32, 3), np.uint8), "a.png", -1)
NONE = {
    "nothing": b"",
    "half a field": b"\x0a",
    "a number without end": b"\xff" * 50,
    "no feature": b"\x0a\x02\x0a\x00",
    "another feature": EXAMPLE.replace(b"name", b"mane"),
    "another size": records.encode_example(np.zeros((33, 33, 3), np.uint8), "a.png", -1),
    "a chunk of 4 GB": EXAMPLE.replace(b"\0\0\0\0IEND", b"\xff\xff\xff\xffIEND"),
    "no pixels": EXAMPLE.replace(b"IDAT", b"tADI"),
    "no PNG": EXAMPLE.replace(b"PNG", b"BMP"),
}


@pytest.mark.parametrize("which", NONE)
def test_a_record_that_is_no_picture_is_named_though_its_checksum_is_right(
    dataset, tmp_path, which
):
    folder = _copy(dataset, tmp_path / "copy")
    path = folder / "train-00000.tfrecord"
    records.write_shard(path, [NONE[which]])
    manifest = seals.read_json(folder / "manifest.json")
    manifest["shards"][0]["bytes"] = path.stat().st_size
    seals.write_json(folder / "manifest.json", manifest)
    with pytest.raises(UserError, match=f"{path} holds no picture .* at byte 0"):
        datasets.Dataset(folder).read("train", [0])


def test_mean_colour_is_that_of_the_training_pictures(dataset):
    skimage = pytest.importorskip("skimage.color")
    rgb = next(dataset.batches("train", 100))["rgb"]
    expected = np.mean([skimage.rgb2lab(x)[..., 1:].mean((0, 1)) for x in rgb], axis=0)
    assert dataset.mean_ab == pytest.approx(expected, abs=0.01)  # Lab agrees within 0.01
