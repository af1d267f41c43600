"""The plan of a data set: which file goes into which split and shard.

manifest.json has a summary, a file beside it the pictures of each shard (`index`), left-out.json
the files that are in none. They are written before the first shard, so that an interrupted build
produces the same bytes when it continues, and so that changes in the source folder are detected.
"""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from common import cli, engines, files, photos, seals
from common.cli import UserError
from common.config import FRACTIONS
from common.datasets import catalogue, index, listing, splits
from common.datasets.listing import File, Names, Pictures
from common.datasets.manifest import check as check_manifest
from common.datasets.manifest import check_left_out
from common.datasets.records import SCHEMA
from common.datasets.threads import ahead
from common.engines import Engine

SHARD_PICTURES, SHARD_BYTES = (
    1024,
    100_000_000,
)  # a shard ends at either limit; bytes before PNG compression
HASHED = 256  # pictures at a time, where other processes do it
NO_PICTURE = "no picture"  # the reason of any other file
LEFT_OUT = "left-out.json"
SHOWN = 20  # files that were left out, on the terminal; left-out.json has all


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the shards depend on, apart from the pictures; other settings make another data set."""

    data: str
    source: str
    image_size: int
    cut: str
    split_by: str
    fractions: tuple[float, ...]
    seed: int
    counts: tuple[int, ...] | None = None
    validation: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The manifest's first entries."""
        values = {key: value for key, value in vars(self).items() if value is not None}
        lists = {key: list(value) for key, value in values.items() if isinstance(value, tuple)}
        return {"schema": SCHEMA, **values, **lists}


def make(
    settings: Settings,
    folder: Path,
    shard_pictures: int = SHARD_PICTURES,
    engine: Engine = engines.LOCAL,
) -> dict[str, Any]:
    """Hash every picture and assign it to a shard; the manifest of a data set to be built.

    The plan of each shard and the list of what is in none are written to `folder`.
    """
    source = Path(settings.source)
    others: dict[str, str] = {}
    names = Names(_listing(source, others))
    pictures = Pictures()
    with cli.progress(total=len(names), desc="hashing", unit="picture") as bar:
        measured = engine.run(functools.partial(_measuring, source), names, HASHED)
        for name, file in zip(names, measured, strict=True):
            if isinstance(file, File):
                pictures.append(file)
            else:
                others[name] = file
            bar.update()
    tell([(name, reason) for name, reason in sorted(others.items()) if reason != NO_PICTURE])
    if not len(pictures):
        raise UserError(
            f"There is no picture in {source}. DATA is a folder of photos, nested folders included."
        )

    split_of = splits.assign(
        pictures, settings.split_by, settings.fractions, settings.counts, settings.validation
    )
    reason = "beyond the counts" if settings.counts else "not in the split list"
    unused = (pictures.names[at] for at in np.flatnonzero(split_of == splits.NONE).tolist())
    left_out = sorted([*map(list, others.items()), *([name, reason] for name in unused)])
    labels, label_of = _labels(pictures.names, split_of != splits.NONE)

    # Sorted by content, then shuffled by the seed: shards do not depend on the order of a listing.
    order = pictures.by_content()
    order = order[split_of[order] != splits.NONE]
    order = order[np.random.default_rng(settings.seed).permutation(len(order))]
    per_shard = max(1, min(shard_pictures, SHARD_BYTES // (3 * settings.image_size**2)))
    shards = []
    index.clear(folder)  # of a plan that did not come to its manifest, or whose manifest is gone
    for number, split in enumerate(splits.SPLITS):
        members = order[split_of[order] == number]
        for start in range(0, len(members), per_shard):
            part = members[start : start + per_shard].tolist()
            name = f"{split}-{start // per_shard:05d}"
            rows = (index.Row(*pictures[at], label=int(label_of[at])) for at in part)
            seal = index.write_plan(folder, name, rows)
            shards.append({"name": name, "split": split, "count": len(part), "seal": seal})
    seal = seals.write_json(folder / LEFT_OUT, {"files": left_out})
    return {
        **settings.to_json(),
        "complete": False,
        "labels": labels,
        "mean_ab": [0.0, 0.0],
        "left_out": {"count": len(left_out), "seal": seal},
        "shards": shards,
        "embeddings": {},
    }


def _measuring(source: Path, cores: int) -> engines.Stage:
    """The stage from a picture's name to its `File`, or to why it cannot be read."""

    def measure(name):
        try:
            data = (source / name).read_bytes()
        except OSError as error:
            return photos.unreadable(error)
        return File(name, len(data), files.sha256(data))

    return lambda names: ahead(measure, names, depth=64, workers=cores)


def tell(left_out: list[tuple[str, str]]) -> None:
    """Print the names and reasons of what was left out on standard error, the first `SHOWN`."""
    for name, reason in left_out[:SHOWN]:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if len(left_out) > SHOWN:
        print(
            f"left out: {len(left_out) - SHOWN} more, listed beside the shards",
            file=sys.stderr,
        )


def _listing(source: Path, others: dict[str, str] | None = None) -> Iterator[str]:
    """Yield the pictures below `source` by relative POSIX name.

    others: receives what is none, by such a name, with the reason, when all are yielded.
    """
    skipped: dict[Path, str] = {}
    for path in photos.walk(source, skipped):
        if photos.is_picture(path):
            yield path.relative_to(source).as_posix()
        elif others is not None:
            skipped[path] = NO_PICTURE
    if others is not None:
        others |= {path.relative_to(source).as_posix(): skipped[path] for path in skipped}


def _labels(names, used):
    """(the sorted class folders of the names that are used, the number of each name's).

    [] where those lie in one folder; -1 where a name has none of them.
    """
    numbers: dict[str, int] = {}
    of = np.fromiter((numbers.setdefault(_class_of(name), len(numbers)) for name in names), int)
    found = [name for name in numbers if name and (of[used] == numbers[name]).any()]
    labels = sorted(found) if len(found) > 1 else []
    label_of = {number: labels.index(name) for name, number in numbers.items() if name in labels}
    by_number = np.array([label_of.get(number, -1) for number in range(len(numbers))])
    return labels, by_number[of]


def _class_of(name):
    """The class folder of a picture: the one it lies in, "" at the top or in a split's folder."""
    folder = PurePosixPath(name).parent.name
    return "" if folder.lower() in splits.NAMES else folder


def read(folder: Path) -> dict[str, Any] | None:
    """The manifest in a folder of shards, complete or not; None without one."""
    path = folder / "manifest.json"
    try:
        manifest = seals.read_json(path)
        if manifest["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {cli.one_line(manifest['schema'], 60)}, this version writes "
                f"{SCHEMA}. Delete {folder}; it is then made anew."
            )
        check_manifest(manifest)
        return manifest
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is corrupt ({cli.first_line(error)}). Delete {folder}; it is then made anew."
        ) from None


def check(manifest: dict[str, Any], settings: Settings, folder: Path) -> None:
    """`UserError` if the settings or the source folder differ from what was planned."""
    for key, value in settings.to_json().items():
        if manifest.get(key) != value:
            raise UserError(
                f"{folder} was made with {key}={manifest.get(key)}, not {value}. "
                + _way_anew(manifest, folder)
            )
    source = Path(settings.source)
    now = _sizes_now(source)
    if not len(now):  # gone, or a folder on which a drive is no longer mounted
        if manifest["complete"] and not damaged(manifest, folder):
            return  # finished shards do not need their source
        raise UserError(
            f"The source folder {source} is gone or empty and {folder} is not finished. Bring it "
            "back and run the same command again; it goes on."
        )
    excluded = listing.keys(name for name, _ in left_out(manifest, folder))
    now = now[~np.isin(now["key"], excluded)]
    planned = listing.sizes(_planned(manifest, folder))
    if not np.array_equal(now, planned):
        changed = _changed(manifest, folder, source)
        shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise UserError(
            f"{source} changed since {folder} was planned: {len(changed)} files "
            f"({shown}). {_way_anew(manifest, folder)}"
        )


def _sizes_now(source):
    """`listing.sizes` of the pictures that are there."""
    names = _listing(source) if source.is_dir() else ()
    return listing.sizes((name, (source / name).stat().st_size) for name in names)


def _changed(manifest, folder, source):
    """The names of pictures that are new, gone or of another size, sorted."""
    planned = dict(_planned(manifest, folder))
    excluded = {name for name, _ in left_out(manifest, folder)}
    names = [name for name in _listing(source) if name not in excluded]
    now = {name: (source / name).stat().st_size for name in names}
    return sorted(
        name for name in now.keys() | planned.keys() if now.get(name) != planned.get(name)
    )


def _way_anew(manifest, folder):
    if tuple(manifest.get("fractions", FRACTIONS)) != FRACTIONS:  # which `make data` does not know
        return f"Delete {folder}; it is then made anew."
    known = manifest["data"] in catalogue.entries()
    data = manifest["data"] if known else f"'{manifest['source']}'"
    return (
        f"Make it anew: `make data DATA={data} SIZE={manifest['image_size']} "
        f"CUT={manifest['cut']} OVERWRITE=1`."
    )


def _planned(manifest, folder):
    """Yield (name, bytes) of every picture that was planned."""
    for shard in manifest["shards"]:
        if manifest["complete"]:
            listed, _ = index.read_written(folder, shard["name"])
            yield from zip(listed.name, listed.size, strict=True)
            yield from ((name, size) for name, size, _ in listed.unreadable)
        else:
            yield from ((row.name, row.bytes) for row in index.read_plan(folder, shard))


def damaged(manifest: dict[str, Any], folder: Path) -> bool:
    """Whether a shard of a finished data set is missing or has another size, or another index."""
    return any(
        not _is_of_size(folder / f"{shard['name']}.tfrecord", shard["bytes"])
        or seals.of_json(index.path(folder, shard["name"])) != shard["seal"]
        for shard in manifest["shards"]
    )


def _is_of_size(path, size):
    return path.exists() and path.stat().st_size == size


def left_out(manifest: dict[str, Any], folder: Path) -> list[list[str]]:
    """[name, reason] of every file of the source that is in no shard; `UserError`."""
    path = folder / LEFT_OUT
    try:
        listed = seals.read_json(path, manifest["left_out"]["seal"])
        check_left_out(listed)
        return listed["files"]
    except FileNotFoundError:
        raise index.missing(path) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is corrupt ({cli.first_line(error)}). Delete {folder}; it is then made anew."
        ) from None


def unreadable(manifest: dict[str, Any], folder: Path) -> Iterator[list]:
    """Yield [name, bytes, reason] of every picture of a built data set that could not be read."""
    for shard in manifest["shards"]:
        if shard["unreadable"]:
            yield from index.read(folder, shard).unreadable
