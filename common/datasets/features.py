"""Embeddings beside the shards: the logits of an ImageNet network for every picture.

`<shard>.<key>.npy` (N, 1000) float32. They are made from the photo itself, brought to the network's
own size by the data set's cut; or, if asked for, from the stored picture, enlarged.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, engines, files, photos, seals
from common.cli import UserError
from common.color import lab
from common.datasets import index, records, rows
from common.datasets.threads import ahead
from common.engines import Engine
from common.networks import backend, embeddings

FROM = ("photo", "shard")  # what embeddings are made from; the manifest's "from"


BATCHES = 8  # at a time, where other processes compute them


class Photos:
    """The picture files that shards were made from. `UserError` where their folder is gone."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._source, self._cut = Path(manifest["source"]), manifest["cut"]
        if not self._source.is_dir():
            size = manifest["image_size"]
            raise UserError(
                f"Embeddings are made from the photos, and {self._source} is gone. Bring it back, "
                f"or EMBED_FROM=shard makes them from the stored pictures of {size} x {size}."
            )

    def lightness(self, listed: index.Index, rows: Iterable[int], size: int) -> np.ndarray:
        """L* of some of a shard's photos at another size, (N, size, size, 1) float32.

        `UserError` where a file is not the one that the shard's index names.
        """
        return np.stack([lab.rgb_to_l(self._read(listed, row, size)) for row in rows])[..., None]

    def _read(self, listed, row, size):
        path = self._source / listed.name[row]
        data = path.read_bytes() if path.is_file() else b""
        if files.sha256(data) != listed.digest[row]:
            raise UserError(
                f"{path} is not the photo that the shards were made from. Bring it back, make them "
                "anew with OVERWRITE=1, or make the embeddings from the stored pictures: "
                "EMBED_FROM=shard."
            )
        try:  # of any number of pixels: it has been read before
            return photos.decode(data, size, self._cut, max_megapixels=math.inf)
        except photos.PhotoError as error:
            raise UserError(f"{path}: {error}") from None


class Embedded(records.Dataset):
    """A data set whose embeddings are computed from the photos as they are read."""

    def __init__(self, folder: str | Path, embedder: embeddings.Embedder) -> None:
        super().__init__(folder)
        self._key, self.embedding = None, {**embedder.metadata, "from": "photo"}
        self._embedder, self._photos = embedder, Photos(self.manifest)

    def __reduce__(self):
        return type(self), (self.folder, self._embedder)

    def read_embeddings(self, split: str, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """As `Dataset.read_embeddings`."""
        l = list(
            self._pool.map(
                lambda at: self._photos.lightness(self._index(at[0]), [at[1]], self._embedder.size),
                self.locate(split, positions),
            )
        )
        return self._embedder(np.concatenate(l), pad=True)


def stored_key(
    manifest: dict[str, Any], embedding: str, weights: str, made_from: str
) -> str | None:
    """The key of a stored embedding made for the same request, or None."""
    wanted = [_request(embedding, weights)]
    if weights == "auto":
        wanted.append([embedding, "imagenet"])
    for key, entry in reversed(manifest["embeddings"].items()):
        if entry.get("from", "shard") == made_from and any(
            request in wanted for request in entry["requests"]
        ):
            return key
    return None


def _request(embedding, weights):
    """[network, weights], by which stored embeddings are identified without loading the network."""
    path = Path(weights)
    return [embedding, files.sha256(path) if path.is_file() else weights]


def load(embedding: str, weights: str) -> embeddings.Embedder:
    """The embedding network; weights from a file are copied to models/embeddings for the models."""
    embedder = embeddings.load(embedding, weights)
    embedder.keep("models")
    return embedder


def stored(
    manifest: dict[str, Any], folder: Path, embedding: str, weights: str, made_from: str
) -> bool:
    """Whether finished shards have an embedding, and every row of it is what was written."""
    key = stored_key(manifest, embedding, weights, made_from)
    if key is None or weights == "auto" and manifest["embeddings"][key]["weights"] != "imagenet":
        return False  # `auto` takes ImageNet's as soon as there are any
    return all(
        _has_rows(records.embedding_path(folder, shard["name"], key), shard["count"])
        for shard in manifest["shards"]
    )


def add(
    manifest: dict[str, Any],
    folder: Path,
    embedding: str,
    weights: str,
    made_from: str,
    engine: Engine = engines.LOCAL,
) -> None:
    """Add an embedding to finished shards, or what is missing or damaged of it.

    The manifest is rewritten.
    """
    key = stored_key(manifest, embedding, weights, made_from)
    if made_from == "photo":
        Photos(manifest)  # or the error, before a network is loaded
        if key is None and stored_key(manifest, embedding, weights, "shard"):
            print(
                f"{folder}: its embeddings were made from the stored pictures, as in earlier "
                "versions; they are made anew from the photos. EMBED_FROM=shard keeps them.",
                flush=True,
            )
    embedder = load(embedding, weights)
    shards = manifest["shards"]
    total = sum(shard["count"] for shard in shards)
    with cli.progress(total=total, desc="embeddings", unit="picture") as bar:
        write(manifest, folder, shards, embedder, made_from, bar.update, engine)
    note(manifest, folder, embedder, weights, made_from)
    seals.write_json(folder / "manifest.json", manifest)


def write(
    manifest: dict[str, Any],
    folder: Path,
    shards: list[dict[str, Any]],
    embedder: embeddings.Embedder,
    made_from: str,
    advance: Callable[[int], Any],
    engine: Engine = engines.LOCAL,
) -> None:
    """Write the embeddings of shards; batches never cross a shard, the last one is padded.

    advance: called with the number of pictures done.
    """
    lacking = {}
    for shard in shards:
        path = records.embedding_path(folder, shard["name"], _key(embedder, made_from))
        if _has_rows(path, shard["count"]):
            advance(shard["count"])
        else:
            lacking[path] = index.parts(shard, embeddings.BATCH)
    embedding = functools.partial(
        _embedding, folder, Photos(manifest) if made_from == "photo" else None, embedder
    )
    parts = [part for each in lacking.values() for part in each]
    work = engine.run(embedding, parts, BATCHES, network=True, start=backend.start)
    with contextlib.closing(work) as made:
        for path, each in lacking.items():
            count = sum(len(part.rows) for part in each)
            with rows.writing(path, (count, embeddings.CLASSES), "<f4") as append:
                for embedded in itertools.islice(made, len(each)):
                    append(embedded)
                    advance(len(embedded))


def _embedding(
    folder: Path, photos_of: Photos | None, embedder: embeddings.Embedder, cores: int
) -> engines.Stage:
    """The stage from a part of a shard to its embeddings, (N, 1000) float32."""

    def grey(part):
        if photos_of:
            listed = index.read(folder, part.shard)
            l = photos_of.lightness(listed, part.rows, embedder.size)
        else:
            l = records.lightness(folder, part)
        return embedder.grey(l)

    def stage(parts):
        for pictures in ahead(grey, parts, 2 * cores, workers=cores):
            yield embedder.of_grey(pictures, pad=True)

    return stage


def _has_rows(path, count):
    """Whether a file has so many rows, each as it was written; a line names a damaged one."""
    try:
        rows.Rows(path, (count, embeddings.CLASSES), "<f4").whole()
    except FileNotFoundError:
        return False
    except rows.DamagedError:
        cli.say(f"{path} is corrupt: it is made anew")
        return False
    return True


def note(
    manifest: dict[str, Any],
    folder: Path,
    embedder: embeddings.Embedder,
    weights: str,
    made_from: str,
) -> None:
    """Record the embedding just written as the manifest's last, with its request."""
    key = _key(embedder, made_from)
    known = manifest["embeddings"].pop(key, {"requests": []})
    request = _request(embedder.network, weights)
    manifest["embeddings"][key] = {
        **embedder.metadata,
        "from": made_from,
        "requests": [r for r in known["requests"] if r != request] + [request],
        "bytes": {
            shard["name"]: records.embedding_path(folder, shard["name"], key).stat().st_size
            for shard in manifest["shards"]
        },
    }


def _key(embedder, made_from):
    return records.embedding_key({**embedder.metadata, "from": made_from})
