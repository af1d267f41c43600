"""Packed .h5 files: rounded as NumPy rounds in float64, and otherwise the same file."""

import h5py
import keras
import numpy as np
import pytest

from common.cli import UserError
from common.networks import h5, packing
from tests import drawn


def nearest(values, bits):
    """The nearest with so many bits of mantissa, ties to even: by float64's exponents."""
    mantissa, exponent = np.frexp(values.astype(np.float64))  # mantissa in [1/2, 1)
    scale = 2.0 ** (bits + 1)
    return np.ldexp(np.rint(mantissa * scale) / scale, exponent).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 7, 8, 10, 22, 23])
def test_values_are_rounded_to_the_nearest(bits):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 40)) * 10.0 ** rng.integers(-20, 20, (50, 40))
    values = np.append(values.astype(np.float32).ravel(), [0, -0.0, 1, -1]).astype(np.float32)
    found = packing.rounded(values, bits)
    assert found.dtype == np.float32
    assert np.array_equal(found, nearest(values, bits))
    assert np.abs(found - values).max() <= np.abs(values).max() * 2.0 ** -(bits + 1)


def test_ties_go_to_the_even_neighbour():
    """With two bits the neighbours of 1 are a quarter apart."""
    ties = np.array([1.125, 1.375, 1.625, -1.125, -1.375, 1.875], np.float32)
    assert packing.rounded(ties, 2).tolist() == [1.0, 1.5, 1.5, -1.0, -1.5, 2.0]
    just_above = np.nextafter(ties, np.float32(10) * np.sign(ties), dtype=np.float32)
    assert packing.rounded(just_above, 2).tolist() == [1.25, 1.5, 1.75, -1.25, -1.5, 2.0]


@pytest.mark.parametrize("values, bits", [(np.zeros(2), 8), (np.zeros(2, "f"), 0)])
def test_what_cannot_be_rounded_is_an_error(values, bits):
    with pytest.raises(ValueError, match="takes float32 and 1 to 23 bits"):
        packing.rounded(values, bits)


def test_a_packed_model_is_the_same_model_with_rounded_weights(tmp_path):
    exported = drawn.exported(tmp_path / "m.h5")
    packing.pack(exported, tmp_path / "packed.h5", 8)

    model = keras.models.load_model(tmp_path / "packed.h5", compile=False)
    whole = keras.models.load_model(exported, compile=False)
    for found, before in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(found, nearest(before, 8))
    assert h5.metadata(tmp_path / "packed.h5") == {**h5.metadata(exported), "mantissa_bits": 8}
    with h5py.File(exported) as old, h5py.File(tmp_path / "packed.h5") as new:
        kept = {name: value for name, value in old.attrs.items() if name != h5.ATTRIBUTE}
        assert {name: new.attrs[name] for name in kept} == kept
        places = []
        old.visit(places.append)
        for place in places:
            attributes = {name: list(value) for name, value in old[place].attrs.items()}
            assert {name: list(value) for name, value in new[place].attrs.items()} == attributes
            if isinstance(new[place], h5py.Dataset) and new[place].ndim:
                assert new[place].shuffle and new[place].compression == "gzip"


def test_a_packed_model_packed_again_is_equal(tmp_path):
    packing.pack(drawn.exported(tmp_path / "m.h5"), tmp_path / "once.h5", 8)
    packing.pack(tmp_path / "once.h5", tmp_path / "twice.h5", 8)
    once, twice = (h5.load(tmp_path / f"{name}.h5").get_weights() for name in ("once", "twice"))
    assert all(map(np.array_equal, once, twice))


def test_the_weights_of_all_23_bits_stay(tmp_path):
    exported = drawn.exported(tmp_path / "m.h5")
    packing.pack(exported, tmp_path / "packed.h5", packing.BITS)
    packed, whole = h5.load(tmp_path / "packed.h5"), h5.load(exported)
    assert all(map(np.array_equal, packed.get_weights(), whole.get_weights()))


def test_no_hdf5_file_is_one_line_and_leaves_no_result(tmp_path):
    (tmp_path / "m.h5").write_text("<html>")
    with pytest.raises(UserError, match="is a web page"):
        packing.pack(tmp_path / "m.h5", tmp_path / "packed.h5", 8)
    assert not (tmp_path / "packed.h5").exists()
