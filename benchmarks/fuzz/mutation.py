"""A file, or a JSON value, with something changed; the same for the same generator."""

import copy
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np

ENDS = (
    512  # bytes at each end of a file, where headers and tables are: changed in half of the cases
)
NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31)
WORDS = (
    b"\0" * 64,
    b"\xff" * 64,
    b"[" * 5000,
    b'{"a":' * 3000,
    b"\xed\xa0\x80",
    b"%n%s",
    b"../../x",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 2**31, 2**63, 2**70, 10**30),
    *("", "0", "\0", "é", "\ud800", "../../x", "a" * 5000, "train", "<script>", "\u2028\u202e"),
    *(float("nan"), float("inf"), [], {}, [[]], [None], {"": {}}),
)


def changed(data: bytes, rng: np.random.Generator, others: Sequence[bytes] = ()) -> bytes:
    """The bytes of a file with one to eight changes; others: files whose parts may be put in."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if rng.random() < 0.6 else 1):
        CHANGES[int(rng.integers(len(CHANGES)))](result, rng, others)
    return bytes(result)


def _place(data, rng):
    """A position, in half of the cases near one of the ends."""
    length = max(1, len(data))
    if rng.random() < 0.5:
        near = int(rng.integers(min(ENDS, length)))
        return near if rng.random() < 0.7 else length - 1 - near
    return int(rng.integers(length))


def _length(rng):
    return int(2 ** rng.uniform(0, 10))


def _flip(data, rng, others):
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _byte(data, rng, others):
    if data:
        data[_place(data, rng)] = int(rng.integers(256))


def _number(data, rng, others):
    """Another integer of 2, 4 or 8 bytes, in either order."""
    kind = ("<H", ">H", "<I", ">I", "<Q", ">Q")[int(rng.integers(6))]
    size = struct.calcsize(kind)
    at = _place(data, rng)
    if at + size > len(data):
        return
    (before,) = struct.unpack_from(kind, data, at)
    choices = (*NUMBERS, before + 1, before - 1, 2 * before, 2 ** (8 * size) - 1)
    value = choices[int(rng.integers(len(choices)))]
    struct.pack_into(kind, data, at, value % 2 ** (8 * size))


def _cut_off(data, rng, others):
    del data[_place(data, rng) :]


def _remove(data, rng, others):
    at = _place(data, rng)
    del data[at : at + _length(rng)]


def _repeat(data, rng, others):
    at, size = _place(data, rng), _length(rng)
    data[at:at] = data[at : at + size] * int(rng.integers(1, 4))


def _move(data, rng, others):
    at, to, size = _place(data, rng), _place(data, rng), _length(rng)
    data[to : to + size] = data[at : at + size]


def _noise(data, rng, others):
    at, size = _place(data, rng), _length(rng)
    data[at : at + size] = rng.bytes(min(size, 64))


def _word(data, rng, others):
    at = _place(data, rng)
    word = WORDS[int(rng.integers(len(WORDS)))]
    data[at : at + (len(word) if rng.random() < 0.5 else 0)] = word


def _splice(data, rng, others):
    if others:
        other = others[int(rng.integers(len(others)))]
        at, start, size = _place(data, rng), _place(other, rng), _length(rng)
        data[at : at + size] = other[start : start + size]


CHANGES = (
    *(_flip, _flip, _byte, _byte, _number, _number, _number, _number),
    *(_cut_off, _remove, _repeat, _move, _noise, _word, _splice),
)


def changed_json(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with one to three of its parts replaced, removed, exchanged or repeated."""
    holder = {"": copy.deepcopy(value)}
    for _ in range(int(rng.integers(1, 4))):
        parts = list(_parts(holder))
        if not parts:
            break
        # A kind of part is as probable as another, however often it occurs.
        kinds = sorted({kind for kind, *_ in parts})
        kind = kinds[int(rng.integers(len(kinds)))]
        alike = [part for part in parts if part[0] == kind]
        _, container, key = alike[int(rng.integers(len(alike)))]
        _, other, other_key = parts[int(rng.integers(len(parts)))]
        choice = rng.random()
        if choice < 0.55:
            container[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        elif choice < 0.75 and container is not holder:
            del container[key]
        elif choice < 0.9:
            container[key] = copy.deepcopy(other[other_key])
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        else:
            container[f"{key}x"] = copy.deepcopy(container[key])
    return holder[""]


def _parts(container, path=""):
    """(kind, container, key) of every part of a JSON value; a kind is a path without indices."""
    pairs = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in list(pairs):
        here = f"{path}/{key if isinstance(container, dict) else ''}"
        yield here, container, key
        if isinstance(value, (dict, list)):
            yield from _parts(value, here)


INTEGERS = (*NUMBERS, -1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
REALS = (0.0, -1.0, 1e38, -1e38, float("nan"), float("inf"), 1e-45)


def change_message(message: Any, rng: np.random.Generator) -> None:
    """Replace, remove or repeat one to three of the fields of a protobuf message, at any depth."""
    for _ in range(int(rng.integers(1, 4))):
        fields = list(_fields(message))
        kinds = sorted({field.full_name for _, field, _ in fields})
        kind = kinds[int(rng.integers(len(kinds)))]
        alike = [each for each in fields if each[1].full_name == kind]
        holder, field, index = alike[int(rng.integers(len(alike)))]
        other = _value(*alike[int(rng.integers(len(alike)))])
        choice = rng.random()
        if choice < 0.25:
            _remove_field(holder, field, index)
        elif choice < 0.35 and index is not None:
            values = getattr(holder, field.name)
            values.extend([_value(holder, field, index)] * int(rng.integers(1, 4)))
        else:
            _put(holder, field, index, _other(_value(holder, field, index), other, rng))


def _fields(message):
    """(message, field, index) of every field that is set; index: None for one that has one value"""
    for field, value in message.ListFields():
        several = not isinstance(value, (int, float, str, bytes)) and hasattr(value, "append")
        for index, each in enumerate(value) if several else [(None, value)]:
            yield message, field, index
            if hasattr(each, "ListFields"):
                yield from _fields(each)


def _value(holder, field, index):
    value = getattr(holder, field.name)
    return value if index is None else value[index]


def _other(value, alike, rng):
    """Another value of the same type; alike: one of the same field elsewhere."""
    if hasattr(value, "ListFields") or rng.random() < 0.3:
        return alike
    if isinstance(value, int):
        choices = (*INTEGERS, value + 1, value - 1, 2 * value)
        return choices[int(rng.integers(len(choices)))]
    if isinstance(value, float):
        return REALS[int(rng.integers(len(REALS)))]
    if isinstance(value, bytes):
        return changed(value, rng)
    return ("", "x", "../../x", "a" * 5000, "\x1b[2J\u202e")[int(rng.integers(5))]


def _remove_field(holder, field, index):
    if index is None:
        holder.ClearField(field.name)
    else:
        del getattr(holder, field.name)[index]


def _put(holder, field, index, value):
    try:
        if hasattr(value, "ListFields"):
            copied = type(value)()
            copied.CopyFrom(value)  # it may hold what it replaces
            _value(holder, field, index).CopyFrom(copied)
        elif index is None:
            setattr(holder, field.name, value)
        else:
            getattr(holder, field.name)[index] = value
    except ValueError:  # more bits than the field has, or no number of an enumeration
        _remove_field(holder, field, index)


# --- Checksums, without which every change ends at the first check --------------------------------


def with_png_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, as far as their lengths go."""
    result, at = bytearray(data), 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + size
        if end + 4 > len(data):
            break
        struct.pack_into(">I", result, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(result)


def record(example: bytes) -> bytes:
    """A record of a TFRecord file."""

    def check(part):
        crc = google_crc32c.value(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(example))
    return length + check(length) + example + check(example)
