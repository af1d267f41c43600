"""The one file that holds all state of a run; anything else is lost with the process.

The order of the pictures and their views have no state, see `Batches`.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import files
from common.cli import UserError


@dataclasses.dataclass
class Progress:
    """All state but the variables: how far a run is, and its history."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    sums: dict[str, float] = dataclasses.field(default_factory=dict)  # of its steps' values
    seconds: float = 0.0  # of its training
    unfrozen: bool = False  # whether the pretrained layers train
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # a dict an epoch
    ended: int | None = None  # the number of epochs of a run that a callback ended early
    callbacks: list[Any] = dataclasses.field(default_factory=list)  # [class name, state] of each


def variables(model: keras.Model) -> list[Any]:
    """Every variable in a fixed order: weights, states of random layers, the optimizer's."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def save(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write the checkpoint, whole or not at all."""
    arrays = {
        f"{number:05d}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables(model))
    }
    with files.replacing(path) as temporary:
        np.savez(temporary, progress=np.array(json.dumps(dataclasses.asdict(progress))), **arrays)


def load(path: Path, model: keras.Model, prepare: Callable[[Progress], None]) -> Progress | None:
    """Set a model's variables from the checkpoint and return the progress; None without a file.

    prepare(progress) is called first, since it decides which layers train, and with that the
    optimizer's variables.
    Raises `UserError` for a damaged file.
    """
    if not path.exists():
        return None
    try:
        with np.load(path) as stored:
            progress = Progress(**json.loads(str(stored["progress"])))
            prepare(progress)
            targets = variables(model)
            values = [stored[f"{number:05d}"] for number in range(len(targets))]
        for variable, value in zip(targets, values, strict=True):
            variable.assign(value)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"{path} is corrupt. Delete it to begin this run anew.") from None
    return progress
