"""Seals: one changed byte, of the content or of the seal itself, is seen."""

import json

import numpy as np
import pytest

from common import seals


def _flips(path, check):
    """How many of all flips of a bit of the file, a byte after the other, `check` lets pass."""
    whole, unseen = path.read_bytes(), 0
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            check(path)
            unseen += 1
        except ValueError:  # of which BrokenSealError is one
            pass
    path.write_bytes(whole)
    return unseen


def test_no_flip_in_a_sealed_file_is_unseen(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    assert not seals.check(path)
    seals.seal(path)
    assert seals.check(path) and _flips(path, seals.check) == 0


def test_no_flip_in_sealed_json_is_unseen(tmp_path):
    path = tmp_path / "a.json"
    content = {"names": ["é", "\udce9"], "number": 0.1, "nested": {"checksum": None}, "empty": {}}
    seals.write_json(path, content)
    assert seals.read_json(path) == content and set(json.loads(path.read_text())) == {
        *content,
        "checksum",
    }
    assert _flips(path, seals.read_json) == 0


def test_json_without_a_seal_is_read_and_edited_json_is_not(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert seals.read_json(path) == {"a": 1}
    seals.write_json(path, {"a": 1})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"a": 2}))
    with pytest.raises(seals.BrokenSealError):
        seals.read_json(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="holds list"):
        seals.read_json(path)


@pytest.mark.parametrize("content", [b"", b"x", b"\nSHA-256 of all before: "])
def test_short_files_have_no_seal(tmp_path, content):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert not seals.check(path)
