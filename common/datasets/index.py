"""The pictures of each shard, in a sealed JSON file beside it, so that few are in memory at a time.

<shard>.plan.json   those that are planned for a shard, until the data set is finished: `files`,
                    the columns name, bytes, sha256 and label
<shard>.json        those in it, and what is known of the shard: `Index`

The manifest has the seal of each, its `checksum`, and a summary.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common import cli, seals
from common.cli import UserError
from common.datasets import manifest as manifests

KEPT = 4  # indices in memory: of 1,024 pictures, some 0.4 MB each
_OTHERS = ("unreadable", "bytes", "sha256", "grey", "ab_sum")  # of an `Index`


class Row(NamedTuple):
    """A picture's file: its path within the source folder, bytes, SHA-256, and index of class."""

    name: str
    bytes: int
    sha256: str
    label: int


@dataclasses.dataclass(frozen=True)
class Index:
    """What a shard holds; all columns are of its pictures, in stored order.

    label: -1 without a class. offsets: (N,) int64, where each record begins. unreadable: [name,
    bytes, reason] of planned pictures that are not in it. bytes, sha256: of the shard. grey: how
    many pictures are. ab_sum: of their mean ab, in Lab units.
    """

    name: list[str]
    size: list[int]
    digest: list[str]
    label: list[int]
    offsets: np.ndarray
    unreadable: list[list]
    bytes: int
    sha256: str
    grey: int
    ab_sum: list[float]

    def __len__(self) -> int:
        return len(self.name)

    def rows(self) -> Iterator[Row]:
        """The files of its pictures."""
        return map(Row, self.name, self.size, self.digest, self.label)

    def summary(self, shard: dict[str, Any], seal: str) -> dict[str, Any]:
        """The manifest's entry of this shard; shard: the one that it has."""
        return {
            "name": shard["name"],
            "split": shard["split"],
            "count": len(self),
            "seal": seal,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "unreadable": len(self.unreadable),
            "grey": self.grey,
            "ab_sum": self.ab_sum,
        }


class Part(NamedTuple):
    """Rows of a written shard; shard: its entry of the manifest."""

    shard: dict[str, Any]
    rows: range


def parts(shard: dict[str, Any], size: int) -> list[Part]:
    """A written shard in parts of `size` pictures."""
    rows = range(shard["count"])
    return [Part(shard, rows[start : start + size]) for start in rows[::size]]


def path(folder: str | Path, shard: str) -> Path:
    """Where a shard's index lies."""
    return Path(folder) / f"{shard}.json"


def plan_path(folder: str | Path, shard: str) -> Path:
    """Where the plan of a shard lies."""
    return Path(folder) / f"{shard}.plan.json"


def plans(folder: Path) -> list[Path]:
    """The plans that lie in a folder."""
    return sorted(folder.glob("*.plan.json"))


def clear(folder: Path) -> None:
    """Remove the plans and indices that lie in the folder of a data set without a manifest."""
    for found in folder.glob("*.json"):
        shard, _, suffix = found.name.partition(".")
        if manifests.SHARD.fullmatch(shard) and suffix in ("json", "plan.json"):
            found.unlink()


def write(folder: Path, shard: str, index: Index) -> str:
    """Write an index; returns its seal."""
    content = {
        **_columns(index.rows()),
        "offsets": index.offsets.tolist(),
        **{key: getattr(index, key) for key in _OTHERS},
    }
    return seals.write_json(path(folder, shard), content)


def write_plan(folder: Path, shard: str, rows: Iterable[Row]) -> str:
    """Write the pictures that are planned for a shard; returns the seal."""
    return seals.write_json(plan_path(folder, shard), _columns(rows))


def _columns(rows):
    columns = list(zip(*rows, strict=True)) or [()] * len(Row._fields)
    return {"files": dict(zip(Row._fields, map(list, columns), strict=True))}


def read(folder: Path, shard: dict[str, Any], labels: int | None = None) -> Index:
    """The index of a shard, by its entry of the manifest; the last few are kept in memory.

    labels: how many the manifest has, where a picture's must be one of them. Raises `UserError`
    where it is damaged or is not the one that the entry is of.
    """
    try:
        index = kept(path(folder, shard["name"]), shard["seal"], labels)
    except FileNotFoundError:
        raise missing(path(folder, shard["name"])) from None
    if len(index) != shard["count"]:
        raise _corrupt(path(folder, shard["name"]), f"it lists {len(index)} pictures")
    return index


def read_written(folder: Path, shard: str) -> tuple[Index, str]:
    """(the index of a shard, its seal), whatever the manifest says; `UserError` if damaged."""
    where = path(folder, shard)
    try:
        return _index(where, None, None), seals.of_json(where)
    except FileNotFoundError:
        raise missing(where) from None


def _index(where, seal, labels):
    content = _read(where, seal, lambda index: manifests.check_index(index, labels))
    columns = content.pop("files")
    return Index(
        columns["name"],
        columns["bytes"],
        columns["sha256"],
        columns["label"],
        np.array(content.pop("offsets"), np.int64),
        **{key: content[key] for key in _OTHERS},
    )


kept = functools.lru_cache(KEPT)(_index)  # in it; a seal stands for one content


def read_plan(folder: Path, shard: dict[str, Any]) -> list[Row]:
    """The pictures that are planned for a shard, by its entry of the manifest; `UserError`."""
    where = plan_path(folder, shard["name"])
    try:
        files = _read(where, shard["seal"], manifests.check_files)["files"]
    except FileNotFoundError:
        raise missing(where) from None
    return list(map(Row, *(files[key] for key in Row._fields)))


def _read(where, seal, check):
    try:
        content = seals.read_json(where, seal)
        check(content)
        return content
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _corrupt(where, cli.first_line(error)) from None


def missing(where: Path) -> UserError:
    """The error that a file of a data set is not there, alone or with all that was beside it."""
    if (where.parent / "manifest.json").exists():
        return _corrupt(where, "it is missing")
    return UserError(
        f"{where} is gone: a drive taken off? Bring it back and run the same command again."
    )


def _corrupt(where, reason):
    return UserError(
        f"{where} is corrupt ({reason}). Delete {where.parent} and run `make data` again; it is "
        "then made anew."
    )
