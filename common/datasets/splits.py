"""Which pictures are for training, validation and test: by content, by folder or by a list.

The default is by content: the hash of a file decides, so that its split stays the same when other
photos are added or when it is moved or renamed, and copies are in the same split.
"""

import csv
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common import files
from common.cli import UserError
from common.datasets.listing import DIGEST, Listed, Pictures

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


TRAIN, VALIDATION, TEST = range(len(SPLITS))
NONE = -1  # of a picture that is in no split


def assign(
    pictures: Pictures,
    split_by: str,
    fractions: tuple[float, ...],
    counts: tuple[int, ...] | None = None,
    validation: int | None = None,
) -> np.ndarray:
    """The split of each picture, (N,) int8: its number in `SPLITS`, or `NONE`. Raises `UserError`.

    split_by: "content", "folder" or the path of a list. fractions: of `SPLITS`, where hashes
    decide. counts: the number of pictures in each split, taken in the order of their hashes,
    instead of fractions. validation: how many pictures of the folder `train`, the first by hash,
    are for validation.
    """
    digests = pictures.digests()
    if counts:
        return _counted(pictures, counts)
    if split_by not in ("content", "folder"):
        known = Listed(listed(split_by))
        return _of_names(pictures, lambda name: known.get(name, NONE))
    if split_by == "folder":
        of = _of_names(pictures, _named)
        if (of != NONE).all():
            if validation and not (of == VALIDATION).any():
                hold_out(of, digests, validation)
            _fill(of, digests, missing_only=True)
            return of
        if validation:
            stray = pictures.names[int(np.argmax(of == NONE))]
            raise UserError(
                f"These pictures are split by the folders train and test, and {stray} "
                "is in neither. Move it into one of them, or use SPLIT_BY=content."
            )
        digests = _of_folders(pictures)
    of = _by_hash(digests, fractions)
    _fill(of, digests)
    return of


def _of_names(pictures, split_of):
    return np.fromiter(map(split_of, pictures.names), np.int8, len(pictures))


def _named(name):
    """The split whose name the first folder of a path has."""
    split = NAMES.get(Path(name).parts[0].lower())
    return SPLITS.index(split) if split else NONE


def _of_folders(pictures):
    """The hash of each picture's folder, as `Pictures.digests`."""

    @functools.lru_cache
    def hashed(folder):
        return bytes.fromhex(files.sha256(folder.encode("utf-8", "surrogateescape")))

    found = (hashed(str(Path(name).parent)) for name in pictures.names)
    return np.fromiter(found, f"S{DIGEST}", len(pictures))


def _counted(pictures, counts):
    if len(pictures) < sum(counts):
        raise UserError(
            f"{sum(counts)} pictures are needed, {len(pictures)} are there. Complete the folder; "
            "or name it as DATA=folder, which takes any number of pictures."
        )
    of = np.full(len(pictures), NONE, np.int8)
    of[pictures.by_content()[: sum(counts)]] = np.repeat(range(len(SPLITS)), counts)
    return of


def _by_hash(digests, fractions):
    """The split by a hash as a number in [0, 1): smaller test fractions are part of larger ones."""
    leading = np.frombuffer(digests.tobytes(), ">u8")[:: DIGEST // 8] >> 12  # 13 digits
    position = leading.astype(np.float64) / 16**13
    of = np.full(len(digests), TRAIN, np.int8)
    of[position < fractions[2] + fractions[1]] = VALIDATION
    of[position < fractions[2]] = TEST
    return of


def hold_out(of: np.ndarray, digests: np.ndarray, count: int) -> None:
    """Move `count` training pictures, the first by hash, to validation; copies move together.

    of: as of `assign`, changed in place. digests: as of `Pictures.digests`.
    """
    groups, copies = np.unique(digests[of == TRAIN], return_counts=True)
    moved = []
    for digest, together in zip(groups, copies, strict=True):
        if not count:
            break
        if together <= count:
            moved.append(digest)
            count -= together
    _move(of, digests, moved, VALIDATION)


def _fill(of, digests, missing_only=False):
    """Fill an empty validation or test split with the training pictures that come next by hash.

    If there are few pictures, all may be in training. Copies move together; training keeps one.
    """
    for wanted in (VALIDATION, TEST):
        if (of == wanted).any():
            continue
        groups = np.unique(digests[of == TRAIN])
        count = max(1, len(groups) // 20) if missing_only else 1
        if len(groups) > count:
            _move(of, digests, groups[:count], wanted)


def _move(of, digests, moved, split):
    """Move the training pictures with these hashes to another split."""
    of[(of == TRAIN) & np.isin(digests, np.array(moved, digests.dtype))] = split


def drawn(count: int, some: int | None, seed: int) -> np.ndarray:
    """The positions of `some` of `count` pictures, drawn by seed, ascending; None for all of them.

    Those of a smaller number are among those of a larger.
    """
    if some is None:
        return np.arange(count)
    # A stream of its own: [seed, number] is of passes (training.batches) and of views.
    return np.sort(np.random.default_rng([seed, 0, 2]).permutation(count)[:some])


def listed(path: str | Path) -> Iterator[tuple[str, int]]:
    """Yield (name, split) from a file of lines "path,split", as `assign` has it; `UserError`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            entries = filter(None, csv.reader(file))
            first = next(entries, ["split"])
            before = [] if first[-1] == "split" else [first]  # the first may be a header
            for number, row in enumerate(itertools.chain(before, entries), start=1):
                if len(row) != 2 or row[1] not in NAMES:
                    raise UserError(
                        f'{path}, entry {number}: expected "path,split" with train, '
                        f"validation or test, got {','.join(row)!r}."
                    )
                yield row[0], SPLITS.index(NAMES[row[1]])
    except FileNotFoundError:
        raise UserError(
            f"There is no split list {path}. SPLIT_BY is content, folder, or a file "
            'of lines "path,split".'
        ) from None
