"""Flip one byte anywhere in a file that the library wrote, and see whether it is found and mended.

    .venv/bin/python -m benchmarks.flips [--flips 1000] [--seed 0]

Each flip is of a random byte of a random file, to another random value, and is taken back. It
counts as found where reading the file as the library does raises an error or prints that the file
is corrupt; as mended where the same reading gives what it gave before.
"""

import contextlib
import dataclasses
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from common import cli, datasets, training
from common.cli import UserError
from common.datasets import index, maps, plan
from common.networks import embeddings, frozen, h5
from common.training import checkpoint, run
from tests import drawn, tiny
from tests.training import mapped


def main(argv: list[str] | None = None) -> int:
    """Print a table of the flips in each kind of file; 1 if one was not found."""
    parser = cli.Parser("python -m benchmarks.flips", description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=cli.at_least(1), default=1000)
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    args = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        for quiet in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            stack.enter_context(quiet(io.StringIO()))
        kinds = list(written())
        rows = flipped(kinds, args.flips, np.random.default_rng(args.seed))
    print("| file | flips | found | mended |")
    print("|---|--:|--:|--:|")
    for kind, row in zip(kinds, rows, strict=True):
        mended = row.mended if kind.mends else "no"
        print(f"| {kind.name} | {row.flips} | {row.found} | {mended} |")
    print(f"| all | {sum(r.flips for r in rows)} | {sum(r.found for r in rows)} | |")
    return int(any(row.found < row.flips for row in rows))


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file: those of it, and how the library reads one.

    read(path): what is read, compared with ==; where the file is damaged it prints that or raises
    `UserError`. mends: whether a damaged one is mended by that.
    """

    name: str
    paths: list[Path]
    read: Callable[[Path], object]
    mends: bool


@dataclasses.dataclass
class Row:
    """Flips in a kind of file, and how many were found and mended."""

    flips: int = 0
    found: int = 0
    mended: int = 0


def flipped(kinds: list[Kind], flips: int, rng: np.random.Generator) -> list[Row]:
    """Flip bytes; a `Row` a kind."""
    rows = [Row() for _ in kinds]
    right = {path: kind.read(path) for kind in kinds for path in kind.paths}
    for number in range(flips):
        kind, row = kinds[number % len(kinds)], rows[number % len(kinds)]
        path = kind.paths[rng.integers(len(kind.paths))]
        beside = {each: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}
        changed = bytearray(beside[path])
        changed[rng.integers(len(changed))] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        row.flips += 1
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                row.mended += kind.read(path) == right[path]
            row.found += "is corrupt" in said.getvalue()
        except UserError as error:
            row.found += path.name in str(error)
        for each, content in beside.items():
            each.write_bytes(content)
    return rows


# --- the files, in the current folder ---------------------------------------------------------


def _small_embedding(weights, classes, classifier_activation):
    """In place of MobileNetV2."""
    x = picture = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(classes)(x))


def written() -> Iterator[Kind]:
    """Write a data set with features and a run, and yield the kinds of their files."""
    small = dataclasses.replace(
        embeddings.NETWORKS["mobilenet_v2"], size=32, build=_small_embedding
    )
    embeddings.NETWORKS["mobilenet_v2"] = small
    drawn.folder("photos", 40, 40)
    embedding = "mobilenet_v2", "random"
    dataset = datasets.prepare("photos", 32, "squash", *embedding)
    folder, manifest = dataset.folder, dataset.manifest
    splits = {folder / f"{shard['name']}.tfrecord": shard["split"] for shard in manifest["shards"]}

    def of_shard(path):
        batch = dataset.read(splits[path], range(dataset.count(splits[path])))
        return batch["rgb"].tobytes(), batch["name"]

    yield Kind("shard", list(splits), of_shard, mends=True)

    def of_embeddings(path):
        datasets.prepare("photos", 32, "squash", *embedding)
        return path.read_bytes()

    paths = sorted(folder.glob("*-photo.npy"))
    yield Kind("embeddings", paths, of_embeddings, mends=True)

    config = mapped.CONFIGS["flips"]
    network = mapped.build_model(config)
    about = {"encoder": mapped.load_encoder(network, config, "random")}
    extractor = frozen.Frozen(frozen.cut(network, ["encoder"])[0], config, about)
    maps.store(dataset, extractor, mirrored=True)

    def of_maps(path):
        reader = maps.store(dataset, extractor, mirrored=True)
        for split in datasets.SPLITS:
            count = dataset.count(split)
            for turned in (False, True) if split == "train" else (False,):
                reader.read(split, range(count), [turned] * count)
        return path.read_bytes()

    yield Kind("maps", sorted(folder.glob("*.maps-*.npy")), of_maps, mends=True)
    yield Kind("manifest", [folder / "manifest.json"], lambda path: plan.read(path.parent), False)

    def of_index(path):
        index.kept.cache_clear()  # as a process that begins
        again = datasets.Dataset(path.parent)
        return [(listed.name, listed.offsets.tolist()) for listed in again.indices(path.stem[:-6])]

    yield Kind(
        "index of a shard", [index.path(folder, path.stem) for path in splits], of_index, False
    )

    trained = training.train(tiny.REPORT, "plain", "photos", steps=2, epochs=2, run="r")
    model = tiny.REPORT.build_model(tiny.CONFIGS["plain"])
    training.compile_model(tiny.REPORT, model, tiny.CONFIGS["plain"], 2)

    def of_checkpoint(path):
        """The one before is of the same step here: the end of an epoch is saved twice."""
        found = checkpoint.load(path, model, lambda progress: None)
        return [keras.ops.convert_to_numpy(v).tobytes() for v in model.variables], found.history[:1]

    saved = trained.folder / "checkpoint.npz"
    checkpoint.before(saved).write_bytes(saved.read_bytes())
    yield Kind("checkpoint", [saved], of_checkpoint, mends=True)
    identity = run.seals.read_json(trained.folder / "config.json")

    def of_config(path):
        run.refuse_another(path.parent, identity, type(tiny.CONFIGS["plain"]))

    yield Kind("config.json of a run", [trained.folder / "config.json"], of_config, False)
    yield Kind("exported .h5", [trained.model], h5.metadata, False)


if __name__ == "__main__":
    sys.exit(cli.run(main))
