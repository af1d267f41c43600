"""What a manifest and the files beside it must hold: types, ranges, names within their folders.

They are checked whenever one is read: a file that was damaged, or made by somebody else, is then
refused by one line, and no name in it leads out of the folder of the shards or of the photos.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from common import photos
from common.cli import one_line
from common.datasets.splits import SPLITS

SHARD = re.compile(rf"({'|'.join(SPLITS)})-[0-9]{{5,9}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{1,64}(-[a-z]+)?")  # of `records.embedding_key`
_LARGEST = 1 << 62  # of sizes and offsets


def check(manifest: Any) -> None:
    """ValueError names the first entry of a manifest, as JSON, that is missing or not sound."""
    _held(manifest, "", _ENTRIES)
    _held(manifest["left_out"], "left_out.", _LEFT_OUT)
    for number, shard in enumerate(manifest["shards"]):
        where = f"shards[{number}]."
        _held(shard, where, _SHARD_ENTRIES)
        if manifest["complete"]:  # else it is planned alone
            _held(shard, where, {**_WRITTEN, "unreadable": _is_natural})
    shards = [shard["name"] for shard in manifest["shards"]]
    if len(set(shards)) < len(shards):
        raise ValueError("two shards have one name")
    for key, entry in manifest["embeddings"].items():
        if not _KEY.fullmatch(key):
            raise ValueError(f"embeddings has the key {one_line(key, 60)}")
        _held(entry, f"embeddings.{key}.", _EMBEDDING)
        if manifest["complete"] and not set(shards) <= entry["bytes"].keys():
            raise ValueError(f"embeddings.{key}.bytes lacks a shard")
    maps = manifest.get("maps", {})
    _held(maps, "maps.", {})
    for key, entry in maps.items():
        _held(entry, f"maps.{one_line(key, 60)}.", {"bytes": _is_of_sizes})


def check_index(index: Any, labels: int | None = None) -> None:
    """`check`, of the index of a shard (`datasets.index`); labels: how many the manifest has."""
    check_files(index)
    _held(index, "", {**_WRITTEN, "offsets": _every(_is_natural), "unreadable": _UNREADABLE})
    if len(index["offsets"]) != len(index["files"]["name"]):
        raise ValueError("offsets has another length than its files")
    if labels is not None and max(index["files"]["label"], default=-1) >= labels:
        raise ValueError("files.label is none of the labels")


def check_files(plan: Any) -> None:
    """`check`, of the plan of a shard."""
    _held(plan, "", {"files": lambda value: isinstance(value, dict)})
    _held(plan["files"], "files.", _COLUMNS)
    if len({len(column) for column in plan["files"].values()}) > 1:
        raise ValueError("files has columns of several lengths")


def check_left_out(listed: Any) -> None:
    """`check`, of the list of files that are in no shard."""
    _held(listed, "", {"files": _every(_row(_is_inside, _is_text))})


def _held(holder, where, entries: Mapping[str, Callable[[Any], bool]]):
    if not isinstance(holder, dict):
        raise ValueError(f"{where.rstrip('.') or 'all of it'} is no object")
    for name, is_sound in entries.items():
        if name not in holder:
            raise ValueError(f"{where}{name} is missing")
        if not is_sound(holder[name]):
            raise ValueError(f"{where}{name} is not sound")


def _is_text(value):
    return isinstance(value, str)


def _is_natural(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _is_finite(value):
    return isinstance(value, (int, float)) and abs(value) < _LARGEST  # nor NaN


def _is_inside(name):
    """Whether a name is that of a file below a folder."""
    parts = name.split("/") if _is_text(name) else [""]
    return parts[0] != "" and ".." not in parts and "\0" not in name


def _is_of_sizes(value):
    return isinstance(value, dict) and all(map(_is_natural, value.values()))


def _every(is_sound):
    return lambda values: isinstance(values, list) and all(map(is_sound, values))


def _matches(pattern):
    return lambda value: _is_text(value) and pattern.fullmatch(value) is not None


def _row(*kinds):
    """Whether a value is a list of one value of each kind."""

    def is_sound(value):
        return (
            isinstance(value, list)
            and len(value) == len(kinds)
            and all(kind(each) for kind, each in zip(kinds, value, strict=True))
        )

    return is_sound


_ENTRIES = {
    "data": _is_text,
    "source": _is_text,
    "image_size": lambda value: _is_natural(value) and 0 < value <= 1 << 14,
    "cut": lambda value: _is_text(value) and value in photos.CUTS,
    "split_by": _is_text,
    "seed": _is_natural,
    "complete": lambda value: isinstance(value, bool),
    "labels": _every(_is_text),
    "mean_ab": _row(_is_finite, _is_finite),
    "left_out": lambda value: isinstance(value, dict),
    "shards": lambda value: isinstance(value, list),
    "embeddings": lambda value: isinstance(value, dict),
}
_SHARD_ENTRIES = {
    "name": _matches(SHARD),
    "split": lambda value: _is_text(value) and value in SPLITS,
    "count": _is_natural,
    "seal": _matches(_SHA256),
}
_LEFT_OUT = {"count": _is_natural, "seal": _matches(_SHA256)}
_COLUMNS = {
    "name": _every(_is_inside),
    "bytes": _every(_is_natural),
    "sha256": _every(_matches(_SHA256)),
    "label": _every(lambda value: value == -1 or _is_natural(value)),
}
_UNREADABLE = _every(_row(_is_inside, _is_natural, _is_text))
_WRITTEN = {
    "bytes": _is_natural,
    "sha256": _matches(_SHA256),
    "grey": _is_natural,
    "ab_sum": _row(_is_finite, _is_finite),
}
_EMBEDDING = {
    **dict.fromkeys(("network", "weights", "sha256", "precision"), _is_text),
    "bytes": _is_of_sizes,
    "requests": lambda value: isinstance(value, list),
}
