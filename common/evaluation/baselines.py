"""What models are measured against: one colour for all, and the colours of a similar photo.

Each is called with a `Batch` and gives ab (N, S, S, 2) in Lab units.
"""

import functools
from typing import NamedTuple

import numpy as np

from common import cli
from common.color import lab

GREY, MEAN_COLOUR, NEIGHBOUR = NAMES = "grey", "mean colour", "nearest neighbour"


class Batch(NamedTuple):
    """True pictures of a split, as whatever is measured gets them."""

    places: np.ndarray  # (N,) positions in the split
    rgb: np.ndarray  # (N, S, S, 3) uint8
    lab: np.ndarray  # (N, S, S, 3) float32
    embedding: np.ndarray | None  # (N, 1000) float32, for those that take it


class Constant:
    """One colour for every pixel of `dataset`'s pictures."""

    kind, takes_embedding, makes = "baseline", False, "ab"

    def __init__(self, name, ab, dataset):
        self.name, self.dataset = name, dataset
        self.ab = np.asarray(ab, np.float32)
        self.about = {"ab": self.ab.tolist(), "seen": 0}

    def __call__(self, batch, pool=None):
        return np.broadcast_to(self.ab, (*batch.rgb.shape[:3], 2))


class NearestNeighbour:
    """The ab of the training picture whose embedding is most similar, put under the true L*.

    Similar is the cosine of the stored logits, which see L* alone. All pictures of a data set have
    one size, so that the ab fits as it is. A training picture is not its own neighbour.
    """

    kind, takes_embedding, makes, name = "baseline", False, "ab", NEIGHBOUR

    def __init__(self, dataset, split, count):
        self.dataset, self._asked = dataset, (split, count)
        self.about = {
            "embedding": {
                key: dataset.embedding[key] for key in ("network", "weights", "sha256", "precision")
            },
            "among": dataset.count("train"),
            "seen": 0,
        }

    @functools.cached_property
    def _places(self):
        places, cosines = _neighbours(self.dataset, *self._asked)
        names = self.dataset.names("train")
        self.about["neighbours"] = [
            {"name": names[place], "cosine": round(float(cosine), 6)}
            for place, cosine in zip(places, cosines, strict=True)
        ]
        return places

    def __call__(self, batch, pool=None):
        similar = self._places[batch.places]
        return lab.rgb_to_lab(self.dataset.read("train", similar)["rgb"])[..., 1:]


def of(dataset, split, count):
    """(the baselines that a data set has, a sentence for each that it lacks)."""
    found, lacking = [Constant(GREY, (0, 0), dataset)], []
    if not dataset.count("train"):
        return found, [
            f"No rows “{MEAN_COLOUR}” and “{NEIGHBOUR}”: the data set has no training pictures."
        ]
    found.append(Constant(MEAN_COLOUR, dataset.mean_ab, dataset))
    if dataset.embedding is None:
        lacking.append(
            f"No row “{NEIGHBOUR}”: no embedding is stored with the data set. "
            "EMBEDDING=mobilenet_v2 stores one first."
        )
    elif split == "train" and dataset.count("train") == 1:
        lacking.append(f"No row “{NEIGHBOUR}”: the one training picture has no other beside it.")
    else:
        found.append(NearestNeighbour(dataset, split, count))
    return found, lacking


def _neighbours(dataset, split, count):
    """(position of each picture's neighbour in the training split, its cosine), (count,) both.

    Shard against shard, so that no more than two are in memory.
    """
    places, cosines, start = np.zeros(count, np.int64), np.full(count, -np.inf), 0
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
                places[here[closer]] = at + nearest[closer]
                cosines[here[closer]] = highest[closer]
                at += len(stored)
            start += len(queries)
            bar.update(len(queries))
    return places, cosines


def _unit(vectors):
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(np.float32).tiny)
