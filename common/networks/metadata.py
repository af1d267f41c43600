"""What an exported model says of itself: one JSON text, checked; without Keras."""

import json
import operator
from pathlib import Path
from typing import Any

from common.cli import UserError
from common.color.dial import Dial
from common.networks import model_files
from common.photos.geometry import CUTS

ATTRIBUTE = "colorization"  # the name of the text in a model's file
MAX_SIZE = 4096  # pixels a side of the pictures that a model takes


def of_h5(path: str | Path) -> dict[str, Any]:
    """The metadata of an exported .h5; {} for a model that this library did not export.

    `UserError` where there is no such file, where it is no HDF5 file, or where its metadata are
    damaged.
    """
    try:
        with model_files.opened(path) as file:
            stored = file.attrs.get(ATTRIBUTE, "{}")
    except (UserError, PermissionError):
        raise
    except Exception:  # whatever a damaged file makes h5py raise
        raise damaged(path) from None
    return parsed(stored, path)


def parsed(stored: str, path: str | Path) -> dict[str, Any]:
    """The metadata of a model from their JSON text; `UserError` where they are damaged."""
    try:
        about = json.loads(stored)
        embedding = about.get("embedding") or {}
        sound = (
            operator.index(about.get("image_size") or 1) in range(1, MAX_SIZE + 1)
            and about.get("cut", "squash") in CUTS
            and isinstance(about.get("data", {}), dict)
            and all(
                isinstance(embedding[key], str)
                for key in ("network", "weights", "sha256")
                if embedding
            )
        )
        if about.get("dial"):
            Dial.of_json(about["dial"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        sound = False
    if not sound:
        raise damaged(path)
    return about


def damaged(path: str | Path) -> UserError:
    """The error for a model whose metadata cannot be read."""
    return UserError(f"{path} is damaged: its metadata cannot be read. Export it anew.")
