"""Named protocols of evaluation: `make eval PRESET=imagenet-val5k-256`.

A preset fixes the pictures, their size and their cut, so that figures under one name compare.
Models of another size are brought to it as in `protocol`.
"""

import csv
import dataclasses
from pathlib import Path, PurePosixPath

from common import datasets, engines, files, photos
from common.cli import UserError

BASELINE = 5000  # pictures beside the tested ones that give the mean colour and the prior


@dataclasses.dataclass(frozen=True)
class Preset:
    """Which pictures are tested, at which size and cut.

    data: a name in data/sources.toml; another folder of the same pictures may be named instead.
    chosen: how the pictures are chosen, in words. pictures: how many are tested, None for all.
    split_by: "folder", "content", "first" by file name, or "list": those in the file `list`, which
    lies beside the pictures and has a name or a path a line.
    """

    name: str
    data: str | None
    image_size: int
    chosen: str
    pictures: int | None = None
    split_by: str = "folder"
    list: str | None = None
    cut: str = "squash"
    split: str = "test"


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "imagenet-val5k-256",
            "imagenet-val",
            256,
            pictures=5000,
            split_by="first",
            chosen="ILSVRC2012 validation, the first 5,000 by file name, as CT2, ColorFormer and "
            "DDColor; the mean colour is of the next 5,000, if they are there",
        ),
        Preset(
            "imagenet-ctest10k-256",
            "imagenet-val",
            256,
            pictures=10000,
            split_by="list",
            list="ctest10k.txt",
            chosen="ILSVRC2012 validation, the 10,000 of Larsson et al. 2016, as Zhang et al. 2016; "  # noqa: E501
            "the mean colour is of the first 5,000 others by file name, if they are there",
        ),
        Preset("cifar10", "cifar10", 32, pictures=10000, chosen="CIFAR-10, its test pictures"),
        Preset("stl10", "stl10", 96, pictures=8000, chosen="STL-10, its test pictures"),
        Preset(
            "folder",
            None,
            256,
            split_by="content",
            chosen="a folder of pictures, one in twenty by the hash of its content",
        ),
    )
}


def dataset(
    preset: Preset,
    data: str | None = None,
    embedding: str | None = None,
    weights: str = "auto",
    embed_from: str = "photo",
    engine: engines.Engine = engines.LOCAL,
) -> datasets.Dataset:
    """The data set of a preset, prepared where it is missing; `UserError` where it cannot be.

    data: a folder of its pictures, or a name of the catalogue; else the preset's own. embedding,
    weights, embed_from, engine: as in `datasets.prepare`.
    """
    if data is not None and (Path(data) / "manifest.json").is_file():
        raise UserError(f"PRESET={preset.name} makes its own shards. DATA is a folder of pictures.")
    data = data or preset.data or "samples"
    source = datasets.source_of(data).folder
    folder, split_by = None, preset.split_by
    if split_by in ("first", "list"):
        mark = files.sha256(str(source).encode())[:6]
        folder = datasets.DATA / "tfrecords" / f"{preset.name}-{mark}"
        split_list = datasets.DATA / "splits" / f"{folder.name}.csv"
        if source.is_dir():
            _write_list(split_list, preset, source)
        split_by = str(split_list)
    made = datasets.prepare(
        data,
        preset.image_size,
        preset.cut,
        embedding,
        weights,
        embed_from=embed_from,
        split_by=split_by,
        folder=folder,
        for_training=False,
        engine=engine,
    )
    count = made.count(preset.split)
    if preset.pictures not in (None, count):
        raise UserError(
            f"PRESET={preset.name} is over {preset.pictures:,} pictures, and "
            f"{made.folder} has {count:,} that can be read. Complete {source}."
        )
    return made


def describe(preset: Preset) -> dict:
    """What metrics.json records of a preset: its fields that are set."""
    return {key: value for key, value in dataclasses.asdict(preset).items() if value is not None}


def _write_list(path, preset, source):
    """The split list of a preset: the tested pictures, and those of the mean colour as training."""
    names = sorted(
        (
            file.relative_to(source).as_posix()
            for file in photos.find(source)
            if photos.is_picture(file)
        ),
        key=lambda name: (PurePosixPath(name).name, name),
    )
    if preset.split_by == "list":
        wanted = _listed(source / preset.list, preset)
        tested = [name for name in names if PurePosixPath(name).name in wanted]
    else:
        tested = names[: preset.pictures]
    if len(tested) != preset.pictures:
        raise UserError(
            f"PRESET={preset.name} is over {preset.pictures:,} pictures, and {source} "
            f"has {len(tested):,} of them."
        )
    chosen = set(tested)
    others = [name for name in names if name not in chosen][:BASELINE]
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        csv.writer(file).writerows(
            [(name, "test") for name in tested] + [(name, "train") for name in others]
        )


def _listed(path, preset):
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise UserError(
            f"PRESET={preset.name} needs {path}: the names of its pictures, one a line."
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text: it holds the pictures' names, one a line.") from None
    return frozenset(PurePosixPath(line.strip()).name for line in lines if line.strip())
