"""Pickles of NumPy arrays: read right, and refused where they would run anything."""

import io
import os
import pickle

import numpy as np
import pytest

from common.networks import unpickling


def read(content):
    return unpickling.arrays(io.BytesIO(content))


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "|b1"])
def test_arrays_in_nested_dicts_are_numpys(kind):
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    tree = {"Conv_0": {"kernel": values, "bias": np.asfortranarray(values[0])}, "steps": 3}
    ours = read(pickle.dumps(tree, 3))
    for name, right in tree["Conv_0"].items():
        found = ours["Conv_0"][name]
        assert found.dtype == right.dtype.newbyteorder("=") and (found == right).all()
    assert ours["steps"] == 3


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, protocol):
    target = tmp_path / "written"
    for attack in (
        Calls(os.system, f"touch '{target}'"),
        Calls(exec, f"open({str(target)!r}, 'w')"),
        Calls(np.save, str(target), 0),
        Calls(getattr, np, "load"),
    ):
        for hidden in (attack, {"a": {"b": [attack]}}, {"kernel": np.array([attack], object)}):
            with pytest.raises((unpickling.Refused, *unpickling.DAMAGED)):
                read(pickle.dumps(hidden, protocol))
    assert not list(tmp_path.iterdir())


def test_the_name_that_is_refused_is_given():
    with pytest.raises(unpickling.Refused, match=r"^(posix|nt)\.system$"):
        read(pickle.dumps(Calls(os.system, "true"), 3))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"K\x04K\x05", b"K\x04K\x09"),  # 36 numbers of 20
        lambda content: content.replace(b"f4", b"O8"),
        lambda content: b"no pickle",
        lambda content: b"",
    ],
)
def test_a_damaged_pickle_is_an_error(damage):
    content = pickle.dumps({"kernel": np.ones((4, 5), "f4")}, 3)
    assert damage(content) != content
    with pytest.raises(unpickling.DAMAGED):
        read(damage(content))


def test_arrays_of_objects_are_refused():
    with pytest.raises(ValueError, match="does not hold numbers"):
        read(pickle.dumps({"kernel": np.array(["a", 1], object)}, 3))
