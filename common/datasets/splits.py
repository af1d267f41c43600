"""Which pictures are for training, validation and test: by content, by folder or by a list.

The default is by content: the hash of a file decides, so that its split stays the same when other
photos are added or when it is moved or renamed, and copies are in the same split.
"""

import collections
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import files
from common.cli import UserError

SPLITS = ("train", "validation", "test")

# Names of folders, and words in a list, that stand for a split.
NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class File(NamedTuple):
    """A picture file: its path within the source folder, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str


def assign(
    pictures: list[File],
    split_by: str,
    fractions: tuple[float, ...],
    counts: tuple[int, ...] | None = None,
    validation: int | None = None,
) -> dict[str, str]:
    """{name: split}; a picture without an entry is in no split. Raises `UserError`.

    split_by: "content", "folder" or the path of a list. fractions: of `SPLITS`, where hashes
    decide. counts: the number of pictures in each split, taken in the order of their hashes,
    instead of fractions. validation: how many pictures of the folder `train`, the first by hash,
    are for validation.
    """
    digests = {file.name: file.sha256 for file in pictures}
    if counts:
        return _counted(pictures, counts)
    if split_by not in ("content", "folder"):
        return listed(split_by)
    if split_by == "folder":
        named = {name: NAMES.get(Path(name).parts[0].lower(), "") for name in digests}
        if all(named.values()):
            if validation and "validation" not in named.values():
                hold_out(named, digests, validation)
            _fill(named, digests, missing_only=True)
            return named
        if validation:
            stray = next(name for name, split in named.items() if not split)
            raise UserError(
                f"These pictures are split by the folders train and test, and {stray} "
                "is in neither. Move it into one of them, or use SPLIT_BY=content."
            )
        digests = {name: files.sha256(str(Path(name).parent).encode()) for name in digests}
    by_name = {name: _split_of(digest, fractions) for name, digest in digests.items()}
    _fill(by_name, digests)
    return by_name


def _counted(pictures, counts):
    order = sorted(pictures, key=lambda file: (file.sha256, file.name))
    wanted = np.repeat(SPLITS, counts)
    if len(order) < len(wanted):
        raise UserError(
            f"{sum(counts)} pictures are needed, {len(order)} are there. Complete the folder; or "
            "name it as DATA=folder, which takes any number of pictures."
        )
    return {file.name: str(split) for file, split in zip(order, wanted, strict=False)}


def _split_of(sha256, fractions):
    """The split by a hash as a number in [0, 1): smaller test fractions are part of larger ones."""
    position = int(sha256[:13], 16) / 16**13
    if position < fractions[2]:
        return "test"
    return "validation" if position < fractions[2] + fractions[1] else "train"


def hold_out(by_name: dict[str, str], digests: dict[str, str], count: int) -> None:
    """Move `count` training pictures, the first by hash, to validation; copies move together.

    by_name: {name: split}, changed in place. digests: {name: SHA-256}.
    """
    copies = collections.Counter(
        digests[name] for name, split in by_name.items() if split == "train"
    )
    moved = set()
    for digest in sorted(copies):
        if copies[digest] <= count:
            moved.add(digest)
            count -= copies[digest]
    _move(by_name, digests, moved, "validation")


def _fill(by_name, digests, missing_only=False):
    """Fill an empty validation or test split with the training pictures that come next by hash.

    If there are few pictures, all may be in training. Copies move together; training keeps one.
    """
    for wanted in ("validation", "test"):
        if wanted in by_name.values():
            continue
        groups = sorted({digests[name] for name, split in by_name.items() if split == "train"})
        count = max(1, len(groups) // 20) if missing_only else 1
        if len(groups) > count:
            _move(by_name, digests, set(groups[:count]), wanted)


def _move(by_name, digests, moved, split):
    """Move the training pictures with these hashes to another split."""
    for name, current in by_name.items():
        if current == "train" and digests[name] in moved:
            by_name[name] = split


def drawn(count: int, some: int | None, seed: int) -> np.ndarray:
    """The positions of `some` of `count` pictures, drawn by seed, ascending; None for all of them.

    Those of a smaller number are among those of a larger.
    """
    if some is None:
        return np.arange(count)
    # A stream of its own: [seed, number] is of passes (training.batches) and of views.
    return np.sort(np.random.default_rng([seed, 0, 2]).permutation(count)[:some])


def listed(path: str | Path) -> dict[str, str]:
    """{name: split} from a file of lines "path,split"; raises `UserError`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise UserError(
            f"There is no split list {path}. SPLIT_BY is content, folder, or a file "
            'of lines "path,split".'
        ) from None
    if rows and rows[0][-1] == "split":
        del rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[1] not in NAMES:
            raise UserError(
                f'{path}, entry {number}: expected "path,split" with train, '
                f"validation or test, got {','.join(row)!r}."
            )
    return {name: NAMES[split] for name, split in rows}
