"""A run with an embedding: what it was made from is part of the run and of the model."""

import dataclasses
import json

import keras
import pytest
from keras import layers

from common import seals
from common.cli import UserError
from common.networks import embeddings, h5
from tests.training import home as runs


def build(weights, classes, classifier_activation):
    """In place of an ImageNet network, since it is quick."""
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, 2, activation="relu")(picture)
    return keras.Model(picture, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    network = dataclasses.replace(embeddings.NETWORKS["mobilenet_v2"], size=48, build=build)
    monkeypatch.setitem(embeddings.NETWORKS, "mobilenet_v2", network)
    monkeypatch.chdir(tmp_path)
    return runs.make(tmp_path)


def _train(config="fused", **options):
    return runs.train(config, epochs=1, steps=2, embedding_weights="random", **options)


@pytest.mark.parametrize(
    ("config", "options", "made_from"),
    [
        ("fused", {}, "photo"),
        ("fused", {"embed_from": "shard"}, "shard"),
        ("views", {"embed_views": True}, "shard"),  # views are of the stored picture
    ],
)
def test_the_model_says_what_its_embeddings_were_made_from(home, config, options, made_from):
    metadata = h5.metadata(_train(config, **options).model)
    assert metadata["embedding"]["from"] == made_from
    assert metadata["embedding"]["weights"] == "random"


def test_a_run_of_an_earlier_version_goes_on_with_the_embeddings_that_it_had(home):
    """They were made from the stored pictures, which its config.json did not say."""
    _train(embed_from="shard")
    path = home / "runs" / "r" / "config.json"
    identity = seals.read_json(path)
    del identity["embedding"]["from"]
    path.write_text(json.dumps(identity))
    with pytest.raises(UserError, match="embedding.from was shard, is photo"):
        _train()
    assert not _train(embed_from="shard").trained
