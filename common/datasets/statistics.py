"""Statistics of a data set's training pictures: the colours' prior, the share of grey pictures."""

import contextlib
import hashlib

import numpy as np

from common import cli, seals
from common.color import bins, lab
from common.datasets.records import Dataset
from common.datasets.threads import ahead


def prior(dataset: Dataset, positions: np.ndarray | None = None) -> np.ndarray:
    """The share of each of the 313 bins among all pixels of the training split, (313,) float64.

    The sum is 1. It takes one pass over the split and is stored in prior.json; another split makes
    it be computed again. positions: of the pictures that count, if not all do; of these nothing is
    stored.
    """
    if positions is not None:
        return counted(dataset, positions=positions)
    path = dataset.folder / "prior.json"
    hashed = hashlib.sha256()
    for listed in dataset.indices("train"):
        hashed.update("".join(listed.digest).encode())
    split = hashed.hexdigest()
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError
    ):  # absent, damaged, or of another split
        kept = seals.read_json(path)
        shares = np.array(kept["prior"], np.float64)
        if kept["train_sha256"] == split and shares.shape == (len(bins.CENTRES),):
            return shares
    shares = counted(dataset)
    with contextlib.suppress(OSError):  # the shards' folder may be read-only
        seals.write_json(path, {"train_sha256": split, "prior": shares.tolist()})
    return shares


def counted(
    dataset: Dataset, batch_size: int = 16, positions: np.ndarray | None = None
) -> np.ndarray:
    """`prior`, from the pictures."""
    counts = np.zeros(len(bins.CENTRES), np.int64)
    if positions is None:
        total, batches = dataset.count("train"), dataset.batches("train", batch_size)
    else:
        total = len(positions)
        batches = ahead(
            lambda start: dataset.read("train", positions[start : start + batch_size]),
            range(0, total, batch_size),
        )
    with cli.progress(total=total, desc="colours", unit="picture") as bar:
        for batch in batches:
            nearest = bins.nearest(lab.rgb_to_lab(batch["rgb"])[..., 1:])
            counts += np.bincount(nearest.ravel(), minlength=len(counts))
            bar.update(len(nearest))
    return counts / counts.sum()


def grey_share(dataset: Dataset) -> float:
    """The share of the training pictures that are grey, in [0, 1]; 0 if there are none."""
    shards = [shard for shard in dataset.manifest["shards"] if shard["split"] == "train"]
    return sum(shard["grey"] for shard in shards) / max(1, dataset.count("train"))
