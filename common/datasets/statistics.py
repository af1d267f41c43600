"""What is measured once over a data set's training pictures and kept beside the shards."""

import contextlib
import json

import numpy as np

from common import files
from common.color import bins
from common.datasets.records import Dataset


def prior(dataset: Dataset) -> np.ndarray:
    """The share of each of the 313 bins among all pixels of the training split, (313,) float64.

    The sum is 1. It takes one pass over the split, is kept in prior.json, and measured anew if the
    split is another one.
    """
    path = dataset.folder / "prior.json"
    split = files.sha256("".join(dataset.sha256("train")).encode())
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # absent, or no longer ours
        kept = json.loads(path.read_text(encoding="utf-8"))
        shares = np.array(kept["prior"], np.float64)
        if kept["train_sha256"] == split and shares.shape == (len(bins.CENTRES),):
            return shares
    shares = bins.prior(dataset)
    with contextlib.suppress(OSError):  # shards may lie where nothing can be written
        files.write_json(path, {"train_sha256": split, "prior": shares.tolist()})
    return shares
