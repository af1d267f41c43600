"""Statistics of a data set's training pictures, computed once and stored beside the shards."""

import contextlib
import json

import numpy as np

from common import files
from common.color import bins
from common.datasets.records import Dataset


def prior(dataset: Dataset) -> np.ndarray:
    """The share of each of the 313 bins among all pixels of the training split, (313,) float64.

    The sum is 1. It takes one pass over the split and is stored in prior.json; another split makes
    it be computed again.
    """
    path = dataset.folder / "prior.json"
    split = files.sha256("".join(dataset.sha256("train")).encode())
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError
    ):  # absent, or of another split
        kept = json.loads(path.read_text(encoding="utf-8"))
        shares = np.array(kept["prior"], np.float64)
        if kept["train_sha256"] == split and shares.shape == (len(bins.CENTRES),):
            return shares
    shares = bins.prior(dataset)
    with contextlib.suppress(OSError):  # the shards' folder may be read-only
        files.write_json(path, {"train_sha256": split, "prior": shares.tolist()})
    return shares
