"""A manifest and an index hold what they must, or one line names the entry that does not."""

import copy

import pytest

from common.datasets import manifest

SOUND = {
    "schema": 2,
    "data": "drawn",
    "source": "photos",
    "image_size": 16,
    "cut": "squash",
    "split_by": "content",
    "fractions": [0.9, 0.05, 0.05],
    "seed": 0,
    "complete": True,
    "labels": ["cats"],
    "mean_ab": [1.5, -2],
    "left_out": {"count": 1, "seal": "0" * 64},
    "shards": [
        {
            "name": "train-00000",
            "split": "train",
            "count": 2,
            "seal": "b" * 64,
            "bytes": 200,
            "sha256": "a" * 64,
            "unreadable": 1,
            "grey": 0,
            "ab_sum": [3.0, -4.0],
        }
    ],
    "embeddings": {
        "0123456789ab-photo": {
            "network": "mobilenet_v2",
            "weights": "random",
            "sha256": "0" * 64,
            "precision": "float32",
            "requests": [["mobilenet_v2", "random"]],
            "bytes": {"train-00000": 8128},
        }
    },
    "maps": {"abc": {"bytes": {"train-00000.maps-0123.npy": 5}}},
}
INDEX = {
    "files": {
        "name": ["cats/é 1.png", "..2.png"],
        "bytes": [10, 20],
        "sha256": ["0" * 64, "f" * 64],
        "label": [0, -1],
    },
    "offsets": [0, 100],
    "bytes": 200,
    "sha256": "a" * 64,
    "unreadable": [["3.png", 5, "damaged"]],
    "grey": 0,
    "ab_sum": [3.0, -4.0],
}


MISSING = object()


def changed(path, value, sound=SOUND):
    """`sound` with another value at a path like "shards.0.bytes", or without it: `MISSING`."""
    whole = copy.deepcopy(sound)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    holder = whole
    for part in parents:
        holder = holder[part]
    if value is MISSING:
        del holder[last]
    else:
        holder[last] = value
    return whole


def test_a_sound_manifest_passes_and_so_does_one_that_is_planned_alone():
    manifest.check(SOUND)
    planned = changed("complete", False)
    for entry in ("bytes", "sha256", "unreadable", "grey", "ab_sum"):
        del planned["shards"][0][entry]
    manifest.check(planned)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("embeddings", MISSING, "embeddings is missing"),
        ("image_size", 0, "image_size"),
        ("image_size", "16", "image_size"),
        ("image_size", True, "image_size"),
        ("cut", ["squash"], "cut"),
        ("mean_ab", [float("nan"), 0.0], "mean_ab"),
        ("mean_ab", [1.0], "mean_ab"),
        ("shards.0", [], r"shards\[0\] is no object"),
        ("shards.0.name", "../train-00000", r"shards\[0\].name"),
        ("shards.0.name", "/train-00000", r"shards\[0\].name"),
        ("shards.0.split", "all", r"shards\[0\].split"),
        ("left_out", [], "left_out"),
        ("left_out.seal", "", "left_out.seal"),
        ("shards.0.count", -1, r"shards\[0\].count"),
        ("shards.0.seal", MISSING, r"shards\[0\].seal is missing"),
        ("shards.0.bytes", 1.0, r"shards\[0\].bytes"),
        ("shards.0.unreadable", [["3.png"]], "unreadable"),
        ("shards", [SOUND["shards"][0]] * 2, "one name"),
        ("embeddings.0123456789ab-photo.bytes", {}, "lacks a shard"),
        ("embeddings", {"../x": {}}, "embeddings has the key ../x"),
        ("maps.abc", None, "maps.abc is no object"),
    ],
)
def test_an_entry_that_is_not_sound_is_named(path, value, named):
    with pytest.raises(ValueError, match=named):
        manifest.check(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("files", MISSING, "files is missing"),
        ("files.name.0", "../secret.png", "files.name"),
        ("files.name.0", "/secret.png", "files.name"),
        ("files.name.0", "a\0b", "files.name"),
        ("files.sha256.0", "0" * 63, "files.sha256"),
        ("files.label", [0], "several lengths"),
        ("files.label", [0, 1], "none of the labels"),
        ("offsets", [0], "another length"),
        ("offsets", [0, -1], "offsets"),
        ("offsets", [0, 2**70], "offsets"),
        ("unreadable", [["3.png"]], "unreadable"),
    ],
)
def test_an_entry_of_an_index_that_is_not_sound_is_named(path, value, named):
    manifest.check_index(INDEX, labels=1)
    with pytest.raises(ValueError, match=named):
        manifest.check_index(changed(path, value, INDEX), labels=1)


@pytest.mark.parametrize("content", [None, [], "", 1])
def test_what_is_no_object_is_no_manifest(content):
    with pytest.raises(ValueError, match="all of it is no object"):
        manifest.check(content)
    with pytest.raises(ValueError, match="all of it is no object"):
        manifest.check_index(content)
