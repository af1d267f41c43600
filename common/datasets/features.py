"""Embeddings beside the shards: the logits of an ImageNet network for every stored picture.

`<shard>.<key>.npy` (N, 1000) float32, where `key` begins the hash of the network's weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, files
from common.datasets import records
from common.datasets.threads import ahead
from common.networks import embeddings


def stored_key(manifest: dict[str, Any], embedding: str, weights: str) -> str | None:
    """The key of a stored embedding made for the same request, or None."""
    wanted = [_request(embedding, weights)]
    if weights == "auto":
        wanted.append([embedding, "imagenet"])
    for key, entry in reversed(manifest["embeddings"].items()):
        if any(request in wanted for request in entry["requests"]):
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


def add(manifest: dict[str, Any], folder: Path, embedding: str, weights: str) -> None:
    """Add an embedding to finished shards, unless it is there; the manifest is rewritten."""
    key = stored_key(manifest, embedding, weights)
    if key and (weights != "auto" or manifest["embeddings"][key]["weights"] == "imagenet"):
        entry = manifest["embeddings"][key]
        paths = {name: records.embedding_path(folder, name, key) for name in entry["bytes"]}
        if all(
            path.exists() and path.stat().st_size == entry["bytes"][name]
            for name, path in paths.items()
        ):
            return
    embedder = load(embedding, weights)
    total = sum(len(shard["offsets"]) for shard in manifest["shards"])
    with cli.progress(total=total, desc="embeddings", unit="picture") as bar:
        for shard in manifest["shards"]:
            write(folder, shard, embedder, bar.update)
    note(manifest, folder, embedder, weights)
    files.write_json(folder / "manifest.json", manifest)


def write(
    folder: Path,
    shard: dict[str, Any],
    embedder: embeddings.Embedder,
    advance: Callable[[int], Any],
) -> None:
    """Write a shard's embeddings; batches never cross a shard, the last one is padded.

    advance: called with the number of pictures done.
    """
    target = records.embedding_path(folder, shard["name"], embedder.sha256[:12])
    if _has_rows(target, len(shard["offsets"])):
        advance(len(shard["offsets"]))
        return

    def lightness(start):
        return records.lightness(folder, shard, slice(start, start + embeddings.BATCH))

    starts = range(0, len(shard["offsets"]), embeddings.BATCH)
    rows = [np.empty((0, embeddings.CLASSES), np.float32)]
    for l in ahead(lightness, starts):
        rows.append(embedder(l, pad=True))
        advance(len(l))
    with files.replacing(target) as temporary:
        np.save(temporary, np.concatenate(rows))


def _has_rows(path, rows):
    try:
        return np.load(path, mmap_mode="r").shape == (rows, embeddings.CLASSES)
    except (OSError, ValueError):
        return False


def note(
    manifest: dict[str, Any], folder: Path, embedder: embeddings.Embedder, weights: str
) -> None:
    """Record the embedding just written as the manifest's last, with its request."""
    key = embedder.sha256[:12]
    known = manifest["embeddings"].pop(key, {"requests": []})
    request = _request(embedder.network, weights)
    manifest["embeddings"][key] = {
        **embedder.metadata,
        "requests": [r for r in known["requests"] if r != request] + [request],
        "bytes": {
            shard["name"]: records.embedding_path(folder, shard["name"], key).stat().st_size
            for shard in manifest["shards"]
        },
    }
