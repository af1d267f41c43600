"""Exported models by name: those of a person, and those that come with the library."""

import importlib.resources
from pathlib import Path

from common.cli import UserError, nearest
from common.networks import model_files

DEFAULT = "wombat"  # the model that colours where none is named


def available(folder: str | Path = "models") -> list[Path]:
    """The exported models in a folder, sorted by name; files of weights alone are not listed."""
    return sorted(
        path for path in Path(folder).glob("*.h5") if not path.name.endswith(".weights.h5")
    )


def shipped() -> Path:
    """The folder of the models that come with the library, relative if below the current one."""
    folder = Path(str(importlib.resources.files("common.networks") / "shipped")).resolve()
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def default() -> list[Path]:
    """A list of the shipped `DEFAULT` alone, for comparison; empty where it is not shipped."""
    return [path for path in available(shipped()) if path.stem == DEFAULT]


def named(name: str | Path | None = None, folder: str | Path = "models") -> Path:
    """The path of a model given by its path, or by its name in `folder` or else among the shipped.

    None is `DEFAULT`, or where there is none of that name, the only model in `folder`. `~` at the
    beginning of a path is home. `UserError` if missing.
    """
    wanted = DEFAULT if name is None else name
    path = Path(wanted).expanduser()
    for place in (
        path,
        Path(folder) / f"{wanted}.h5",
        Path(folder) / path,
        shipped() / f"{wanted}.h5",
    ):
        if place.is_file():
            return place
    if path.is_dir() and (kind := model_files.kind_of_folder(path)):
        raise UserError(f"{path} is {kind}. {model_files.SAVE}")
    trained, ready = available(folder), available(shipped())
    if name is None and len(trained) == 1:
        return trained[0]
    known = ", ".join(path.stem for path in trained) or "no model"
    if ready:
        known += f", and shipped are {', '.join(path.stem for path in ready)}"
    way_out = nearest(Path(wanted).stem, [path.stem for path in [*trained, *ready]]).strip() or (
        "Name one: MODEL=name." if name is None and trained else "Train one: `make train-koala`."
    )
    raise UserError(f"There is no model {wanted}; {folder}/ holds {known}. {way_out}")
