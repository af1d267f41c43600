"""The one file that holds all state of a run; anything else is lost with the process.

The order of the pictures and their views have no state, see `Batches`.
"""

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import cli, files, seals
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


def before(path: Path) -> Path:
    """Where the checkpoint before the last one is kept, in case that the last one gets damaged."""
    return path.with_name(f"{path.stem}-before{path.suffix}")


def save(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write the checkpoint, sealed (`common.seals`), whole or not at all; the last one is kept."""
    arrays = {
        f"{number:05d}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables(model))
    }
    with files.replacing(path, before(path)) as temporary:
        np.savez(temporary, progress=np.array(json.dumps(dataclasses.asdict(progress))), **arrays)
        seals.seal(temporary)


def load(path: Path, model: keras.Model, prepare: Callable[[Progress], None]) -> Progress | None:
    """Set a model's variables from the checkpoint and return the progress; None without a file.

    prepare(progress) is called first, since it decides which layers train, and with that the
    optimizer's variables. A damaged checkpoint is replaced by the one before, and a line says so;
    without that, `UserError`.
    """
    kept: Path = before(path)
    damaged: Exception | None = None
    if path.exists():
        try:
            return _load(path, model, prepare)
        except _DAMAGED as error:
            if not _is_damage(error):
                raise
            damaged = error
    if not kept.exists():
        if damaged is None:
            return None
        raise UserError(_corrupt(path, damaged)) from None
    try:
        progress = _load(kept, model, prepare)
    except _DAMAGED as error:
        if not _is_damage(error):
            raise
        raise UserError(_corrupt(path if damaged else kept, damaged or error)) from None
    if damaged:
        print(f"{path} is corrupt ({cli.first_line(damaged)}): the one before is taken", flush=True)
    # Else the process was killed between the two renamings of a save.
    os.replace(kept, path)
    return progress


_DAMAGED = (OSError, ValueError)


def _is_damage(error):
    """Whether an error means a damaged file: not one that the system does not let be read."""
    return not isinstance(error, OSError) or error.errno in (None, errno.EIO, errno.EINVAL)


def _corrupt(path, error):
    reason = cli.first_line(error)
    return f"{path} is corrupt ({reason}). Delete it to begin this run anew."


def _load(path, model, prepare):
    seals.check(path)
    progress, arrays = _stored(path)
    prepare(progress)
    targets = variables(model)
    values = [arrays.get(f"{number:05d}") for number in range(len(targets))]
    for variable, value in zip(targets, values, strict=True):
        if value is None or value.shape != tuple(variable.shape) or value.dtype.kind in "OSU":
            raise ValueError(f"it lacks {variable.path}, or holds another shape of it")
    for variable, value in zip(targets, values, strict=True):
        variable.assign(value)
    return progress


def _stored(path):
    """The progress and the arrays by name in a checkpoint; ValueError where it holds others."""
    try:
        with np.load(path) as stored:
            # Not by str(), which NumPy makes of code points that Unicode does not have.
            text = stored["progress"].tobytes().decode("utf-32-le")
            progress = Progress(**json.loads(text))
            arrays = {name: stored[name] for name in stored.files if name != "progress"}
    except OSError:
        raise
    except Exception as error:  # NumPy, zipfile, zlib, json and tokenize raise anything
        raise ValueError(cli.first_line(error)) from error
    counts = progress.epoch, progress.step, progress.ended or 0
    sound = (
        all(isinstance(each, np.ndarray) for each in arrays.values())
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(progress.seconds, (int, float))
        and isinstance(progress.unfrozen, bool)
        and isinstance(progress.sums, dict)
        and all(isinstance(each, float | int) for each in progress.sums.values())
        and isinstance(progress.history, list)
        and all(isinstance(each, dict) for each in progress.history)
        and isinstance(progress.callbacks, list)
        and all(isinstance(each, list) and len(each) == 2 for each in progress.callbacks)
    )
    if not sound:
        raise ValueError("it holds no progress, or other things than arrays")
    return progress, arrays
