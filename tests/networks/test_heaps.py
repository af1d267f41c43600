"""Damaged heaps of texts in an HDF5 file, in which HDF5 itself would not come to an end."""

import struct

import h5py
import pytest

from common.cli import UserError
from common.networks import h5, heaps
from tests import drawn


@pytest.fixture
def file(tmp_path):
    """An .h5 without a seal, and where its first heap begins."""
    path = drawn.exported(tmp_path / "m.h5")
    with h5py.File(path, "r+"):
        pass
    at = path.read_bytes().find(heaps.SIGNATURE)
    assert at > 0
    return path, at


def put(path, at, data):
    content = path.read_bytes()
    path.write_bytes(content[:at] + data + content[at + len(data) :])


def test_what_hdf5_wrote_is_sound(file):
    path, at = file
    heaps.check(path)
    put(path, path.stat().st_size, heaps.SIGNATURE)  # numbers may look so, too
    heaps.check(path)
    assert h5.metadata(path)


@pytest.mark.parametrize(
    "sizes",
    [
        struct.pack("<HHIQ", 0, 0, 0, 0),  # of HDF5's own loop: free room of no size
        struct.pack("<HHIQ", 1, 1, 0, 2**64 - 16),  # with its header again none, in 64 bits
        struct.pack("<HHIQ", 1, 1, 0, 2**64 - 48),  # backwards
        struct.pack("<HHIQ", 1, 1, 0, 4096),  # beyond the heap's end
    ],
)
def test_a_damaged_heap_is_found_before_hdf5_reads_it(file, sizes):
    path, at = file
    put(path, at + 16, sizes)
    with pytest.raises(heaps.BrokenHeapError):
        heaps.check(path)


def test_a_model_with_a_damaged_heap_is_one_line(file):
    path, at = file
    put(path, at + 24, struct.pack("<Q", 4096))  # at which HDF5 itself fails, and does not hang
    with pytest.raises(UserError, match="m.h5 is damaged: it is not what was exported"):
        h5.metadata(path)
