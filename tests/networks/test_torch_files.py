"""Files of torch.save, put together here opcode by opcode: read right, or refused in one line."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from common.cli import UserError
from common.networks import torch_files

# --- a writer of such pickles, in the opcodes that torch.save leaves (protocol 2) ---------------

KIND = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    return b"\x8a\x08" + struct.pack("<q", value)  # LONG1 of eight bytes


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def called(module, name, *arguments):
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def storage(kind, key, count, view=b""):
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + integer(count)
        + view
        + b"tQ"
    )


def tensor(stored, shape, strides, offset=0, name="_rebuild_tensor_v2"):
    rest = b"" if name == "_rebuild_tensor" else b"\x89" + called("collections", "OrderedDict")
    return called(
        "torch._utils", name, stored, integer(offset), integers(shape), integers(strides), rest
    )


def mapping(items):
    """An OrderedDict with the attribute that a state_dict has."""
    return (
        called("collections", "OrderedDict")
        + b"("
        + b"".join(text(name) + value for name, value in items.items())
        + b"u"
        + b"}"
        + text("_metadata")
        + b"}sb"
    )


def strides_of(array):
    return [stride // array.itemsize for stride in array.strides]


def contents_of(arrays, view=b""):
    return mapping(
        {
            name: tensor(
                storage(KIND[array.dtype.str[1:]], str(i), array.size, view),
                array.shape,
                strides_of(array),
            )
            for i, (name, array) in enumerate(arrays.items())
        }
    )


def pickled(code):
    return b"\x80\x02" + code + b"."


def zipped(path, code, numbers, folder="archive", **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", pickled(code))
        for name, value in members.items():
            archive.writestr(f"{folder}/{name}", value)
        for key, value in numbers.items():
            archive.writestr(f"{folder}/data/{key}", value)
    return path


def older(path, code, numbers, itemsizes, magic=torch_files.MAGIC):
    system = b"}(" + text("little_endian") + b"\x88u"
    keys = b"](" + b"".join(map(text, numbers)) + b"e"
    parts = [
        pickled(integer_of(magic)),
        pickled(integer(1001)),
        pickled(system),
        pickled(code),
        pickled(keys),
    ]
    for key, value in numbers.items():
        parts += [struct.pack("<q", len(value) // itemsizes[key]), value]
    path.write_bytes(b"".join(parts))
    return path


def integer_of(value):
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def saved(path, arrays, zip_format=True):
    """A state_dict of arrays in either format: {name: array} -> the path."""
    numbers = {str(i): array.tobytes() for i, array in enumerate(arrays.values())}
    sizes = {str(i): array.itemsize for i, array in enumerate(arrays.values())}
    if zip_format:
        return zipped(path, contents_of(arrays), numbers, byteorder=b"little", version=b"3\n")
    return older(path, contents_of(arrays, view=b"N"), numbers, sizes)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype("f4"),
        "double": rng.normal(size=(5,)),
        "half": rng.normal(size=(2, 3)).astype("f2"),
        "num_batches_tracked": np.array(7, "i8"),
        "bytes": np.arange(3, dtype="u1"),
        "truth": np.array([True, False]),
    }


# --- what is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("zip_format", [True, False])
def test_both_formats_give_the_tensors(tmp_path, arrays, zip_format):
    read = torch_files.read(saved(tmp_path / "a.pth", arrays, zip_format))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        assert (read[name] == array).all() and read[name].flags.c_contiguous


def test_views_of_one_storage_transposed_and_shifted(tmp_path):
    flat = np.arange(12, dtype="f4")
    one = storage("FloatStorage", "0", 12)
    code = mapping(
        {
            "whole": tensor(one, (3, 4), (4, 1)),
            "transposed": tensor(one, (4, 3), (1, 4)),
            "row": tensor(one, (4,), (1,), offset=4),
            "scalar": tensor(one, (), (), offset=11),
            "spread": tensor(one, (2, 3), (0, 1)),
            "none": tensor(one, (0, 3), (3, 1)),
            "old": tensor(one, (12,), (1,), name="_rebuild_tensor"),
            "parameter": called(
                "torch._utils",
                "_rebuild_parameter",
                tensor(one, (2,), (1,)),
                b"\x88",
                called("collections", "OrderedDict"),
            ),
        }
    )
    read = torch_files.read(zipped(tmp_path / "a.pth", code, {"0": flat.tobytes()}))
    assert (read["whole"] == flat.reshape(3, 4)).all()
    assert (read["transposed"] == flat.reshape(3, 4).T).all()
    assert read["row"].tolist() == [4, 5, 6, 7] and read["scalar"] == 11
    assert read["spread"].tolist() == [[0, 1, 2]] * 2 and read["none"].shape == (0, 3)
    assert (read["old"] == flat).all() and read["parameter"].tolist() == [0, 1]


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], "f4")  # exact in eight bits of mantissa
    halves = (values.view("u4") >> 16).astype("u2")
    code = mapping({"x": tensor(storage("BFloat16Storage", "0", 3), (3,), (1,))})
    read = torch_files.read(zipped(tmp_path / "a.pth", code, {"0": halves.tobytes()}))["x"]
    assert read.dtype == np.float32 and (read == values).all()


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_checkpoint_is_looked_into(tmp_path, key):
    array = np.arange(3, dtype="f4")
    inner = contents_of({"w": array})
    code = b"}(" + text("epoch") + integer(3) + text(key) + inner + b"u"
    read = torch_files.read(zipped(tmp_path / "a.pth", code, {"0": array.tobytes()}))
    assert list(read) == ["w"] and (read["w"] == array).all()


# --- what is refused --------------------------------------------------------------------------


def refused(path, match):
    with pytest.raises(UserError, match=match) as caught:
        torch_files.read(path)
    assert "\n" not in str(caught.value)


def attack(tmp_path):
    """Code that would leave a file behind."""
    return called("posix", "system", text(f"touch {tmp_path / 'owned'}"))


@pytest.mark.parametrize("zip_format", [True, False])
def test_nothing_that_is_in_a_file_is_run(tmp_path, zip_format):
    code = mapping({"x": attack(tmp_path)})
    path = (
        zipped(tmp_path / "a.pth", code, {})
        if zip_format
        else older(tmp_path / "a.pth", code, {}, {})
    )
    refused(path, "posix.system, which could run code")
    pickle.loads(pickled(called("posix", "system", text("true"))))  # such code runs elsewhere
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("at", range(3))
def test_nor_is_what_stands_before_the_tensors(tmp_path, at):
    parts = [pickled(integer_of(torch_files.MAGIC)), pickled(integer(1001)), b""]
    parts[at] = pickled(attack(tmp_path))
    (tmp_path / "a.pth").write_bytes(b"".join(parts))
    refused(tmp_path / "a.pth", "posix.system")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "apply"),
        ("os", "system"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_qtensor"),
        ("numpy", "fromfile"),
        ("collections", "namedtuple"),
        ("torch", "__builtins__"),
        ("torch.hub", "load"),
        ("copyreg", "_reconstructor"),
        ("common.networks.torch_files", "read"),
    ],
)
def test_only_what_makes_tensors_is_known(tmp_path, module, name):
    refused(
        zipped(tmp_path / "a.pth", f"c{module}\n{name}\n".encode(), {}),
        f"{module}.{name}".replace("(", r"\("),
    )


def test_what_a_pickle_does_to_the_functions_it_gets_ends_with_it(tmp_path):
    """BUILD sets attributes of whatever it is given."""
    attributes = b"N}" + text("__name__") + text("x") + b"s\x86b"
    change = b"ctorch._utils\n_rebuild_tensor_v2\n" + attributes
    array = np.arange(3, dtype="f4")
    path = zipped(tmp_path / "a.pth", b"}(" + text("f") + change + b"u", {})
    refused(path, "no tensors by name")
    assert (torch_files.read(saved(tmp_path / "b.pth", {"x": array}))["x"] == array).all()
    change = b"ccollections\nOrderedDict\n" + b"N}" + text("keys") + integer(1) + b"s\x86b"
    refused(zipped(tmp_path / "a.pth", change, {}), "damaged")


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4,), (1,), 0),
        ((3,), (1,), 1),
        ((2,), (3,), 0),
        ((-1,), (1,), 0),
        ((2,), (-1,), 1),
        ((2, 2), (1,), 0),
        ((1 << 40, 1 << 40), (0, 0), 0),
        ((1,), (1,), -1),
        ((1,), (1,), 1 << 62),
    ],
)
def test_a_tensor_beyond_its_storage_is_damage(tmp_path, shape, strides, offset):
    code = mapping({"x": tensor(storage("FloatStorage", "0", 3), shape, strides, offset)})
    refused(zipped(tmp_path / "a.pth", code, {"0": bytes(12)}), "damaged")


@pytest.mark.parametrize(
    "stored",
    [
        storage("FloatStorage", "0", 4),
        storage("FloatStorage", "1", 3),
        storage("FloatStorage", "0", -1),
        storage("FloatStorage", "0", 1 << 60),
        storage("FloatStorage", "../../x", 3),
        integer(3),
        b"N",
        storage("FloatStorage", "0", 3, view=integers((1, 2))),
    ],
)
def test_a_storage_that_is_not_there_is_damage(tmp_path, stored):
    code = mapping({"x": tensor(stored, (3,), (1,))})
    refused(zipped(tmp_path / "a.pth", code, {"0": bytes(12)}), "damaged")


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_file_cut_anywhere_is_damage(tmp_path, arrays, zip_format):
    whole = saved(tmp_path / "a.pth", arrays, zip_format).read_bytes()
    for end in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "cut.pth").write_bytes(whole[:end])
        refused(tmp_path / "cut.pth", "damaged")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"hello", b"\x80\x02."])
def test_other_files_are_no_such_file(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth", "is no file of torch.save")


def test_another_zip_another_byte_order_another_magic(tmp_path, arrays):
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    (tmp_path / "a.pth").write_bytes(buffer.getvalue())
    refused(tmp_path / "a.pth", "no file of torch.save")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("readme.txt", "x")
    refused(tmp_path / "b.pth", "no file of torch.save")
    refused(zipped(tmp_path / "c.pth", contents_of(arrays), {}, byteorder=b"big"), "big-endian")
    refused(older(tmp_path / "d.pth", mapping({}), {}, {}, magic=5), "does not begin")
    refused(zipped(tmp_path / "e.pth", integer(3), {}), "no tensors by name")
    refused(tmp_path / "nothing.pth", "cannot be read")
    refused(tmp_path, "cannot be read")


def test_memory_is_not_promised_to_a_short_file(tmp_path):
    """A pickle may name 4 GB that are not there, or a ZIP member that unpacks to as much."""
    code = mapping({"x": tensor(storage("FloatStorage", "0", 1 << 30), (1 << 30,), (1,))})
    refused(zipped(tmp_path / "a.pth", code, {"0": b"1234"}), "too short")
    with zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(torch_files.LARGEST_PICKLE + 1))
    assert os.path.getsize(tmp_path / "b.pth") < 1 << 20
    refused(tmp_path / "b.pth", "pickle is too large")
    code = mapping({"x": tensor(storage("FloatStorage", "0", 1 << 40), (1 << 40,), (1,))})
    path = older(tmp_path / "c.pth", code, {"0": b""}, {"0": 4})
    path.write_bytes(path.read_bytes()[:-8] + struct.pack("<q", 1 << 40))
    refused(path, "too short")
