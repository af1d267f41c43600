"""Which pictures a data set consists of: the catalogue data/sources.toml, or a folder."""

import dataclasses
import importlib.resources
import tomllib
from pathlib import Path
from typing import Any

from common import files
from common.cli import UserError
from common.datasets import arrays, samples

# A link to data/sources.toml, so that the catalogue is part of the package.
CATALOGUE = Path(str(importlib.resources.files("common.datasets") / "sources.toml"))
DATA = Path("data")  # raw pictures and shards, below the current folder


@dataclasses.dataclass(frozen=True)
class Source:
    """The pictures of a data set.

    data: as the user names it. name: a part of the name of its shards' folder. folder: absolute.
    split_by: "content", "folder" or a file, unless the user chooses another. counts: the numbers of
    training, validation and test pictures, taken in the order of their hashes. validation: how many
    pictures of the folder `train` are for validation. size: the pictures' own side. recipes: see
    `recipe`. missing: what to do if the folder does not exist.
    """

    data: str
    name: str
    folder: Path
    split_by: str = "content"
    counts: tuple[int, int, int] | None = None
    validation: int | None = None
    size: int | None = None
    recipes: tuple[dict[str, Any], ...] = ()
    missing: str = ""

    def require(self) -> None:
        """Make the folder of a data set published as arrays; `UserError` where there is none."""
        if not self.folder.is_dir() and self.name in arrays.MAKERS:
            arrays.MAKERS[self.name](self.folder)
        if not self.folder.is_dir():
            raise UserError(self.missing)

    def complete(self) -> None:
        """Make the built-in samples that are missing; other data sets stay as they are."""
        if self.name == "samples":
            samples.make(self.folder)


def entries() -> dict[str, dict[str, Any]]:
    """The data sets of data/sources.toml, {name: entry}."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def source_of(data: str | Path) -> Source:
    """The `Source` of a name in the catalogue or of a folder, which need not exist; `~` is home."""
    entry = entries().get(str(data))
    if entry is None:
        folder = Path(data).expanduser().resolve()
        return Source(
            str(data),
            # The path is part of the name: two folders called `photos` are two data sets.
            f"{folder.name}-{files.sha256(str(folder).encode())[:6]}",
            folder,
            missing=f"There is no folder {data}, and no data set of this name in "
            f"data/sources.toml ({', '.join(entries())}). DATA is one or the other.",
        )
    folder = (DATA / entry["folder"]).resolve()
    split_by = entry["split_by"]
    if split_by not in ("content", "folder"):
        split_by = str(CATALOGUE.resolve().parent / split_by)
    return Source(
        str(data),
        str(data),
        folder,
        split_by,
        counts=tuple(entry["pictures"]) if "pictures" in entry else None,
        validation=entry.get("validation"),
        size=entry.get("size"),
        recipes=tuple(entry.get("recipes", ())),
        missing=f"The pictures of {data} are not in {folder}. They are at "
        f"{entry.get('url', 'no address')} ({entry['fetch']}).",
    )


def recipe(data: str | Path, report: str, config: str) -> dict[str, int]:
    """What the catalogue has for training a report's config on a data set, in place of its own.

    Any of "epochs", "steps" and "batch". In a recipe without steps an epoch is one pass over the
    data; {} if there is none for this report and config.
    """
    for entry in source_of(data).recipes:
        if "report" not in entry or (entry["report"] == report and config in entry["configs"]):
            return {key: entry[key] for key in ("epochs", "steps", "batch") if key in entry}
    return {}
