"""Batches: every picture once a pass, in views of its own."""

import dataclasses
import types

import keras
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


def test_stored_maps_are_no_views_of_the_picture(tmp_path, monkeypatch):
    """Both are inputs of four axes; L* is resized for those that are not stored alone."""
    dataset = datasets.prepare(drawn.folder(tmp_path / "photos", 30), 32, "squash", folder=tmp_path)
    config = tiny.CONFIGS["decay"]
    shapes = {"l": (None, 32, 32, 1), "small": (None, 16, 16, 1), "stored": (None, 8, 8, 3)}
    network = types.SimpleNamespace(input={n: keras.KerasTensor(s) for n, s in shapes.items()})
    maps = types.SimpleNamespace(
        read=lambda *args: {"stored": np.zeros((config.batch_size, 8, 8, 3))}
    )
    sizes, resize = [], keras.ops.image.resize
    monkeypatch.setattr(
        keras.ops.image,
        "resize",
        lambda l, size, **how: sizes.append(size) or resize(l, size, **how),
    )
    inputs, _ = training.Batches(network, config, dataset, maps=maps)(0)
    assert {name: each.shape[1:] for name, each in inputs.items()} == {
        name: shape[1:] for name, shape in shapes.items()
    }
    assert sizes == [(16, 16)]
