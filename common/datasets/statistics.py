"""Statistics of a data set's training pictures: the colours' prior, the share of grey pictures."""

import contextlib

import numpy as np

from common import cli, files, photos, seals
from common.color import bins, lab
from common.datasets.records import Dataset

GREY = 3.0  # largest distance of a grey picture's ab from the tone of its L*
TONE = 40.0  # largest ab of such a tone; that of sepia is 35
_SIDE = 64  # at this size the noise of a scan is averaged


def prior(dataset: Dataset) -> np.ndarray:
    """The share of each of the 313 bins among all pixels of the training split, (313,) float64.

    The sum is 1. It takes one pass over the split and is stored in prior.json; another split makes
    it be computed again.
    """
    path = dataset.folder / "prior.json"
    split = files.sha256("".join(dataset.sha256("train")).encode())
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


def counted(dataset: Dataset, batch_size: int = 16) -> np.ndarray:
    """`prior`, from the pictures."""
    counts = np.zeros(len(bins.CENTRES), np.int64)
    with cli.progress(total=dataset.count("train"), desc="colours", unit="picture") as bar:
        for batch in dataset.batches("train", batch_size):
            nearest = bins.nearest(lab.rgb_to_lab(batch["rgb"])[..., 1:])
            counts += np.bincount(nearest.ravel(), minlength=len(counts))
            bar.update(len(nearest))
    return counts / counts.sum()


def is_grey(rgb: np.ndarray) -> bool:
    """Whether a picture, (S, S, 3) uint8 sRGB, has no colours but a weak tone: sepia, an old print.

    At 99 % of its pixels ab depends on L* alone. Of 3,320 photos in colour one is taken for grey.
    """
    small = lab.rgb_to_lab(photos.fit(rgb, min(len(rgb), _SIDE), "squash")).reshape(-1, 3)
    level, ab = np.rint(small[:, 0]).astype(int), small[:, 1:]
    sums = np.stack([np.bincount(level, channel) for channel in ab.T], axis=1)
    tone = sums / np.maximum(np.bincount(level), 1)[:, None]
    distance = np.abs(ab - tone[level]).max(axis=1)
    return bool(np.quantile(distance, 0.99) < GREY and np.abs(tone).max() < TONE)


def grey_share(dataset: Dataset) -> float:
    """The share of the training pictures that are grey, in [0, 1]; 0 if there are none."""
    shards = [shard for shard in dataset.manifest["shards"] if shard["split"] == "train"]
    return sum(shard["grey"] for shard in shards) / max(1, dataset.count("train"))
