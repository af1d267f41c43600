"""The pictures that another system made, matched by name and scored like a model's.

They are scored with their own lightness; its difference from the true one appears as L* drift.
"""

import collections
import dataclasses
from concurrent.futures import Executor
from pathlib import Path, PurePosixPath

import numpy as np

from common import datasets, photos
from common.cli import UserError
from common.evaluation import rows
from common.evaluation.baselines import Batch


def parse(text: str) -> tuple[str | None, Path]:
    """ "folder" or "name=folder" -> (name or None, folder); an existing folder takes precedence."""
    name, equals, folder = text.partition("=")
    if equals and name and not Path(text).is_dir():
        return name, Path(folder)
    return None, Path(text)


@dataclasses.dataclass(frozen=True)
class Read:
    """A prediction as it was read.

    file: None if the picture has none. picture: (S, S, 3) uint8, or None. changes: those of
    `CHANGES` that were necessary. error: why it could not be read, or None.
    """

    file: str | None
    picture: np.ndarray | None = None
    changes: tuple[str, ...] = ()
    error: str | None = None


CHANGES = "resized", "grey", "alpha"


class Predictions:
    """A folder of pictures for the first `count` of a split; `UserError` where none fits."""

    kind, takes_embedding, makes = rows.PREDICTIONS, False, "rgb"

    def __init__(
        self, folder: str | Path, name: str, dataset: datasets.Dataset, split: str, count: int
    ):
        self.name, self.dataset, self.folder = name, dataset, Path(folder)
        if not self.folder.is_dir():
            raise UserError(
                f"There is no folder {folder}. PREDICTIONS is a folder of pictures, or name=folder."
            )
        present = [
            path.relative_to(self.folder).as_posix()
            for path in photos.find(self.folder)
            if photos.is_picture(path)
        ]
        names = dataset.names(split)
        matched = match(names, present)
        self._names = names[:count]
        self._files = [matched.get(name) for name in self._names]
        self._others = sorted({*present} - {*matched.values()})
        if not any(self._files):
            given = f"its {len(present)} are like {present[0]}" if present else "it has no picture"
            raise UserError(
                f"No picture in {folder} has the name of one to score: {given}, the "
                f"{split} split's are like {names[0]}."
            )

    def source(self, digests: list[str], outcomes: list[Read]) -> rows.PictureFolder:
        """What the row of this folder records; outcomes: a `Read` a picture."""
        unreadable = [read for read in outcomes if read.error]
        missing = [name for name, file in zip(self._names, self._files, strict=True) if not file]
        return rows.PictureFolder(
            folder=str(self.folder),
            seen=None,
            counts={
                "used": len(self._files) - len(missing) - len(unreadable),
                "missing": len(missing),
                "others": len(self._others),
                **{kind: sum(kind in read.changes for read in outcomes) for kind in CHANGES},
                "unreadable": len(unreadable),
            },
            unreadable=[{"file": read.file, "reason": read.error} for read in unreadable],
            missing=missing,
            others=self._others,
        )

    def unreadable(self, outcomes: list[Read]) -> str | None:
        """One line where not a single picture could be read, else None."""
        errors = [read.error for read in outcomes if read.file]
        if not all(errors):
            return None
        return f"No picture of {self.folder} can be read: {errors[0]}."

    def __call__(self, batch: Batch, pool: Executor | None = None) -> list[Read]:
        """The pictures of a batch.

        Another size is brought to the data set's by its own cut, grey becomes three equal channels,
        alpha is laid over white, as the true pictures were.
        """
        these = [self._files[position] for position in batch.positions]
        return list(pool.map(self._read, these) if pool else map(self._read, these))

    def _read(self, file):
        if file is None:
            return Read(None)
        size = self.dataset.image_size
        try:
            with photos.read(self.folder / file) as photo:
                pixels = next(photo.pages()).pixels
        except photos.PhotoError as error:
            return Read(file, error=str(error))
        is_so = {
            "resized": pixels.shape[:2] != (size, size),
            "grey": pixels.ndim == 2,
            "alpha": pixels.ndim == 3 and pixels.shape[2] == 4,
        }
        changes = tuple(kind for kind in CHANGES if is_so[kind])
        return Read(file, photos.flat(pixels, size, self.dataset.cut), changes)


def match(names: list[str], present: list[str]) -> dict[str, str]:
    """{name of a picture: file of its prediction}, both relative POSIX paths.

    A file fits the picture of the same path; else of the same path with a suffix appended
    (a.jpg.png for a.jpg) or another suffix (a.png for a.jpg); else, by the same three rules, of the
    same file name in whatever folder. A rule applies only where exactly one file and one picture
    match by it.
    """

    rules = [(_whole, _whole), (_whole, _without_suffix), (_without_suffix, _without_suffix)]
    matched: dict[str, str] = {}
    taken: set[str] = set()
    for part in (_whole, _base):  # the path, then the file's name in whatever folder
        for of_name, of_file in rules:
            wanted, given = collections.defaultdict(list), collections.defaultdict(list)
            for name in names:
                wanted[of_name(part(name))].append(name)
            for file in present:
                given[of_file(part(file))].append(file)
            for key, (name, *more) in wanted.items():
                files = given.get(key, ())
                if not more and len(files) == 1 and name not in matched and files[0] not in taken:
                    matched[name] = files[0]
                    taken.add(files[0])
    return matched


def _whole(path):
    return path


def _without_suffix(path):
    return str(PurePosixPath(path).with_suffix(""))


def _base(path):
    return PurePosixPath(path).name
