"""Batches: every picture once a pass, in views of its own."""

import dataclasses

import numpy as np
import pytest

from common import datasets, training
from common.color import lab
from common.networks import embeddings
from tests import drawn, tiny


def test_each_pass_shows_every_picture_once_in_an_order_of_its_own(tmp_path):
    dataset = datasets.prepare(drawn.folder(tmp_path / "photos", 30), 32, "squash", folder=tmp_path)
    config = tiny.CONFIGS["plain"]
    batches = training.Batches(drawn.build_model(config), config, dataset)
    count = dataset.count("train")
    passes = [[int(batches.position(turn * count + i)) for i in range(count)] for turn in range(3)]
    assert all(sorted(order) == list(range(count)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_some_pictures_are_drawn_by_seed_and_those_of_fewer_are_among_them(tmp_path):
    dataset = datasets.prepare(drawn.folder(tmp_path / "photos", 30), 32, "squash", folder=tmp_path)
    network = drawn.build_model(tiny.CONFIGS["plain"])

    def shown(pictures, seed=0):
        config = dataclasses.replace(tiny.CONFIGS["plain"], pictures=pictures)
        batches = training.Batches(network, config, dataset, seed)
        passes = [
            {int(batches.position(i + n * pictures)) for i in range(pictures)} for n in (0, 1)
        ]
        assert passes[0] == passes[1] and len(passes[0]) == pictures
        return passes[0]

    count = dataset.count("train")
    assert shown(3) < shown(9) < shown(count) == set(range(count))
    assert shown(9) != shown(9, seed=1)


def test_views_are_embedded_anew(tmp_path):
    """A batch's embeddings are those of its augmented L*, not the stored ones."""
    config = tiny.CONFIGS["views"]
    photos = drawn.folder(tmp_path / "photos", 30)
    dataset = datasets.prepare(photos, 32, "squash", "mobilenet_v2", "random", folder=tmp_path)
    network = drawn.build_model(config)
    embedder = embeddings.load("mobilenet_v2", "random")
    stored, live = (
        training.Batches(network, config, dataset, embedder=each)(3)[0] for each in (None, embedder)
    )
    assert (stored["l"] == live["l"]).all()
    expected = embedder(lab.unscale_l(live["l"], config), pad=True)
    assert live["embedding"] == pytest.approx(expected, abs=1e-3)  # L* through float32 and back
    assert np.abs(stored["embedding"] - live["embedding"]).max() > 0.01 * np.abs(expected).max()
