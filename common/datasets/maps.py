"""Maps of a network's frozen layers beside the shards: computed once, not in every epoch.

`<shard>.maps-<key>.npy` (N, F) float16 holds the maps of each stored picture, one after the other;
`<shard>.maps-<key>-mirrored.npy` those of its mirror image. `key` begins the hash of all that the
maps depend on; the manifest says under it which network and weights that is. Each row has a
checksum (`rows`); a file that turns out damaged in a training is made anew.
"""

import contextlib
import functools
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common import cli, engines, locks, seals
from common.cli import UserError
from common.datasets import index, records, rows
from common.datasets.rows import DamagedError
from common.datasets.threads import ahead
from common.engines import Engine
from common.networks import backend
from common.networks.frozen import BATCH, Frozen

SHARE = 0.9  # of the free disk that maps may take: a run writes files of its own


class Maps:
    """The stored maps of a data set: `read`."""

    def __init__(self, dataset: records.Dataset, frozen: Frozen) -> None:
        self.dataset, self.frozen, self.key = dataset, frozen, frozen.sha256[:12]
        self._shards = {shard["name"]: shard for shard in dataset.manifest["shards"]}
        self._file = functools.cache(self._opened)

    def _opened(self, shard, mirrored):
        shape = (self._shards[shard]["count"], self.frozen.size)
        return rows.Rows(self.path(shard, mirrored), shape, "<f2")

    def _row(self, shard, row, mirrored):
        """A row; the file that holds it is made anew if it is damaged."""
        try:
            return self._file(shard, mirrored)[row]
        except DamagedError as error:
            cli.say(f"{cli.first_line(error).partition(' Delete')[0]} It is made anew.")
            damaged = {self.path(shard, mirrored): (self._shards[shard], mirrored)}
            _write(damaged, self.dataset.folder, self.frozen, lambda count: None)
            self._file.cache_clear()
            return self._file(shard, mirrored)[row]

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
            np.stack([self._row(shard, row, turned) for (shard, row), turned in views])
        )


def store(
    dataset: records.Dataset, frozen: Frozen, mirrored: bool, engine: Engine = engines.LOCAL
) -> Maps:
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

    def missing(told):
        return {
            path: (shard, turned)
            for path, (shard, turned) in wanted.items()
            if not _holds(path, (shard["count"], frozen.size), told)
        }

    if not missing(told=False) and _noted(dataset.manifest, maps, wanted):
        return maps
    with locks.held(dataset.folder) as lock:
        lacking = missing(told=True)  # another process may have made some of them in the meantime
        views = sum(shard["count"] for shard, _ in lacking.values())
        if lacking:
            _check_room(dataset.folder, frozen, views)
            with cli.progress(total=views, desc="maps", unit="view") as bar:
                _write(lacking, dataset.folder, frozen, bar.update, engine, lock.check)
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


def _noted(manifest, maps, paths):
    """Whether the manifest names the files of these maps, with their sizes."""
    known = manifest.get("maps", {}).get(maps.key, {"bytes": {}})["bytes"]
    return {path.name: path.stat().st_size for path in paths}.items() <= known.items()


def _note(dataset, maps, paths):
    """Record the maps and their files in the manifest, to which others may have added."""
    manifest = records.read_manifest(dataset.folder)
    if not _noted(manifest, maps, paths):
        noted = manifest.setdefault("maps", {})
        known = noted.get(maps.key, {"bytes": {}})["bytes"]
        sizes = {path.name: path.stat().st_size for path in paths}
        noted[maps.key] = {**maps.frozen.metadata, "bytes": known | sizes}
        seals.write_json(dataset.folder / "manifest.json", manifest)
    dataset.manifest = manifest


def _holds(path, shape, told):
    """Whether a file has these maps; each row's checksum is compared when it is read."""
    try:
        rows.Rows(path, shape, "<f2")
    except FileNotFoundError:
        return False
    except DamagedError:
        if told:
            cli.say(f"{path} is corrupt: it is made anew")
        return False
    return True


def _write(
    wanted: dict[Path, tuple[dict[str, Any], bool]],
    folder: Path,
    frozen: Frozen,
    advance: Callable[[int], Any],
    engine: Engine = engines.LOCAL,
    check: Callable[[], Any] = lambda: None,
) -> None:
    """Write the maps of {path: (shard, mirrored)} batch by batch: a shard's may exceed memory.

    check: called before each file.
    """
    views = {
        path: [(part, mirrored) for part in index.parts(shard, BATCH)]
        for path, (shard, mirrored) in wanted.items()
    }
    stage = functools.partial(_mapping, folder, frozen)
    flat = [view for each in views.values() for view in each]
    work = engine.run(stage, flat, network=True, start=backend.start)
    with contextlib.closing(work) as made:
        for path, each in views.items():
            check()
            count = sum(len(part.rows) for part, _ in each)
            with rows.writing(path, (count, frozen.size), "<f2") as append:
                for maps in itertools.islice(made, len(each)):
                    append(maps)
                    advance(len(maps))


def _mapping(folder: Path, frozen: Frozen, cores: int) -> engines.Stage:
    """The stage from (a part of a shard, mirrored) to its maps, (N, F) float16."""

    def lightness(view):
        part, mirrored = view
        l = records.lightness(folder, part)
        return np.ascontiguousarray(l[:, :, ::-1]) if mirrored else l

    def stage(views):
        for l in ahead(lightness, views):
            yield frozen(l)

    return stage


def _bytes(number):
    return tqdm.format_sizeof(number, "B")
