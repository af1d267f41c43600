"""Properties of records, shards, names and splits, of any content."""

import csv
import json
import os
import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common import files, photos
from common.datasets import listing, records, splits
from common.datasets.listing import File
from common.datasets.rows import DamagedError
from tests.datasets.splitting import assigned

# Text in any script, and the bytes of a file system that are no UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = TEXTS | st.binary(max_size=20).map(os.fsdecode)
FILE_NAMES = NAMES.filter(
    lambda name: (
        name.strip(".")
        and not name.startswith(".")
        and not {"/", "\0"} & set(name)
        and len(os.fsencode(name)) <= 200
    )
)
HASHES = st.integers(0, 2**256 - 1).map("{:064x}".format)


@given(
    arrays.arrays(np.uint8, st.integers(1, 24).map(lambda size: (size, size, 3))),
    NAMES,
    st.integers(-(2**63), 2**63 - 1),
)
def test_an_example_comes_back(rgb, name, label):
    data = records.encode_example(rgb, name, label)
    assert data == records.encode_example(rgb.copy(), name, label)
    for size in (None, len(rgb)):
        back = records.decode_example(data, size)
        np.testing.assert_array_equal(back["rgb"], rgb)
        assert (back["name"], back["label"]) == (name, label)


@given(st.lists(st.binary(max_size=60), max_size=6), st.data())
def test_a_shard_gives_back_its_records_and_finds_a_flipped_bit(tmp_path_factory, contents, data):
    path = tmp_path_factory.getbasetemp() / "property.tfrecord"
    written = records.write_shard(path, contents)
    offsets = written["offsets"]
    assert written["bytes"] == path.stat().st_size
    assert written["sha256"] == files.sha256(path)
    assert [records.read_record(path, offset) for offset in offsets] == contents
    if contents:
        stored = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(stored) - 1))
        stored[bit // 8] ^= 1 << bit % 8
        path.write_bytes(stored)
        record = int(np.searchsorted(offsets, bit // 8, "right")) - 1
        with pytest.raises(DamagedError, match=f"corrupt at byte {offsets[record]}"):
            records.read_record(path, offsets[record])


@given(st.sets(FILE_NAMES, max_size=5))
def test_files_of_any_name_are_found_listed_and_read(tmp_path_factory, names):
    """Two names that differ in their Unicode normalisation alone are two files."""
    folder = tmp_path_factory.mktemp("names")
    names |= {unicodedata.normalize(form, "é") for form in ("NFC", "NFD")}
    content = photos.png(np.zeros((2, 2, 3), np.uint8))
    for name in names:
        (folder / name).write_bytes(content)
    found = photos.find(folder)
    assert [path.name for path in found] == sorted(names)
    assert all(photos.is_picture(path) for path in found)
    manifest = folder / ".manifest.json"
    files.write_json(manifest, [path.name for path in found])
    assert json.loads(manifest.read_text()) == sorted(names)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(splits.SPLITS)
    )
)
def test_a_list_of_splits_takes_any_name(tmp_path_factory, wanted):
    path = tmp_path_factory.getbasetemp() / "property.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "split"])
        table.writerows(wanted.items())
    known = listing.Listed(splits.listed(path))
    assert {name: splits.SPLITS[known.get(name, -1)] for name in wanted} == wanted
    assert "another" in wanted or known.get("another", -1) == -1


@given(st.lists(st.tuples(NAMES, st.integers(0, 2**40), HASHES), max_size=20))
def test_a_listing_gives_back_its_files_and_sorts_them_by_hash_and_name(files_):
    pictures = listing.Pictures(File(*each) for each in [*files_, *files_[:3]])
    found = [pictures[at] for at in range(len(pictures))]
    assert found == [*files_, *files_[:3]] and list(pictures.names) == [each[0] for each in found]
    by_content = [found[at] for at in pictures.by_content()]
    assert by_content == sorted(found, key=lambda file: (file.sha256, file.name))


# --- splits by content ------------------------------------------------------------------------


@st.composite
def sets_of_files(draw):
    """Pictures by name, some of them copies, of which no split is empty, and fractions."""
    seed, count = draw(st.integers(0, 10_000)), draw(st.integers(60, 120))
    rng = np.random.default_rng(seed)
    digests = [rng.bytes(32).hex() for _ in range(count)]
    digests += digests[: draw(st.integers(0, 5))]
    pictures = [File(f"{i}.png", 1, digest) for i, digest in enumerate(digests)]
    test, validation = draw(st.floats(0.1, 0.4)), draw(st.floats(0.1, 0.4))
    fractions = (1 - test - validation, validation, test)
    by_name = assigned(pictures, "content", fractions)
    assume(set(map(splits_of_hash(fractions), digests)) == set(splits.SPLITS))
    return pictures, fractions, by_name


def splits_of_hash(fractions):
    """The definition: the hash as a number in [0, 1); the first share is test, then validation."""

    def split_of(digest):
        share = int(digest, 16) / 16**64
        if share < fractions[2]:
            return "test"
        return "validation" if share < fractions[1] + fractions[2] else "train"

    return split_of


@given(sets_of_files())
def test_the_hash_alone_decides(drawn):
    pictures, fractions, by_name = drawn
    expected = splits_of_hash(fractions)
    assert by_name == {file.name: expected(file.sha256) for file in pictures}


@given(sets_of_files(), st.lists(HASHES, max_size=20), st.randoms(use_true_random=False))
def test_additions_and_renames_move_no_picture(drawn, added, random):
    pictures, fractions, by_name = drawn
    more = [File(f"new/{i}.png", 1, digest) for i, digest in enumerate(added)]
    shuffled = random.sample(pictures + more, len(pictures) + len(more))
    assert assigned(shuffled, "content", fractions).items() >= by_name.items()
    renamed = [file._replace(name=f"other/{file.name}") for file in pictures]
    assert assigned(renamed, "content", fractions) == {
        f"other/{name}": split for name, split in by_name.items()
    }


@given(st.integers(1, 30), st.integers(0, 100))
def test_a_few_pictures_are_shared_out_with_copies_together(count, seed):
    rng = np.random.default_rng(seed)
    kinds = [rng.bytes(32).hex() for _ in range(max(1, count // 2))]
    pictures = [File(f"{i}.png", 1, kinds[i % len(kinds)]) for i in range(count)]
    by_name = assigned(pictures, "content", (0.9, 0.05, 0.05))
    assert by_name.keys() == {file.name for file in pictures}
    for digest in kinds:
        assert len({by_name[file.name] for file in pictures if file.sha256 == digest}) <= 1


@given(st.sets(HASHES, min_size=3, max_size=30), st.data())
def test_counts_are_met_exactly(digests, data):
    pictures = [File(f"{i}.png", 1, digest) for i, digest in enumerate(sorted(digests))]
    first = data.draw(st.integers(0, len(pictures)))
    second = data.draw(st.integers(0, len(pictures) - first))
    counts = (first, second, len(pictures) - first - second)
    by_name = assigned(pictures, "content", (0.9, 0.05, 0.05), counts)
    assert tuple(list(by_name.values()).count(split) for split in splits.SPLITS) == counts
