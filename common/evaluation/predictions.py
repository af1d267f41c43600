"""The pictures that another system made, scored like a model's: by name, as they are.

Their lightness is their own: what it differs from the true one shows as L* drift.
"""

import collections
from pathlib import Path, PurePosixPath

from common import photos
from common.cli import UserError

KIND = "predictions"


def parse(text):
    """ "folder" or "name=folder" -> (name or None, folder); a folder of that name goes first."""
    name, equals, folder = text.partition("=")
    if equals and name and not Path(text).is_dir():
        return name, Path(folder)
    return None, Path(text)


class Predictions:
    """A folder of pictures for the first `count` of a split; `UserError` where none fits.

    `about` counts what there was: "used"; "missing", pictures of the split without one; "others",
    files that fit none; and, as pictures are read, "resized", "grey", "alpha" and "unreadable". The
    files missing, of other names and unreadable are listed as well.
    """

    kind, takes_embedding, makes = KIND, False, "rgb"

    def __init__(self, folder, name, dataset, split, count):
        self.name, self.dataset, self.folder = name, dataset, Path(folder)
        if not self.folder.is_dir():
            raise UserError(
                f"There is no folder {folder}. PREDICTIONS is a folder of pictures, or name=folder."
            )
        found = [
            path.relative_to(self.folder).as_posix()
            for path in photos.find(self.folder)
            if photos.is_picture(path)
        ]
        names = dataset.names(split)
        matched = match(names, found)
        self._files = [matched.get(name) for name in names[:count]]
        used = sum(file is not None for file in self._files)
        if not used:
            given = f"its {len(found)} are like {found[0]}" if found else "it has no picture"
            raise UserError(
                f"No picture in {folder} has the name of one to score: {given}, the "
                f"{split} split's are like {names[0]}."
            )
        self.about = {
            "folder": str(folder),
            "seen": None,
            "counts": {
                "used": used,
                "missing": count - used,
                "others": len(found) - len(matched),
                "resized": 0,
                "grey": 0,
                "alpha": 0,
                "unreadable": 0,
            },
            "unreadable": [],
            "missing": [name for name, file in zip(names, self._files, strict=False) if not file],
            "others": sorted({*found} - {*matched.values()}),
        }

    def __call__(self, batch, pool):
        """The pictures of a `baselines.Batch`: a list of (S, S, 3) uint8, None where there is none.

        Another size is brought to the data set's by its own cut, grey becomes three equal channels,
        alpha is laid over white, as the true pictures were. Unreadable ones are None too.
        """
        counts, pictures = self.about["counts"], []
        these = [self._files[place] for place in batch.places]
        for file, result in zip(these, pool.map(self._one, these), strict=True):
            if isinstance(result, str):
                self.about["unreadable"].append({"file": file, "reason": result})
                counts["unreadable"] += 1
                counts["used"] -= 1
                result = None
            if result is not None:
                result, oddities = result
                for oddity in oddities:
                    counts[oddity] += 1
            pictures.append(result)
        return pictures

    def picture(self, place):
        """The picture at one position, counted nowhere; None where it is missing."""
        found = self._one(self._files[place])
        return found[0] if isinstance(found, tuple) else None

    def _one(self, file):
        if file is None:
            return None
        size = self.dataset.image_size
        try:
            with photos.read(self.folder / file) as photo:
                pixels = next(photo.pages()).pixels
        except photos.PhotoError as error:
            return str(error)
        oddities = [
            name
            for name, is_so in (
                ("resized", pixels.shape[:2] != (size, size)),
                ("grey", pixels.ndim == 2),
                ("alpha", pixels.ndim == 3 and pixels.shape[2] == 4),
            )
            if is_so
        ]
        return photos.flat(pixels, size, self.dataset.cut), oddities


def match(names, found):
    """{name of a picture: file of its prediction}, both relative POSIX paths.

    A file fits the picture of the same path; else of the same path but for a suffix put behind
    (a.jpg.png for a.jpg) or another suffix (a.png for a.jpg); else, by the same three rules, of the
    same file name in whatever folder. A rule counts only where one file and one picture meet in it.
    """

    def path(name):
        return name

    def bare(name):
        return str(PurePosixPath(name).with_suffix(""))

    def base(name):
        return PurePosixPath(name).name

    rules = [(path, path), (path, bare), (bare, bare)]
    rules += [
        (lambda name, of=of: of(base(name)), lambda file, by=by: by(base(file))) for of, by in rules
    ]
    matched, taken = {}, set()
    for of_name, of_file in rules:
        wanted, given = collections.defaultdict(list), collections.defaultdict(list)
        for name in names:
            wanted[of_name(name)].append(name)
        for file in found:
            given[of_file(file)].append(file)
        for key, (name, *more) in wanted.items():
            files = given.get(key, ())
            if not more and len(files) == 1 and name not in matched and files[0] not in taken:
                matched[name] = files[0]
                taken.add(files[0])
    return matched
