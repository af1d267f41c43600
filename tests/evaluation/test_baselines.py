"""The nearest neighbour against a search one by one; the notes where there is none."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from common import cli, datasets, metrics
from common.cli import UserError
from common.color import lab
from common.commands import evaluate as evaluate_command
from common.evaluation import baselines, table
from common.networks import embeddings
from tests import drawn
from tests.evaluation.scoring import evaluated

SIDE = 24


def small_network(weights, classes, classifier_activation):
    """In place of an ImageNet network: quick, and another answer for every picture."""
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, 2, activation=classifier_activation or "relu")(picture)
    return keras.Model(picture, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """23 pictures: 12 of training, 1 of validation, 10 of test."""
    home = tmp_path_factory.mktemp("baselines")
    for split, count in (("train", 12), ("val", 1), ("test", 10)):
        drawn.folder(home / "drawn" / split, count, SIDE + len(split))
    return home / "drawn"


@pytest.fixture(scope="module")
def dataset(source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            embeddings.NETWORKS,
            "mobilenet_v2",
            dataclasses.replace(
                embeddings.NETWORKS["mobilenet_v2"], size=SIDE, build=small_network
            ),
        )
        patch.chdir(source.parent)
        return datasets.prepare(
            source,
            SIDE,
            "squash",
            "mobilenet_v2",
            "random",
            split_by="folder",
            folder=source.parent / "shards",
        )


@pytest.fixture(scope="module")
def plain(source):
    return datasets.prepare(
        source, SIDE, "squash", split_by="folder", folder=source.parent / "plain"
    )


def one_by_one(dataset, split):
    """The neighbours by the definition, two logits at a time."""

    def logits(split):
        return dataset.read(split, range(dataset.count(split)), embedding=True)["embedding"]

    def cosine(x, y):
        return sum(x * y) / (sum(x * x) * sum(y * y)) ** 0.5

    train, nearest = np.float64(logits("train")), []
    for at, x in enumerate(np.float64(logits(split))):
        similar = [
            -9 if split == "train" and at == other else cosine(x, y)
            for other, y in enumerate(train)
        ]
        nearest.append((int(np.argmax(similar)), max(similar)))
    return nearest


@pytest.mark.parametrize("split", ["test", "train"])
def test_neighbours_are_those_of_a_search_one_by_one(dataset, split):
    positions, cosines = baselines.neighbours(dataset, split, dataset.count(split))
    expected = one_by_one(dataset, split)
    assert positions.tolist() == [place for place, _ in expected] and len(set(positions)) > 2
    assert cosines == pytest.approx([cosine for _, cosine in expected], abs=1e-5)


def test_neighbours_are_the_same_from_shards_of_any_size(dataset, monkeypatch):
    whole = [array.tolist() for array in baselines.neighbours(dataset, "test", 7)]
    monkeypatch.setattr(
        datasets.Dataset,
        "embeddings",
        lambda self, split: np.array_split(
            self.read(split, range(self.count(split)), embedding=True)["embedding"], 5
        ),
    )
    for split, count in (("test", 7), ("train", 12)):
        positions, cosines = baselines.neighbours(dataset, split, count)
        assert positions.tolist() == [place for place, _ in one_by_one(dataset, split)][:count]
    assert baselines.neighbours(dataset, "test", 7)[0].tolist() == whole[0]


def test_the_row_is_the_neighbours_ab_under_the_true_lightness(dataset):
    report = evaluated([], dataset, batch_size=3)
    assert [row.name for row in report.rows] == ["grey", "mean colour", "nearest neighbour"]
    row = report.rows[-1]
    expected = [place for place, _ in one_by_one(dataset, "test")]
    names = dataset.names("train")
    neighbours = [neighbour["name"] for neighbour in row.source.neighbours]
    assert neighbours == [names[place] for place in expected]
    true, other = (
        lab.rgb_to_lab(dataset.read(split, positions)["rgb"])
        for split, positions in (("test", range(10)), ("train", expected))
    )
    made = metrics.recolour(true[..., :1], other[..., 1:])
    psnr = [
        metrics.psnr_rgb(metrics.recolour(x[..., :1], x[..., 1:]), y)
        for x, y in zip(true, made, strict=True)
    ]
    assert row.values["psnr_rgb"] == pytest.approx(psnr, rel=1e-5)
    assert row.source.among == 12 and row.embedding["weights"] == "random" and row.seen == 0
    remarks = " ".join(table.remarks_of(row, 10))
    assert "mobilenet_v2" in remarks and "RANDOM" in remarks and "12" in remarks
    assert "neighbour" in report.protocol.sentences and not report.notes


def test_a_training_picture_is_not_its_own_neighbour(dataset):
    report = evaluated([], dataset, "train")
    row = report.rows[-1]
    assert row.name == "nearest neighbour" and row.figures["psnr_rgb"].infinite == 0
    assert all(
        neighbour["name"] != own.name
        for neighbour, own in zip(row.source.neighbours, report.pictures, strict=True)
    )


def test_where_no_embedding_is_stored_a_note_says_so(plain, dataset, tmp_path):
    report = evaluated([], plain, out=tmp_path)
    assert [row.name for row in report.rows] == ["grey", "mean colour"]
    (note,) = report.notes
    assert "EMBEDDING=efficientnet_lite2" in note and note in table.table(report)
    assert "no embedding is stored" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "neighbour" not in report.protocol.sentences


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        embeddings.NETWORKS,
        "mobilenet_v2",
        dataclasses.replace(embeddings.NETWORKS["mobilenet_v2"], size=SIDE, build=small_network),
    )

    def run(*arguments):
        code = cli.run(evaluate_command.main, list(map(str, arguments)))
        printed = capsys.readouterr()
        return code, printed.out, [line for line in printed.err.splitlines() if "error" in line]

    return run


def test_an_embedding_that_is_asked_for_is_stored(run, source, tmp_path):
    flags = ("--data", source, "--split-by", "folder", "--size", SIDE)
    assert "no embedding is stored" in run(*flags)[1]
    code, out, _ = run(*flags, "--embedding", "mobilenet_v2", "--embedding-weights", "random")
    assert code == 0 and "nearest neighbour  " in out and "no embedding is stored" not in out
    # and is used again without the flag
    assert "nearest neighbour  " in run(*flags)[1]
    row = json.loads((tmp_path / "reports/eval/metrics.json").read_text())["rows"][2]
    assert len(row["neighbours"]) == 10 and row["neighbours"][0].keys() == {"name", "cosine"}


def test_finished_shards_are_taken_with_the_embedding_that_is_named(run, dataset, plain):
    code, out, _ = run("--data", dataset.folder, "--embedding", "mobilenet_v2")
    assert code == 0 and "nearest neighbour  " in out
    code, out, errors = run("--data", plain.folder, "--embedding", "mobilenet_v2")
    assert code == 2 and "PSNR" not in out and "holds no embedding of mobilenet_v2" in errors[0]


def test_the_neighbours_are_looked_for_after_mistakes_are_found(dataset, monkeypatch):
    monkeypatch.setattr(baselines, "neighbours", lambda *_: pytest.fail("searched"))
    with pytest.raises(UserError, match="There is no nobody .* nearest neighbour"):
        evaluated([], dataset, against="nobody")
