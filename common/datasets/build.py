"""`prepare`: a folder or a catalogued data set -> shards and embeddings (`make data`).

An interrupted build continues and produces the same bytes; of a finished one, what is missing or
damaged is made anew.
"""

import argparse
import contextlib
import dataclasses
import functools
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, engines, files, locks, photos, seals
from common.cli import UserError
from common.color import lab
from common.config import FRACTIONS
from common.datasets import features, index, plan, records, statistics
from common.datasets.catalogue import DATA, Source, source_of
from common.datasets.splits import SPLITS
from common.datasets.threads import ahead
from common.engines import Engine
from common.networks.flags import add_weights

UNREADABLE = 0.1  # a larger share of unreadable pictures is an error
CONVERTED = 64  # pictures at a time, where other processes convert them
GREY = 0.1  # from this share of grey pictures on there is a warning


def prepare(
    data: str | Path | Source,
    size: int,
    cut: str,
    embedding: str | None = None,
    weights: str = "auto",
    *,
    embed_from: str = "photo",
    split_by: str | Path | None = None,
    fractions: tuple[float, ...] = FRACTIONS,
    seed: int = 0,
    overwrite: bool = False,
    max_megapixels: float = photos.MAX_MEGAPIXELS,
    folder: str | Path | None = None,
    for_training: bool = True,
    shard_pictures: int = plan.SHARD_PICTURES,
    engine: Engine = engines.LOCAL,
) -> records.Dataset:
    """Make the missing shards and embeddings of a data set.

    data: `samples`, a name in data/sources.toml, or a folder of pictures. size, cut: those of the
    network (photos.CUTS). embedding: a name in embeddings.NETWORKS, or None. embed_from: what
    embeddings are made from, a value of features.FROM. split_by: "content", "folder", or a file of
    lines "path,split"; None means that of existing shards, else the catalogue's, else "content".
    folder: of the shards, by default in data/tfrecords. for_training: whether it is an error if
    there is no training picture. engine: what shares the work out, see `common.engines`.
    Returns the `Dataset`, with that embedding. Raises `UserError`.
    """
    source = data if isinstance(data, Source) else source_of(data)
    source.complete()
    if split_by not in (None, "content", "folder"):
        split_by = str(Path(split_by).expanduser().resolve())
    if folder is None:
        folder = DATA / "tfrecords" / f"{source.name}-{size}-{cut}"
        by = split_by or (plan.read(folder) or {}).get("split_by") or source.split_by
        if by != "content" or source.counts:
            fractions = FRACTIONS  # lists, folders and counts ignore the fractions
        elif tuple(fractions) != FRACTIONS:
            # Beside the usual split. Smaller test fractions are part of larger ones.
            folder = folder.with_name("-".join([folder.name, *(f"{100 * x:g}" for x in fractions)]))
    folder = Path(folder)
    if overwrite and folder.exists():
        source.require()
        with locks.held(folder):
            for path in folder.iterdir():
                if path.name != locks.NAME:
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()

    def settings_of(manifest: dict[str, Any] | None) -> plan.Settings:
        by = str(split_by or (manifest["split_by"] if manifest else source.split_by))
        return plan.Settings(
            data=source.name,
            source=str(source.folder),
            image_size=size,
            cut=cut,
            split_by=by,
            fractions=tuple(fractions),
            seed=seed,
            counts=source.counts,
            validation=source.validation if by == "folder" else None,
        )

    def has_all(manifest: dict[str, Any]) -> bool:
        return _is_whole(manifest, folder) and (
            embedding is None or features.stored(manifest, folder, embedding, weights, embed_from)
        )

    writer = ShardWriter(folder, source.folder, size, cut, max_megapixels)
    manifest = plan.read(folder)
    if manifest:
        plan.check(manifest, settings_of(manifest), folder)
    else:
        source.require()
    if not manifest or not has_all(manifest):
        with locks.held(folder) as lock:
            writer = dataclasses.replace(writer, lock=lock)
            manifest = plan.read(folder)  # another process may have made it in the meantime
            if manifest is None:
                print(f"Preparing {source.name} at {size} x {size} in {folder}", flush=True)
                manifest = plan.make(settings_of(None), folder, shard_pictures, engine)
                if for_training and all(each["split"] != "train" for each in manifest["shards"]):
                    raise UserError(
                        f"No picture of {source.folder} is in the training split. Add pictures "
                        "(copies of one stay together), or name a split: SPLIT_BY=."
                    )
                lock.check()
                seals.write_json(folder / "manifest.json", manifest)
            plan.check(manifest, settings_of(manifest), folder)
            if not _is_whole(manifest, folder):
                _build(manifest, writer, embedding, weights, embed_from, for_training, engine)
            elif embedding and not has_all(manifest):
                features.add(manifest, folder, embedding, weights, embed_from, engine)
    _tidy(folder)
    key = features.stored_key(manifest, embedding, weights, embed_from) if embedding else None
    dataset = records.Dataset(folder, key)
    dataset.mend = functools.partial(_mend, manifest, writer)
    if (share := statistics.grey_share(dataset)) >= GREY:
        print(
            f"warning: {share:.0%} of the training pictures of {source.name} are grey or of a "
            "single tone. A network learns to leave photos grey from them: remove them.",
            file=sys.stderr,
        )
    return dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags --data, --embedding-weights and --split-by of a command that may prepare data."""
    parser.add_argument(
        "--data",
        default="samples",
        help="a folder of pictures, or a name in data/sources.toml",
    )
    add_weights(parser, "embedding")
    parser.add_argument(
        "--split-by",
        help='content, folder, or a file of lines "path,split"',
    )


def add_embed_from(parser: argparse.ArgumentParser) -> None:
    """The flag --embed-from of a command that may compute embeddings."""
    parser.add_argument(
        "--embed-from",
        choices=features.FROM,
        default="photo",
        help="what embeddings are made from: the photo at their network's own size, or the stored "
        "picture",
    )


def _is_whole(manifest, folder):
    return manifest["complete"] and not plan.damaged(manifest, folder)


def _mend(manifest, writer, name, error):
    """Make a damaged shard anew, to the bytes that it had; `UserError` where that cannot be done.

    error: what was found damaged. The photos must be there, and be decoded as they were.
    """
    (shard,) = (each for each in manifest["shards"] if each["name"] == name)
    with locks.held(writer.folder) as lock:
        if files.sha256(writer.path(name)) == shard["sha256"]:
            return  # another thread or process has done it
        cli.say(f"{cli.first_line(error).partition('. ')[0]}. It is made anew from the photos.")
        again = dataclasses.replace(writer, lock=lock)(shard, advance=lambda count: None)
    if again["sha256"] != shard["sha256"]:
        raise UserError(
            f"{writer.path(name)} was damaged, and made anew it is not what it was, perhaps by "
            f"another version of a decoder. Delete {writer.folder}; it is then made anew."
        )


def _build(manifest, writer, embedding, weights, embed_from, for_training, engine):
    """Write the missing shards and finish.

    Each is embedded while the next is decoded; where other processes do that, all together in the
    end.
    """
    folder = writer.folder
    embedder = features.load(embedding, weights) if embedding else None
    total = sum(map(_planned, manifest["shards"]))
    stopped = threading.Event()
    with cli.progress(total=total, desc="pictures", unit="picture") as bar:

        def advance(count):
            if stopped.is_set():
                raise KeyboardInterrupt
            if embedder is None:  # else the progress bar follows the slower step, the embedding
                bar.update(count)

        def embed(shards):
            assert embedder is not None  # it is called only with one
            features.write(manifest, folder, shards, embedder, embed_from, bar.update, engine)
            bar.update(sum(shard["unreadable"] for shard in shards))

        planned, manifest["shards"] = manifest["shards"], []
        with contextlib.ExitStack() as stack:
            finished = {}
            for shard in planned:
                if entry := writer.finished(shard):
                    finished[shard["name"]] = entry
                    advance(_planned(shard))
            rows = (
                row
                for shard in planned
                if shard["name"] not in finished
                for row in writer.rows(shard)
            )
            converted = stack.enter_context(
                contextlib.closing(engine.run(writer.converting, rows, CONVERTED))
            )

            def made(shard):
                return finished.get(shard["name"]) or writer(shard, advance, converted)

            written = stack.enter_context(contextlib.closing(ahead(made, planned, 2, workers=1)))
            stack.callback(stopped.set)  # first of all: else the shard in the making is waited for
            for shard in written:
                manifest["shards"].append(shard)
                if embedder and not engine.apart:
                    embed([shard])
        if embedder and engine.apart:
            embed(manifest["shards"])
    _refuse_unreadable(manifest, folder, total)
    trained = [shard for shard in manifest["shards"] if shard["split"] == "train"]
    pictures = sum(shard["count"] for shard in trained)
    if for_training and not pictures:
        raise UserError(f"No picture of {manifest['source']} is in the training split.")
    ab_sum = np.sum([shard["ab_sum"] for shard in trained], axis=0)
    # Without training pictures there is no mean colour.
    mean_ab = [float(x) / pictures for x in ab_sum] if pictures else [0.0, 0.0]
    manifest |= {"complete": True, "mean_ab": mean_ab}
    if embedder:
        features.note(manifest, folder, embedder, weights, embed_from)
    seals.write_json(folder / "manifest.json", manifest)
    _remove_plans(folder)
    _summarize(manifest, folder)


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Decodes the pictures of planned shards and writes them: `writer(shard, advance)`.

    `converting` is the `engines.Load` of its first half, pictures to records.
    """

    folder: Path
    source: Path
    image_size: int
    cut: str
    max_megapixels: float = photos.MAX_MEGAPIXELS
    lock: locks.Lock | None = None  # of the folder, checked before each shard

    def path(self, name: str) -> Path:
        """The file of a shard."""
        return self.folder / f"{name}.tfrecord"

    def rows(self, shard: dict[str, Any]) -> list[index.Row]:
        """The pictures to write to a shard, by its entry of the manifest, planned or finished."""
        if "sha256" in shard:
            return list(index.read_written(self.folder, shard["name"])[0].rows())
        return index.read_plan(self.folder, shard)

    def finished(self, shard: dict[str, Any]) -> dict[str, Any] | None:
        """A shard's entry of the manifest if an earlier run completed it, else None."""
        path = self.path(shard["name"])
        if not path.exists():
            return None
        try:
            listed, seal = index.read_written(self.folder, shard["name"])
        except UserError:
            if "sha256" in shard:
                raise
            return None  # it is planned, and made from the plan
        return listed.summary(shard, seal) if listed.sha256 == files.sha256(path) else None

    def converting(self, cores: int) -> engines.Stage:
        """The stage from a row of `rows` to (example, (mean ab, whether grey)).

        That is (None, reason) of an unreadable picture.
        """
        return lambda rows: ahead(self._convert, rows, depth=4 * cores, workers=cores)

    def __getstate__(self):
        return {**vars(self), "lock": None}  # which is this process's

    def __call__(
        self,
        shard: dict[str, Any],
        advance: Callable[[int], Any],
        converted: Iterator[tuple] | None = None,
    ) -> dict[str, Any]:
        """Write one shard; return its entry of the manifest.

        advance: called with the number of pictures done. converted: yields those of its rows, by
        default converted here.
        """
        path = self.path(shard["name"])
        if self.lock:
            self.lock.check()
        rows = self.rows(shard)
        if converted is None:
            converted = self.converting(engines.cores())(rows)
        written, outcomes = [], []
        known = index.read_written(self.folder, shard["name"])[0] if "sha256" in shard else None
        unreadable = list(known.unreadable) if known else []

        def examples():
            for row, (example, outcome) in zip(rows, converted, strict=False):
                advance(1)
                if example is None:
                    unreadable.append([row.name, row.bytes, outcome])
                    continue
                written.append(row)
                outcomes.append(outcome)
                yield example

        file = records.write_shard(path, examples())
        if known and known.sha256 == file["sha256"]:
            return shard
        listed = index.Index(
            name=[row.name for row in written],
            size=[row.bytes for row in written],
            digest=[row.sha256 for row in written],
            label=[row.label for row in written],
            offsets=np.array(file["offsets"], np.int64),
            unreadable=unreadable,
            bytes=file["bytes"],
            sha256=file["sha256"],
            grey=sum(grey for _, grey in outcomes),
            ab_sum=np.sum([ab for ab, _ in outcomes] or [[0, 0]], axis=0).tolist(),
        )
        return listed.summary(shard, index.write(self.folder, shard["name"], listed))

    def _convert(self, row):
        """(example, (mean ab, whether grey)) of a planned file; (None, reason) if unreadable."""
        name, _, digest, label = row
        try:
            data = (self.source / name).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.source / name}: {cli.reason(error)}. It could be read when {self.folder} "
                "was planned. Bring it back and run the same command again; it goes on."
            ) from None
        if files.sha256(data) != digest:
            raise UserError(
                f"{self.source / name} changed while {self.folder} was made. Delete {self.folder}; "
                "it is then made anew."
            )
        try:
            rgb = photos.decode(data, self.image_size, self.cut, self.max_megapixels)
        except photos.PhotoError as error:
            return None, str(error)
        ab = lab.rgb_to_lab(rgb)[..., 1:].mean((0, 1), np.float64)
        return records.encode_example(rgb, name, label), (ab, photos.is_grey(rgb))


def _planned(shard):
    """How many pictures were planned for a shard."""
    return shard["count"] + shard.get("unreadable", 0)


def _tidy(folder):
    """Remove what a build that was killed at its very end left: plans, half a file, its lock."""
    with contextlib.suppress(OSError):  # the folder may be read-only
        files.clear(folder)
        if (folder / locks.NAME).exists() or index.plans(folder):
            with contextlib.suppress(UserError), locks.held(folder, "It is not left."):
                _remove_plans(folder)


def _remove_plans(folder):
    """Remove the plans of a data set that is finished, once its lock is held."""
    manifest = plan.read(folder)
    if manifest and manifest["complete"]:
        for path in index.plans(folder):
            path.unlink()


def _refuse_unreadable(manifest, folder, total):
    """Print the pictures that were left out; `UserError` if there are too many."""
    unreadable = list(plan.unreadable(manifest, folder))
    plan.tell([(name, reason) for name, _, reason in unreadable])
    if len(unreadable) > UNREADABLE * total:
        name, _, reason = unreadable[0]
        raise UserError(
            f"{len(unreadable)} of {total} pictures in {manifest['source']} are "
            f"unreadable (the first: {name}: {reason}). Repair or remove them."
        )


def _summarize(manifest, folder):
    counts = dict.fromkeys(SPLITS, 0)
    for shard in manifest["shards"]:
        counts[shard["split"]] += shard["count"]
    grey, unreadable = (
        sum(shard[key] for shard in manifest["shards"]) for key in ("grey", "unreadable")
    )
    print(
        f"{sum(counts.values())} pictures in {folder}: "
        + ", ".join(f"{count} {split}" for split, count in counts.items())
        + f"; {unreadable} unreadable, {manifest['left_out']['count']} other files"
        + (f"; grey: {grey}" if grey else ""),
        flush=True,
    )
