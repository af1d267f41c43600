"""The cache: the same pictures as without, as many as fit, damage seen, memory bounded."""

import concurrent.futures
import os

import numpy as np
import pytest

from common import datasets, memory
from common.datasets import cache, records
from common.datasets.cache import Cache
from tests import drawn

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    source = drawn.folder(root / "photos", 30, 40)
    return datasets.prepare(source, SIDE, "squash", folder=root / "shards").folder


@pytest.fixture
def decoded(monkeypatch):
    """A list that grows with every record that is decoded."""
    calls = []
    decode = records.decode_example
    monkeypatch.setattr(
        records, "decode_example", lambda *args: calls.append(args) or decode(*args)
    )
    return calls


def caching(folder, pictures):
    """The data set with a cache that has room for so many pictures."""
    dataset = datasets.Dataset(folder)
    dataset.cache = Cache(SIDE, Cache(SIDE, 0).size(pictures))
    return dataset


def same(a, b):
    assert a.keys() == b.keys() and a["name"] == b["name"]
    assert (a["rgb"] == b["rgb"]).all() and (a["label"] == b["label"]).all()
    assert a["rgb"].dtype == b["rgb"].dtype and a["label"].dtype == b["label"].dtype


@pytest.mark.parametrize("room", [0, 7, 1000])
def test_every_pass_gives_the_pictures_that_are_stored(folder, room):
    plain, dataset = datasets.Dataset(folder), caching(folder, room)
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for _ in range(3):
            order = rng.permutation(plain.count(split))
            same(dataset.read(split, order), plain.read(split, order))
    count = plain.count("train") + plain.count("validation")
    assert len(dataset.cache) == min(room, count)


def test_what_fits_is_decoded_once_and_the_rest_in_every_pass(folder, decoded):
    dataset = caching(folder, 7)
    count = dataset.count("train")
    for turn in range(3):
        decoded.clear()
        dataset.read("train", np.random.default_rng(turn).permutation(count))
        assert len(decoded) == (count - 7 if turn else count)


def test_what_a_reader_does_to_its_batch_does_not_reach_the_next(folder):
    dataset = caching(folder, 1000)
    first = dataset.read("train", [0, 1])["rgb"]
    kept = first.copy()
    first[:] = 0
    assert (dataset.read("train", [0, 1])["rgb"] == kept).all()


def test_many_threads_share_a_cache(folder, monkeypatch):
    monkeypatch.setattr(cache, "_BLOCK", 3 * Cache(SIDE, 0).size(1))  # many blocks
    plain, dataset = datasets.Dataset(folder), caching(folder, 20)
    count = plain.count("train")
    orders = [np.random.default_rng(seed).permutation(count) for seed in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for order, batch in zip(
            orders, pool.map(lambda order: dataset.read("train", order), orders), strict=True
        ):
            same(batch, plain.read("train", order))
    assert len(dataset.cache) == 20


def test_a_damaged_record_is_seen_mended_and_then_kept(tmp_path, folder):
    plain = datasets.Dataset(folder)
    expected = plain.read("train", range(plain.count("train")))
    (path,) = plain.paths("train")
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    mended = []

    def mend(shard, _error):
        mended.append(shard)
        (tmp_path / "sound").write_bytes(sound)
        os.replace(tmp_path / "sound", path)  # other threads read it meanwhile

    try:
        dataset = caching(folder, 1000)
        dataset.mend = mend
        for _ in range(2):
            same(dataset.read("train", range(plain.count("train"))), expected)
    finally:
        path.write_bytes(sound)
    assert mended == [path.stem]


def test_where_memory_ends_earlier_no_more_is_kept(folder, monkeypatch):
    monkeypatch.setattr(cache, "_BLOCK", 5 * Cache(SIDE, 0).size(1))
    plain, dataset = datasets.Dataset(folder), caching(folder, 1000)
    empty, blocks = np.empty, []

    def limited(shape, dtype=float):
        if shape[0] == 5 and len(shape) == 4:  # a block
            if len(blocks) == 2:
                raise MemoryError
            blocks.append(shape)
        return empty(shape, dtype)

    monkeypatch.setattr(cache.np, "empty", limited)
    order = np.arange(plain.count("train"))
    for _ in range(2):
        same(dataset.read("train", order), plain.read("train", order))
    assert len(dataset.cache) == 10


def test_the_bound_is_a_share_of_what_is_free_and_ends_at_a_maximum(monkeypatch):
    for free, limit in ((8 * 10**9, 2 * 10**9), (10**12, cache.MOST), (None, cache.UNKNOWN)):
        monkeypatch.setattr(memory, "free", lambda free=free: free)
        assert cache.default_limit() == limit
