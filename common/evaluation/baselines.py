"""What models are measured against: one colour for all, and the colours of a similar photo.

Each is called with a `Batch` and returns ab (N, S, S, 2) in Lab units.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from common import cli, datasets
from common.color import lab
from common.evaluation import rows
from common.evaluation.rows import GREY, MEAN_COLOUR, NEIGHBOUR


class Batch(NamedTuple):
    """True pictures of a split, as every method receives them."""

    positions: np.ndarray  # (N,) positions in the split
    rgb: np.ndarray  # (N, S, S, 3) uint8
    lab: np.ndarray  # (N, S, S, 3) float32
    embedding: np.ndarray | None  # (N, 1000) float32, for those that take it


class Constant:
    """One colour for every pixel of `dataset`'s pictures."""

    kind, takes_embedding, makes = rows.BASELINE, False, "ab"

    def __init__(self, name: str, ab: Sequence[float] | np.ndarray, dataset: datasets.Dataset):
        self.name, self.dataset = name, dataset
        self.ab = np.asarray(ab, np.float32)

    def source(self, digests: list[str], outcomes: list | None = None) -> rows.Colour:
        """What its row records."""
        return rows.Colour(tuple(self.ab.tolist()))

    def __call__(self, batch: Batch, pool: Executor | None = None) -> np.ndarray:
        """The ab of a batch."""
        return np.broadcast_to(self.ab, (*batch.rgb.shape[:3], 2))


class NearestNeighbour:
    """The ab of the training picture whose embedding is most similar, combined with the true L*.

    Similarity is the cosine of the stored logits, which depend on L* alone. All pictures of a data
    set have one size, so that the ab needs no resizing. A training picture is not its own
    neighbour. The search begins with the first batch.
    """

    kind, takes_embedding, makes, name = rows.BASELINE, False, "ab", NEIGHBOUR

    def __init__(self, dataset: datasets.Dataset, split: str, count: int):
        self.dataset, self._split, self._count = dataset, split, count

    @functools.cached_property
    def _nearest(self):
        """(position in the training split, cosine) of each picture's neighbour."""
        return neighbours(self.dataset, self._split, self._count)

    def __getstate__(self):
        _ = self._nearest  # searched once, not in every process that is given it
        return vars(self)

    def source(self, digests: list[str], outcomes: list | None = None) -> rows.Neighbours:
        """What its row records."""
        positions, cosines = self._nearest
        names = self.dataset.names("train", positions)
        assert self.dataset.embedding is not None  # without one there is no such baseline
        return rows.Neighbours(
            embedding=self.dataset.embedding,
            among=self.dataset.count("train"),
            seen=0,
            neighbours=[
                {"name": name, "cosine": round(float(cosine), 6)}
                for name, cosine in zip(names, cosines, strict=True)
            ],
        )

    def __call__(self, batch: Batch, pool: Executor | None = None) -> np.ndarray:
        """The ab of a batch."""
        similar = self._nearest[0][batch.positions]
        return lab.rgb_to_lab(self.dataset.read("train", similar)["rgb"])[..., 1:]


def of(dataset: datasets.Dataset, split: str, count: int) -> tuple[list, list[str]]:
    """(the baselines that a data set has, a sentence for each that it lacks)."""
    available: list[Constant | NearestNeighbour] = [Constant(GREY, (0, 0), dataset)]
    lacking: list[str] = []
    if not dataset.count("train"):
        return available, [
            f"No rows “{MEAN_COLOUR}” and “{NEIGHBOUR}”: the data set has no training pictures."
        ]
    available.append(Constant(MEAN_COLOUR, dataset.mean_ab, dataset))
    if dataset.embedding is None:
        lacking.append(
            f"No row “{NEIGHBOUR}”: no embedding is stored with the data set. "
            "EMBEDDING=efficientnet_lite2 stores one first."
        )
    elif split == "train" and dataset.count("train") == 1:
        lacking.append(f"No row “{NEIGHBOUR}”: the one training picture has no other beside it.")
    else:
        available.append(NearestNeighbour(dataset, split, count))
    return available, lacking


def neighbours(dataset: datasets.Dataset, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(position of each picture's neighbour in the training split, its cosine), (count,) both.

    Shard by shard on both sides, so that no more than two are in memory.
    """
    positions, cosines, start = np.zeros(count, np.int64), np.full(count, -np.inf), 0
    with cli.progress(total=count, desc=NEIGHBOUR, unit="picture") as bar:
        for shard in dataset.embeddings(split):
            queries, at = _unit(shard[: count - start]), 0
            here = np.arange(start, start + len(queries))
            for stored in dataset.embeddings("train") if len(queries) else ():
                similar = queries @ _unit(stored).T
                if split == "train":
                    own = np.flatnonzero((here >= at) & (here < at + len(stored)))
                    similar[own, here[own] - at] = -np.inf
                nearest = similar.argmax(1)
                highest = similar[np.arange(len(queries)), nearest]
                closer = highest > cosines[here]
                positions[here[closer]] = at + nearest[closer]
                cosines[here[closer]] = highest[closer]
                at += len(stored)
            start += len(queries)
            bar.update(len(queries))
    return positions, cosines


def _unit(vectors):
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(np.float32).tiny)
