"""Metrics of networks: their values, their titles, and the notes where weights are missing."""

import csv
import dataclasses
import json
import types

import cv2
import keras
import numpy as np
import pytest
from keras import layers, ops

from common import cli, datasets, metrics
from common.cli import UserError
from common.color import lab
from common.commands import evaluate as evaluate_command
from common.evaluation import feature_networks, network_metrics, table
from common.evaluation.rows import Summary
from common.networks import imagenet, perceptual, pretrained
from tests import drawn
from tests.evaluation.scoring import evaluated

SIDE, SEEN = 24, 20
CLASSES = {f"n0000000{at}": at for at in range(3)}  # WordNet ids and ImageNet's numbers of them


def tiny(weights=None, classes=1000, classifier_activation=None, include_top=True, pooling=None):
    """A network as keras.applications builds them, small and without random layers' names."""
    assert weights is None and classifier_activation is None
    picture = keras.Input((SEEN, SEEN, 3))
    x = layers.Conv2D(6, 5, 3, activation="relu")(picture)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(classes)(x) if include_top else x)


def offline(build, name, cached):
    raise Exception("URL fetch failure on https://example.org: None")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """6 training pictures and 12 of test, in three class folders with WordNet ids."""
    home = tmp_path_factory.mktemp("networks")
    for split, count in (("train", 2), ("test", 4)):
        for at, name in enumerate(CLASSES):
            for seed in range(count):
                path = home / "drawn" / split / name / f"{at}{seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = drawn.picture(seed + 10 * at + 100 * count, SIDE)
                path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return datasets.prepare(
        home / "drawn", SIDE, "squash", split_by="folder", folder=home / "shards"
    )


MOBILENET = imagenet.NETWORKS["mobilenet_v2"]


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """networks(*asked, **more) for `evaluate`, of tiny networks whose weights lie in a file."""
    keras.utils.set_random_seed(3)
    network = tiny()
    network.layers[-1].set_weights(
        [
            50 * np.random.default_rng(0).normal(size=(6, 1000)),
            np.float32(np.arange(1000) < 3) * 1e3,
        ]
    )  # three classes win
    network.save_weights(tmp_path / "tiny.weights.h5")
    for name in ("mobilenet_v2", "inception_v3"):
        monkeypatch.setitem(
            imagenet.NETWORKS,
            name,
            dataclasses.replace(imagenet.NETWORKS[name], build=tiny, size=SEEN),
        )
    monkeypatch.setattr(feature_networks, "classes", lambda: CLASSES)
    monkeypatch.setattr(pretrained, "fetch", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def networks(*asked, weights=None, **more):
        file = str(tmp_path / "tiny.weights.h5")
        both = {"CLASSIFIER_WEIGHTS": file, "INCEPTION_V3_WEIGHTS": file}
        return network_metrics.Request(asked, weights=weights or both, **more)

    networks.network = network
    return networks


def scored(dataset, networks, *folders, **options):
    report = evaluated([], dataset, predictions=folders, networks=networks, **options)
    return report, {row.name: row for row in report.rows}


def pictures(dataset, ab=None):
    """The test pictures, or what one colour makes of them."""
    rgb = next(dataset.batches("test", 99))["rgb"]
    if ab is None:
        return rgb
    colours = lab.rgb_to_lab(rgb)
    return metrics.recolour(colours[..., :1], np.broadcast_to(np.float32(ab), (*rgb.shape[:3], 2)))


def looked_at(network, rgb):
    """(features, classes), by the network itself."""
    x = ops.image.resize(np.float32(rgb), (SEEN, SEEN), antialias=True)
    outputs = keras.Model(network.input, [network.layers[-2].output, network.output])(x / 127.5 - 1)
    features, logits = map(keras.ops.convert_to_numpy, outputs)
    return features, logits.argmax(-1)


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "title"),
    [(("fid", "kid"), "FID"), (("frechet", "kernel"), "MobileNetV2 Fréchet distance")],
)
def test_distances_of_sets_are_those_of_the_networks_features(dataset, networks, keys, title):
    report, rows = scored(dataset, networks(*keys), batch_size=5)
    true, _ = looked_at(networks.network, pictures(dataset))
    for name, ab in (("grey", (0, 0)), ("mean colour", dataset.mean_ab)):
        made, _ = looked_at(networks.network, pictures(dataset, ab))
        expected = np.cov(np.float64(true).T), np.cov(np.float64(made).T)
        off = true.mean(0) - made.mean(0)
        root = np.sqrt(np.maximum(np.linalg.eigvals(expected[0] @ expected[1]).real, 0))
        frechet, kernel = (rows[name].figures[key] for key in keys)
        assert frechet.mean == pytest.approx(
            off @ off + np.trace(sum(expected)) - 2 * root.sum(), rel=1e-3
        )
        mean, deviation, size = metrics.kernel_distance(made, true)
        assert kernel.mean == pytest.approx(mean, rel=1e-3) and kernel.subset == size == 6
        assert kernel.deviation == pytest.approx(deviation, rel=1e-3)
        assert frechet.n == 12 and frechet.interval is None
        # of all pictures at once: no picture's own values, and no pairs of pictures
        assert not {*keys} & rows[name].values.keys()
    assert not any({*keys} & pair.metrics.keys() for pair in report.pairs)
    assert report.protocol.metrics[keys[0]].title == title
    (best,) = (name for name, row in rows.items() if keys[0] in row.best)
    assert rows[best].figures[keys[0]].mean == min(
        row.figures[keys[0]].mean for row in rows.values()
    )


def test_figures_of_networks_do_not_depend_on_the_batch(dataset, networks):
    asked = networks("fid", "kid", "top1")
    (_, one), (_, other) = (scored(dataset, asked, batch_size=size) for size in (5, 12))
    for key in ("fid", "kid", "top1", "top1_agreement"):
        assert one["grey"].figures[key] == other["grey"].figures[key]


def test_top1_and_agreement_by_hand(dataset, networks):
    report, rows = scored(dataset, networks("top1"))
    wanted = [CLASSES[name.split("/")[1]] for name in dataset.names("test")]
    _, of_true = looked_at(networks.network, pictures(dataset))
    _, of_grey = looked_at(networks.network, pictures(dataset, (0, 0)))
    assert len({*of_true}) > 1, "else every answer is right or wrong at once"
    grey = rows["grey"]
    assert grey.values["top1"] == [100.0 * hit for hit in (of_grey == wanted)]
    assert grey.values["top1_agreement"] == [100.0 * hit for hit in (of_grey == of_true)]
    assert grey.figures["top1"].mean == pytest.approx(100 * np.mean(of_grey == wanted))
    assert grey.figures["top1_agreement"].interval is not None
    truth = 100 * np.mean(of_true == wanted)
    assert report.truth.figures["top1"].mean == pytest.approx(truth)
    assert "top1_agreement" not in report.truth.figures
    assert any(f"{truth:.1f} %" in note for note in report.notes)


def test_without_class_folders_there_is_agreement_alone(dataset, networks, monkeypatch):
    def names(self, split, positions):
        return [f"{at}.png" for at in positions]

    monkeypatch.setattr(type(dataset), "names", names)
    report, rows = scored(dataset, networks("top1"))
    assert "top1" not in rows["grey"].figures and "top1_agreement" in rows["grey"].figures
    assert any("WordNet" in note for note in report.notes)


def test_classes_that_are_none_of_imagenets_have_no_accuracy(dataset, networks, monkeypatch):
    monkeypatch.setattr(feature_networks, "classes", lambda: {"n00000001": 1})
    _, rows = scored(dataset, networks("top1"))
    assert rows["grey"].figures["top1"].n == 4, "of one class in three"
    monkeypatch.setattr(feature_networks, "classes", lambda: {"n00000009": 1})
    report, rows = scored(dataset, networks("top1"))
    assert "top1" not in rows["grey"].figures
    assert any("WordNet" in note for note in report.notes)


def test_without_the_classes_numbers_the_accuracy_says_so(dataset, networks, monkeypatch):
    def classes():
        raise UserError("The numbers of ImageNet's classes are not to be downloaded.")

    monkeypatch.setattr(feature_networks, "classes", classes)
    report, rows = scored(dataset, networks("top1"))
    assert rows["grey"].figures["top1"].lacks == "no classes"
    assert rows["grey"].figures["top1_agreement"].n == 12
    assert any(note.startswith("Top-1: no classes. The numbers") for note in report.notes)


class Distance:
    """In place of `perceptual.Distance`: the mean absolute difference."""

    title = "LPIPS (Tiny)"
    metadata = {"network": "tiny", "weights": "imagenet", "sha256": "0" * 64}

    def __call__(self, rgb, other):
        return ops.mean(ops.abs(rgb - other), axis=(1, 2, 3))


def test_lpips_is_a_picture_by_picture_column(dataset, networks, monkeypatch):
    monkeypatch.setattr(perceptual, "load", lambda *asked: Distance())
    report, rows = scored(dataset, networks("lpips", perceptual="vgg16"))
    off = np.abs(np.float64(pictures(dataset, (0, 0))) - pictures(dataset)).mean((1, 2, 3)) / 255
    assert rows["grey"].values["lpips"] == pytest.approx(off, rel=1e-4)
    assert rows["grey"].figures["lpips"].interval is not None
    assert report.pairs[0].metrics["lpips"].n == 12
    assert "lpips" not in report.truth.values
    assert "LPIPS (Tiny)" in table.table(report)


@pytest.mark.slow
def test_another_networks_features_go_under_its_own_name(dataset, networks, monkeypatch):
    monkeypatch.setitem(imagenet.NETWORKS, "mobilenet_v2", MOBILENET)  # no tiny one
    _, rows = scored(
        dataset,
        networks("lpips", perceptual="mobilenet_v2", weights={"MOBILENET_V2_WEIGHTS": "random"}),
    )
    distance = perceptual.features("mobilenet_v2", "random")
    expected = distance(
        pictures(dataset, (0, 0)) / np.float32(255), pictures(dataset) / np.float32(255)
    )
    assert rows["grey"].values["lpips"] == pytest.approx(
        keras.ops.convert_to_numpy(expected), rel=1e-3
    )
    asked = networks(
        "lpips", perceptual="mobilenet_v2", weights={"MOBILENET_V2_WEIGHTS": "random"}
    ).load(["a.png"], SIDE)
    assert asked.columns["lpips"].title == "MobileNetV2 feature distance, RANDOM weights"


def test_missing_predictions_are_left_out_of_every_figure(dataset, networks, tmp_path):
    made = pictures(dataset, (10, 20))
    for at, name in enumerate(dataset.names("test")):
        if at not in (0, 5):
            path = tmp_path / "theirs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), made[at][..., ::-1])
    _, rows = scored(dataset, networks("fid", "kid", "top1"), tmp_path / "theirs", batch_size=5)
    row, used = rows["theirs"], [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    true, theirs = (looked_at(networks.network, rgb[used])[0] for rgb in (pictures(dataset), made))
    assert row.figures["fid"].mean == pytest.approx(
        metrics.frechet_distance(*map(metrics.Moments, (true, theirs))), rel=1e-3
    )
    assert row.figures["fid"].n == 10 and row.figures["kid"].subset == 5
    assert [at for at, value in enumerate(row.values["top1"]) if value is None] == [0, 5]
    assert "fid" not in row.best


def test_too_few_pictures_have_no_distance(dataset, networks):
    report, rows = scored(dataset, networks("fid", "kid"), limit=3)
    assert rows["grey"].figures["fid"] == Summary(None, 3)
    assert " - " in table.table(report)


# --- weights --------------------------------------------------------------------------------------


def test_missing_weights_leave_columns_empty_with_a_note_and_are_never_random(
    dataset, networks, tmp_path
):
    asked = networks(*network_metrics.NAMES, weights={"LPIPS_WEIGHTS": "auto"})
    report = evaluated([], dataset, out=tmp_path / "out", networks=asked)
    keys = ("lpips", "fid", "kid", "frechet", "kernel", "top1", "top1_agreement")
    for row in report.rows:
        # 24 pixels are too few for AlexNet, whatever its weights
        assert [row.figures[key].lacks for key in keys] == ["too small"] + 6 * ["no weights"]
        assert not {*keys} & row.values.keys()
    text = table.table(report)
    assert text.count("no weights") == 2 * 6 + 2 and "RANDOM" not in text
    for variable in ("INCEPTION_V3_WEIGHTS=file", "CLASSIFIER_WEIGHTS=file"):
        assert sum(variable in note for note in report.notes) == 1
    assert "no weights" in (tmp_path / "out/index.html").read_text(encoding="utf-8")
    with open(tmp_path / "out/metrics.csv", encoding="utf-8", newline="") as file:
        assert [row["fid"] for row in csv.DictReader(file)] == ["", ""]


def test_lpips_without_its_weights_has_a_note(networks):
    asked = networks("lpips", weights={"LPIPS_WEIGHTS": "auto"}).load(["a.png"], 64)
    (note,) = asked.notes
    assert note.startswith("LPIPS: no weights. ") and "LPIPS_WEIGHTS=folder" in note


@pytest.mark.parametrize("weights", ["imagenet", "nowhere.h5"])
def test_weights_that_are_named_must_be_there(networks, weights):
    for asked, variable in (
        ("fid", "INCEPTION_V3_WEIGHTS"),
        ("top1", "CLASSIFIER_WEIGHTS"),
        ("frechet", "CLASSIFIER_WEIGHTS"),
    ):
        with pytest.raises(UserError, match=variable):
            networks(asked, weights={variable: weights}).load(["n00000000/a.png"], SIDE)


def test_random_weights_are_used_where_they_are_asked_for_and_named_in_the_titles(
    dataset, networks
):
    report, _ = scored(
        dataset,
        networks(
            "fid",
            "top1",
            weights={"CLASSIFIER_WEIGHTS": "random", "INCEPTION_V3_WEIGHTS": "random"},
        ),
    )
    header = table.table(report).splitlines()[2]
    for title in (
        "FID, RANDOM weights",
        "Top-1, MobileNetV2, RANDOM weights",
        "Agreement, MobileNetV2, RANDOM weights",
    ):
        assert title in header


def test_a_file_may_have_a_background_class_or_for_features_no_top(networks, tmp_path):
    *values, kernel, bias = networks.network.get_weights()
    wide, bare = tiny(classes=1001), tiny(include_top=False)
    wide.set_weights([*values, np.hstack([kernel[:, :1] * 0 + 9, kernel]), np.append(9, bias)])
    bare.set_weights(values)
    rgb = np.stack([drawn.picture(seed, SIDE) for seed in range(20)])
    features, answers = looked_at(networks.network, rgb)
    for network, name in ((wide, "wide"), (bare, "bare")):
        network.save_weights(tmp_path / f"{name}.weights.h5")
    for name, top in (("wide", True), ("wide", False), ("bare", False)):
        path = str(tmp_path / f"{name}.weights.h5")
        result = feature_networks.load("mobilenet_v2", path, "X", top)(rgb)
        assert result[0] == pytest.approx(features, abs=1e-4)
        assert not top or result[1].argmax(-1).tolist() == answers.tolist()
    with pytest.raises(UserError, match="does not hold weights of MobileNetV2"):
        feature_networks.load("mobilenet_v2", str(tmp_path / "bare.weights.h5"), "X")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "dimensions"),
    [
        ("mobilenet_v2", 224, 1280),
        ("inception_v3", 299, 2048),
        ("inception_resnet_v2", 299, 1536),
        ("vgg16", 224, 4096),
        ("resnet50", 224, 2048),
        ("densenet121", 224, 1024),
    ],
)
def test_features_enter_the_last_layer_of_each_network(name, size, dimensions):
    assert imagenet.NETWORKS[name].size == size
    network = feature_networks.load(name, "random", "X")
    features, logits = network(np.stack([drawn.picture(0, 40)] * 3))
    assert features.shape == (3, dimensions) and logits.shape == (3, 1000)
    assert network.dimensions == dimensions and np.isfinite(logits).all()


def test_the_classes_are_those_of_keras(monkeypatch):
    decode = types.SimpleNamespace(
        decode_predictions=lambda scores, top: [
            [(f"n{row.argmax():08d}", "name", 1.0)] for row in scores
        ]
    )
    monkeypatch.setattr(keras.applications, "imagenet_utils", decode)
    monkeypatch.setattr(pretrained, "fetch", lambda build, name, cached: build())
    result = feature_networks.classes()
    assert len(result) == 1000 and result["n00000207"] == 207
    monkeypatch.setattr(pretrained, "fetch", offline)
    with pytest.raises(UserError, match="imagenet_class_index.json.* neither in Keras's cache"):
        feature_networks.classes()


# --- notes and outputs ----------------------------------------------------------------------------


def test_fewer_pictures_than_dimensions_are_warned_of(dataset, networks):
    report, _ = scored(dataset, networks("fid"))
    assert not any("dimensions" in note for note in report.notes), "12 pictures, 6 dimensions"
    report, _ = scored(dataset, networks("fid", "frechet"), limit=5)
    warnings = [note for note in report.notes if "dimensions" in note]
    assert len(warnings) == 2 and "5 pictures" in warnings[0] and "6 dimensions" in warnings[0]


def test_json_csv_table_and_page_show_the_figures(dataset, networks, tmp_path):
    report = evaluated([], dataset, out=tmp_path, networks=networks("fid", "kid", "top1"))
    result = json.loads((tmp_path / "metrics.json").read_text())
    kid = report.rows[0].figures["kid"]
    assert result["rows"][0]["metrics"]["kid"] == kid.to_json()
    about = result["protocol"]["metrics"]["fid"]
    assert "tiny.weights.h5 weights" in about["switches"]["network"]
    assert "bilinear with antialiasing" in about["switches"]["input"]
    assert "2015" in about["definition"] and about["switches"]["covariance"] == "n - 1"
    with open(tmp_path / "metrics.csv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["fid"]) == report.rows[0].figures["fid"].mean
    assert float(row["kid_deviation"]) == kid.deviation and "fid_deviation" not in row
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    for shown in (
        f"{kid.mean:.5f}".replace("-", "−"),
        f"±{kid.deviation:.5f}",
        "Top-1, MobileNetV2",
    ):
        assert shown in text
    assert f"±{kid.deviation:.5f}" in table.table(report)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("fid,psnr", "There is no metric psnr"),
        ("fid,", "There is no metric of an empty name"),
        ("LPIPS", "There is no metric LPIPS"),
    ],
)
def test_an_unknown_metric_is_one_line(dataset, tmp_path, monkeypatch, capsys, asked, message):
    monkeypatch.chdir(tmp_path)
    code = cli.run(evaluate_command.main, ["--data", str(dataset.folder), "--metrics", asked])
    printed = capsys.readouterr()
    assert code == 2 and "PSNR RGB" not in printed.out and message in printed.err
    assert len(printed.err.splitlines()) == 1


def test_the_command_takes_all(dataset, networks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = cli.run(
        evaluate_command.main,
        [
            "--data",
            str(dataset.folder),
            "--metrics",
            "all",
            "--classifier-weights",
            str(tmp_path / "tiny.weights.h5"),
        ],
    )
    out = capsys.readouterr().out
    assert code == 0 and "no weights" in out and "too small" in out
    assert "MobileNetV2 kernel distance" in out and "Top-1, MobileNetV2" in out
    assert evaluate_command.parse([]).options.networks is None
