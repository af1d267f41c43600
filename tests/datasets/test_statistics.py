"""The prior of the bins: every pixel of the training split, counted by its nearest bin."""

from types import SimpleNamespace

import numpy as np
import pytest

from common import datasets
from common.color import bins, lab
from common.datasets import statistics
from tests import drawn


def nearest(a, b):
    """Where the bin of a colour stands."""
    return int(np.square(bins.CENTRES - (a, b)).sum(-1).argmin())


def test_the_prior_counts_the_training_split_to_its_last_picture():
    grey, red = (
        np.zeros((2, 4, 4, 3), np.uint8) + np.array(colour, np.uint8)
        for colour in ((128, 128, 128), (255, 0, 0))
    )  # ab of (0, 0) and (80.1, 67.2)
    half = grey.copy()
    half[:, :2] = red[:, :2]
    parts = [grey, half, red[:1]]
    dataset = SimpleNamespace(
        count={"train": 5}.get, batches=lambda split, size: iter({"rgb": part} for part in parts)
    )
    prior = statistics.counted(dataset)
    assert prior.shape == (313,) and prior.dtype == np.float64
    assert prior[nearest(0, 0)] == pytest.approx(3 / 5) and prior[nearest(80, 70)] == 2 / 5
    assert prior.sum() == pytest.approx(1, abs=1e-12)


def test_the_prior_of_a_real_data_set(tmp_path):
    source = drawn.folder(tmp_path / "photos", 24, 40)
    dataset = datasets.prepare(source, 32, "squash", folder=tmp_path / "shards")
    rgb = np.concatenate([batch["rgb"] for batch in dataset.batches("train", 100)])
    ab = lab.rgb_to_lab(rgb)[..., 1:].reshape(-1, 2)
    squares = np.square(ab[:, None].astype(np.float64) - bins.CENTRES).sum(-1)
    counts = np.bincount(squares.argmin(-1), minlength=313)
    found = statistics.counted(dataset, batch_size=7)
    np.testing.assert_allclose(found, counts / counts.sum(), rtol=1e-12)
