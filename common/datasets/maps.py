"""Maps of a network's frozen layers beside the shards: computed once, not in every epoch.

`<shard>.maps-<key>.npy` (N, F) float16 holds the maps of each stored picture, one after the other;
`<shard>.maps-<key>-mirrored.npy` those of its mirror image. `key` begins the hash of all that the
maps depend on; the manifest says under it which network and weights that is.
"""

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common import cli, files
from common.cli import UserError
from common.datasets import records
from common.datasets.threads import ahead
from common.networks.frozen import BATCH, Frozen

SHARE = 0.9  # of the free disk that maps may take: a run writes files of its own


class Maps:
    """The stored maps of a data set: `read`."""

    def __init__(self, dataset: records.Dataset, frozen: Frozen) -> None:
        self.dataset, self.frozen, self.key = dataset, frozen, frozen.sha256[:12]
        self._file = functools.cache(
            lambda shard, mirrored: np.load(self.path(shard, mirrored), mmap_mode="r")
        )

    def path(self, shard: str, mirrored: bool) -> Path:
        """The file of a shard's maps."""
        suffix = "-mirrored" if mirrored else ""
        return self.dataset.folder / f"{shard}.maps-{self.key}{suffix}.npy"

    def read(
        self,
        split: str,
        positions: Sequence[int] | np.ndarray,
        mirrored: Sequence[bool] | None = None,
    ) -> dict[str, np.ndarray]:
        """{name: (N, height, width, channels) float16} of the pictures at `positions` of a split.

        mirrored: for each, whether of its mirror image; None for none.
        """
        views = zip(
            self.dataset.locate(split, positions),
            mirrored or [False] * len(positions),
            strict=True,
        )
        return self.frozen.unpack(
            np.stack([self._file(shard, turned)[row] for (shard, row), turned in views])
        )


def store(dataset: records.Dataset, frozen: Frozen, mirrored: bool) -> Maps:
    """The maps of every picture, and of the mirror image of those in training if `mirrored`.

    What is missing is computed first and noted in the manifest. `UserError`, before anything is
    written, where it would take more than `SHARE` of the free disk.
    """
    maps = Maps(dataset, frozen)
    wanted = {
        maps.path(shard["name"], turned): (shard, turned)
        for shard in dataset.manifest["shards"]
        for turned in ((False, True) if mirrored and shard["split"] == "train" else (False,))
    }
    missing = {
        path: (shard, turned)
        for path, (shard, turned) in wanted.items()
        if not _holds(path, (len(shard["offsets"]), frozen.size))
    }
    if missing:
        views = sum(len(shard["offsets"]) for shard, _ in missing.values())
        _check_room(dataset.folder, frozen, views)
        with cli.progress(total=views, desc="maps", unit="view") as bar:
            for path, (shard, turned) in missing.items():
                _write(path, dataset.folder, shard, frozen, turned, bar.update)
    _note(dataset, maps, wanted)
    return maps


def _check_room(folder, frozen, views):
    """Print what so many views take; `UserError` where that is more than `SHARE` of the free."""
    size, free = np.dtype(np.float16).itemsize * frozen.size, shutil.disk_usage(folder).free
    room = (
        f"{_bytes(views * size)} in {folder}, {_bytes(size)} for each of {views:,} views; "
        f"{_bytes(free)} are free"
    )
    if views * size > SHARE * free:
        raise UserError(
            f"The maps of {frozen.title} take {room}. Free some space, or compute them as the "
            "training goes: MAPS=no."
        )
    print(f"maps of {frozen.title}: {room}", flush=True)


def _note(dataset, maps, paths):
    """Record the maps and their files in the manifest."""
    noted = dataset.manifest.setdefault("maps", {})
    sizes = {path.name: path.stat().st_size for path in paths}
    known = noted.get(maps.key, {"bytes": {}})["bytes"]
    if not sizes.items() <= known.items():
        noted[maps.key] = {**maps.frozen.metadata, "bytes": known | sizes}
        files.write_json(dataset.folder / "manifest.json", dataset.manifest)


def _holds(path, shape):
    try:
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # absent, or not whole
        return False
    return stored.shape == shape and stored.dtype == np.float16


def _write(
    path: Path,
    folder: Path,
    shard: dict[str, Any],
    frozen: Frozen,
    mirrored: bool,
    advance: Callable[[int], Any],
) -> None:
    """Write a shard's maps batch by batch: a shard's may be larger than memory."""
    offsets = shard["offsets"]
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(offsets), frozen.size)}
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for l in ahead(
            lambda start: _lightness(folder, shard, slice(start, start + BATCH), mirrored),
            range(0, len(offsets), BATCH),
        ):
            file.write(frozen(l).astype("<f2").tobytes())
            advance(len(l))


def _lightness(folder, shard, part, mirrored):
    l = records.lightness(folder, shard, part)
    return np.ascontiguousarray(l[:, :, ::-1]) if mirrored else l


def _bytes(number):
    return tqdm.format_sizeof(number, "B")
