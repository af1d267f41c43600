"""The evaluation over drawn pictures, with models of a few weights whose output is known."""

import base64
import csv
import dataclasses
import hashlib
import json
import re
import shutil
import types
from html.parser import HTMLParser

import cv2
import keras
import numpy as np
import pytest
from keras import layers

from common import cli, datasets, metrics
from common.cli import UserError
from common.color import bins, lab
from common.commands import evaluate as evaluate_command
from common.datasets import catalogue, statistics
from common.evaluation import rows, table
from common.networks import embeddings, h5, model_names
from tests.evaluation.scoring import evaluated

SIDE = 32
CONFIG = types.SimpleNamespace(l_scale=1 / 50, l_offset=-1.0, ab_scale=1 / 128, ab_offset=0.0)
AWKWARD = 'a<b>&"ü.0".png'


def draw(seed, grey=False):
    """A picture of two soft colour gradients, BGR as OpenCV writes it."""
    corners = np.random.default_rng(seed).uniform(20, 235, (2, 2, 3)).astype(np.float32)
    if grey:
        corners[:] = corners[..., :1]
    return np.uint8(cv2.resize(corners, (48, 40), interpolation=cv2.INTER_LINEAR))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """20 pictures: 10 of training, 2 of validation, 8 of test, one of these grey."""
    folder = tmp_path_factory.mktemp("evaluate") / "drawn"
    splits = ["train"] * 10 + ["val"] * 2 + ["test"] * 8
    for seed, split in enumerate(splits):
        (folder / split).mkdir(parents=True, exist_ok=True)
        name = AWKWARD if seed == 12 else f"{seed:02d}.png"
        png = cv2.imencode(".png", draw(seed, grey=seed == 13))[1]
        (folder / split / name).write_bytes(png.tobytes())
    return folder


@pytest.fixture(scope="module")
def dataset(source):
    return datasets.prepare(
        source, SIDE, "squash", split_by="folder", folder=source.parent / "shards"
    )


def save(path, kernel=(0, 0), bias=(0, 0), size=SIDE, embedding=None, **metadata):
    """Export a model with ab = kernel * L* + bias (+ the first two logits); return its path."""
    inputs = {"l": keras.Input((size, size, 1), name="l")}
    x = layers.Conv2D(2, 1, name="conv")(inputs["l"])
    if embedding:
        inputs["embedding"] = keras.Input((1000,), name="embedding")
        logits = layers.Dense(2, use_bias=False, name="logits")(inputs["embedding"])
        x = layers.Add()([x, layers.Reshape((1, 1, 2))(logits)])
    network = keras.Model(inputs, x, name="tiny")
    kernel, bias = np.float32(kernel), np.float32(bias)
    # The wrapped network gets L* / 50 - 1 and gives ab / 128.
    network.get_layer("conv").set_weights(
        [(kernel * 50 / 128).reshape(1, 1, 1, 2), (bias + kernel * 50) / 128]
    )
    if embedding:
        network.get_layer("logits").set_weights([1e3 * np.eye(1000, 2, dtype=np.float32)])
    h5.export(
        h5.wrap(network, CONFIG),
        path,
        {
            "title": path.stem,
            "image_size": size,
            "cut": "squash",
            "embedding": embedding,
            "data": {"name": "others", "train_sha256": "0" * 24},
            **metadata,
        },
    )
    return path


def true_lab(dataset, split="test"):
    rgb = next(dataset.batches(split, 100))["rgb"]
    return rgb, lab.rgb_to_lab(rgb)


def row(report, name):
    return report.row(name)


def mean(report, name, key):
    return row(report, name).figures[key].mean


# --- figures --------------------------------------------------------------------------------------


def test_metrics_of_batches_do_not_depend_on_how_many_pictures_are_read_at_a_time(
    dataset, tmp_path, monkeypatch
):
    """Batches of six of the eight pictures: a mean over pictures of two batches' figures."""
    monkeypatch.setattr(metrics, "BATCH", 6)
    path = save(tmp_path / "tiny.h5", kernel=(0.1, 0.2))
    _, colours = true_lab(dataset)
    true, predicted = colours[..., 1:], colours[..., :1] * np.float32([0.1, 0.2])
    reports = [
        evaluated([path], dataset, batch_size=size, of_batches=tuple(metrics.BATCH_METRICS))
        for size in (4, 16)
    ]
    for key, metric in metrics.BATCH_METRICS.items():
        by_batch = [metric.function(true[part], predicted[part]) for part in np.s_[:6, 6:]]
        for report in reports:
            figure = row(report, "tiny").figures[key]
            assert figure.mean == pytest.approx(np.average(by_batch, weights=(6, 2)), abs=1e-4)
            assert figure.n == 8 and figure.interval is None
            assert key not in row(report, "tiny").values and key not in report.truth.figures
    assert "range of the batch" in table.table(reports[0])
    assert "batches" not in evaluated([], dataset).protocol.sentences


def test_baselines_by_hand(dataset):
    report = evaluated([], dataset)
    assert [row.name for row in report.rows] == ["grey", "mean colour"]
    ab = true_lab(dataset)[1][..., 1:]
    assert mean(report, "grey", "mse_ab") == pytest.approx((ab**2).mean(), rel=1e-5)
    mean_ab = true_lab(dataset, "train")[1][..., 1:].mean((0, 1, 2))
    assert mean(report, "mean colour", "mse_ab") == pytest.approx(
        ((ab - mean_ab) ** 2).mean(), rel=1e-4
    )


def test_figures_are_means_over_pictures_with_their_count(dataset):
    report = evaluated([], dataset, batch_size=3)
    grey = row(report, "grey")
    psnr = grey.values["psnr_rgb"]
    # The grey picture is the grey baseline's in every pixel: infinite, counted, in no mean.
    assert psnr.count("inf") == 1
    assert grey.figures["psnr_rgb"].n == 7 and grey.figures["psnr_rgb"].infinite == 1
    finite = [value for value in psnr if value != "inf"]
    assert grey.figures["psnr_rgb"].mean == pytest.approx(np.mean(finite), rel=1e-5)
    assert grey.figures["mse_ab"].n == len(report.pictures) == 8
    # PSNR of one picture by the formula, from RGB made with the picture's own L*
    rgb, colours = true_lab(dataset)
    place = next(i for i, value in enumerate(psnr) if value != "inf")
    flat = np.concatenate([colours[place, ..., :1], np.zeros((SIDE, SIDE, 2))], -1)
    predicted = np.rint(255 * lab.lab_to_rgb(flat))
    error = np.mean((rgb[place] - predicted) ** 2)
    assert psnr[place] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-5)


def test_a_model_of_one_colour_scores_as_that_colour(dataset, tmp_path):
    path = save(tmp_path / "flat.h5", bias=dataset.mean_ab)
    report = evaluated([path], dataset, batch_size=3)
    for key in ("mse_ab", "psnr_rgb", "ssim_rgb", "ssim_ab", "colourfulness"):
        assert mean(report, "flat", key) == pytest.approx(
            mean(report, "mean colour", key), rel=1e-3
        )


def test_figures_do_not_depend_on_the_batch(dataset, tmp_path):
    path = save(tmp_path / "slope.h5", kernel=(0.3, -0.2), bias=(5, 20))
    by_3, by_8 = (row(evaluated([path], dataset, batch_size=size), "slope") for size in (3, 8))
    assert by_3.values == by_8.values


def test_a_model_of_another_size_sees_the_picture_small(dataset, tmp_path):
    path = save(tmp_path / "small.h5", kernel=(0.5, -0.25), size=16)
    report = evaluated([path], dataset)
    colours = true_lab(dataset)[1]
    errors = []
    for picture in colours:
        l = cv2.resize(picture[..., 0], (16, 16), interpolation=cv2.INTER_AREA)
        ab = cv2.resize(
            np.stack([l * 0.5, l * -0.25], -1), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR
        )
        errors.append(np.mean((picture[..., 1:] - ab) ** 2))
    assert mean(report, "small", "mse_ab") == pytest.approx(np.mean(errors), rel=1e-4)


def test_delta_is_the_difference_of_mean_colourfulness(dataset, tmp_path):
    report = evaluated([save(tmp_path / "flat.h5", bias=(30, 30))], dataset)
    truth = report.truth.figures["colourfulness"]
    assert truth.n == 8 and len(report.truth.values["colourfulness"]) == 8
    assert row(report, "flat").deltas["colourfulness"].mean == pytest.approx(
        mean(report, "flat", "colourfulness") - truth.mean
    )


def test_every_mean_has_an_interval_about_it(dataset):
    report = evaluated([], dataset)
    for result in (*row(report, "grey").figures.values(), *report.truth.figures.values()):
        low, high = result.interval
        assert low <= result.mean <= high and (low < high or result.n < 3)
    grey = row(report, "grey")
    low, high = grey.deltas["colourfulness"].interval
    assert low < grey.deltas["colourfulness"].mean < high < 0
    again = evaluated([], dataset)
    assert row(again, "grey").figures["mse_ab"] == grey.figures["mse_ab"]
    # the table has them below the means, with the count where it is not that of all pictures
    lines = table.table(report).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("grey"))
    low, high = grey.figures["psnr_rgb"].interval
    assert lines[at + 1].split()[0] == f"{low:.2f}..{high:.2f}"
    assert lines[at + 2].split() == ["n=7"], "the grey picture's PSNR is infinite"
    # one picture alone has no interval
    alone = evaluated([], dataset, limit=1)
    assert row(alone, "grey").figures["mse_ab"].interval is None
    assert ".." not in table.table(alone).split("Below")[0]


def test_both_kinds_of_colourfulness_have_their_difference(dataset):
    report = evaluated([], dataset)
    grey, truth = row(report, "grey"), report.truth
    for key in ("colourfulness", "colourfulness_absolute"):
        # grey is below every true picture, so that nothing cancels
        assert -grey.deltas[key].mean == pytest.approx(truth.figures[key].mean, abs=0.3)
        assert mean(report, "grey", f"{key}_error") == pytest.approx(
            -grey.deltas[key].mean, abs=0.1
        )
    assert truth.figures["colourfulness"] != truth.figures["colourfulness_absolute"]


def test_the_balanced_auc_is_there_where_it_is_asked_for(dataset, monkeypatch):
    plain = evaluated([], dataset)
    assert "auc_ab_balanced" not in row(plain, "grey").figures
    assert (
        "balanced" not in plain.protocol.sentences and not (dataset.folder / "prior.json").exists()
    )
    report = evaluated([], dataset, rebalance=True, batch_size=3)
    # over all pixels at once, by the definition: weights of the smoothed prior's inverse
    weights = bins.balance(statistics.counted(dataset))
    ab = true_lab(dataset)[1][..., 1:].reshape(-1, 2)
    nearest = np.linalg.norm(ab[:, None] - bins.CENTRES, axis=-1).argmin(-1)
    within = 1 - np.minimum(np.linalg.norm(ab, axis=-1), 150) / 150
    assert mean(report, "grey", "auc_ab_balanced") == pytest.approx(
        100 * np.average(within, weights=weights[nearest]), rel=1e-4
    )
    assert mean(report, "grey", "auc_ab_balanced") < mean(report, "grey", "auc_ab")
    assert "balanced" in report.protocol.sentences and "AuC balanced" in table.table(report)
    # measured once, and anew where what is kept is of another split
    kept = dataset.folder / "prior.json"
    calls = []
    monkeypatch.setattr(
        statistics, "counted", lambda data: calls.append(1) or np.full(313, 1 / 313)
    )
    again = evaluated([], dataset, rebalance=True, batch_size=3)
    assert (
        mean(again, "grey", "auc_ab_balanced")
        == pytest.approx(mean(report, "grey", "auc_ab_balanced"), rel=1e-6)
        and not calls
    )
    for damage in ("", "{", '{"train_sha256": 1}', "[]"):
        kept.write_text(damage)
        evaluated([], dataset, rebalance=True, limit=1)
    assert len(calls) == 4
    kept.unlink()


def test_limit_takes_the_first_pictures(dataset):
    whole, part = (evaluated([], dataset, limit=limit) for limit in (None, 3))
    assert part.data.pictures == 3 and part.data.of == 8
    assert row(part, "grey").values["mse_ab"] == row(whole, "grey").values["mse_ab"][:3]
    assert part.pictures == whole.pictures[:3]


def test_small_pictures_have_no_ssim(source):
    tiny = datasets.prepare(source, 8, "squash", split_by="folder", folder=source.parent / "tiny")
    report = evaluated([], tiny)
    assert row(report, "grey").figures["ssim_rgb"] == rows.Summary(None, 0)
    assert " - " in table.table(report)


# --- embeddings -----------------------------------------------------------------------------------


def small_classifier(weights, classes, classifier_activation):
    """In place of an ImageNet network: quick, and as sensitive to the picture."""
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, 2, activation=classifier_activation or "relu")(picture)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(classes)(x))


def test_stored_embeddings_are_taken_only_if_they_are_the_models_own(source, tmp_path, monkeypatch):
    monkeypatch.setitem(
        embeddings.NETWORKS,
        "mobilenet_v2",
        dataclasses.replace(embeddings.NETWORKS["mobilenet_v2"], size=SIDE, build=small_classifier),
    )
    stored = datasets.prepare(
        source,
        SIDE,
        "squash",
        "mobilenet_v2",
        "random",
        embed_from="shard",
        split_by="folder",
        folder=source.parent / "embedded",
    )
    embedding = stored.embedding
    paths = [
        save(tmp_path / "stored.h5", embedding=embedding),
        save(tmp_path / "live.h5", embedding=embedding, cut="letterbox"),
        save(tmp_path / "lost.h5", embedding={**embedding, "sha256": "f" * 64}),
    ]
    report = evaluated(paths, stored)
    assert row(report, "stored").source.embedding_from == "data set"
    assert row(report, "live").source.embedding_from == "model"
    assert mean(report, "stored", "mse_ab") != mean(report, "grey", "mse_ab")
    # one picture, one embedding: stored and live agree but for the arithmetic of the batch
    assert mean(report, "stored", "mse_ab") == pytest.approx(
        mean(report, "live", "mse_ab"), rel=1e-3
    )
    assert [failure.file for failure in report.failed] == [str(paths[2])]
    # random weights stand in the row
    text = table.table(report).splitlines()
    assert any(
        line.startswith("stored") and "mobilenet_v2, RANDOM weights, of stored pictures" in line
        for line in text
    )


def test_a_model_of_the_photos_embeddings_gets_them_stored_or_not(source, tmp_path, monkeypatch):
    """And those of the stored pictures only where they are asked for, which its row says."""
    network = dataclasses.replace(
        embeddings.NETWORKS["mobilenet_v2"], size=SIDE + 8, build=small_classifier
    )
    monkeypatch.setitem(embeddings.NETWORKS, "mobilenet_v2", network)
    photos = shutil.copytree(source, tmp_path / "photos")

    def prepare(folder, *embedding):
        return datasets.prepare(
            photos, SIDE, "squash", *embedding, split_by="folder", folder=tmp_path / folder
        )

    stored, plain = prepare("stored", "mobilenet_v2", "random"), prepare("plain")
    # A model of another size takes them too: they are of the photo, not of the model's picture.
    paths = [
        save(tmp_path / "model.h5", embedding=stored.embedding),
        save(tmp_path / "larger.h5", embedding=stored.embedding, size=SIDE * 2),
    ]
    reports = [evaluated(paths, dataset) for dataset in (stored, plain)]
    for report, made in zip(reports, ("data set", "photos"), strict=True):
        for name in ("model", "larger"):
            assert row(report, name).source.embedding_from == made
        assert "RANDOM weights, of photos" in table.table(report)
    errors = [[mean(report, name, "mse_ab") for name in ("model", "larger")] for report in reports]
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    shutil.rmtree(photos)
    report = evaluated(paths, plain)
    assert ["is gone" in failure.reason for failure in report.failed] == [True, True]
    report = evaluated(paths[:1], plain, embed_from="shard")
    assert row(report, "model").source.embedding_from == "model"
    assert "of stored pictures" in table.table(report)
    assert mean(report, "model", "mse_ab") != pytest.approx(errors[0][0], rel=1e-4)


# --- what was seen, what is best ------------------------------------------------------------------


def test_a_model_that_has_seen_test_pictures_is_marked_and_never_best(dataset, tmp_path):
    trained = "".join(digest[:12] for digest in ["0" * 64, *dataset.sha256("test")[1:3]])
    near = tuple(true_lab(dataset)[1][..., 1:].mean((0, 1, 2)))  # the best one colour there is
    paths = [
        save(tmp_path / "seen.h5", bias=near, data={"train_sha256": trained}),
        save(tmp_path / "fresh.h5", bias=near),
        save(tmp_path / "silent.h5", data={}),
    ]
    report = evaluated(paths, dataset)
    assert [row(report, name).seen for name in ("seen", "fresh", "silent")] == [2, 0, None]
    assert "mse_ab" in row(report, "fresh").best and not row(report, "seen").best
    assert "train_sha256" not in row(report, "seen").metadata["data"]
    text = table.table(report)
    remarks = {row.name: table.remarks_of(row, 8) for row in report.models}
    assert remarks["seen"] and remarks["silent"] and not remarks["fresh"]
    assert all(remark in text for name in remarks for remark in remarks[name])
    # of the first picture alone, the model has seen none
    assert row(evaluated(paths[:1], dataset, limit=1), "seen").seen == 0


def test_a_model_without_metadata_is_evaluated(dataset, tmp_path):
    l = keras.Input((SIDE, SIDE, 1), name="l")
    keras.Model({"l": l}, layers.Conv2D(2, 1, name="ab")(l)).save(tmp_path / "foreign.h5")
    report = evaluated([tmp_path / "foreign.h5"], dataset)
    assert row(report, "foreign").seen is None
    assert row(report, "foreign").figures["mse_ab"].n == 8


def test_two_models_of_one_name_keep_apart(dataset, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    paths = [save(tmp_path / folder / "flat.h5") for folder in ("one", "two")]
    report = evaluated(paths, dataset)
    assert [row.name for row in report.rows[2:]] == [str(path) for path in paths]


# --- outputs --------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that tags close in order, and collects them."""

    VOID = {"meta", "link", "img", "input"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    paths = [save(folder / "flat.h5", bias=(5, 10)), folder / "broken.h5"]
    paths[1].write_bytes(b"<script>")
    report = evaluated(paths, dataset, out=folder / "out", shown=5)
    return report, folder / "out"


def test_nothing_but_the_three_files_is_written(written):
    assert sorted(path.name for path in written[1].iterdir()) == [
        "index.html",
        "metrics.csv",
        "metrics.json",
    ]


def test_json_is_strict_and_says_the_protocol(written):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report, out = written
    result = json.loads((out / "metrics.json").read_text(), parse_constant=refuse)
    assert result == json.loads(json.dumps(report.to_json()))
    assert rows.read(out / "metrics.json") == report
    assert result["protocol"]["metrics"]["ssim_ab"]["switches"]["sigma"] == 1.5
    assert result["data"]["pictures"] == 8 and len(result["data"]["split_sha256"]) == 64
    assert result["pictures"][0].keys() == {"name", "sha256"}
    assert {"keras", "numpy", "scikit-image", "opencv"} <= result["versions"].keys()
    assert "broken.h5" in result["failed"][0]["reason"]


def test_csv_has_a_row_a_method(written):
    report, out = written
    with open(out / "metrics.csv", encoding="utf-8", newline="") as file:
        result = {row["name"]: row for row in csv.DictReader(file)}
    assert list(result) == ["grey", "mean colour", "flat"]
    assert float(result["flat"]["psnr_rgb"]) == mean(report, "flat", "psnr_rgb")
    assert result["grey"]["psnr_rgb_n"] == "7" and result["grey"]["mse_ab_n"] == "8"
    interval = tuple(float(result["flat"][f"mse_ab_{end}"]) for end in ("low", "high"))
    assert interval == row(report, "flat").figures["mse_ab"].interval


def test_the_page_stands_alone(written):
    text = (written[1] / "index.html").read_text(encoding="utf-8")
    reader = Reader(text)
    images = reader.all("img")
    assert len(images) % 3 == 0 and len(images) >= 5 * 3  # grey, flat, true
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in images)
    assert "url(" not in text and "http:" not in text
    assert "https:" not in text and "@import" not in text
    assert {attrs.get("href") for attrs in reader.all("a")} == {"metrics.json", "metrics.csv"}
    content = " ".join(reader.text)
    assert "broken.h5" in content and "use_sample_covariance=False" in content
    # one script may run, which the policy names by what is in it
    (policy,) = (
        meta["content"]
        for meta in reader.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1 and "default-src 'none'" in policy
    digest = hashlib.sha256(scripts[0].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert {attrs.get("type") for attrs in reader.all("script")} == {None, "application/json"}


def test_the_page_escapes_names(dataset, tmp_path):
    evaluated([], dataset, out=tmp_path)
    reader = Reader((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert any(AWKWARD in text for text in reader.text)
    assert any(AWKWARD in image["alt"] for image in reader.all("img"))


def test_the_table_is_aligned_and_marks_the_best(written):
    lines = table.table(written[0]).splitlines()
    header = next(line for line in lines if "PSNR RGB" in line)
    ends = header.index("SSIM RGB") + len("SSIM RGB")
    body = [line for line in lines if line.startswith(("grey  ", "mean colour  ", "flat  "))]
    assert len(body) == 3 and all(line[ends - 1].isdigit() for line in body)
    assert sum(line[ends] == "*" for line in body) == 1


def test_pairs_have_an_interval_and_wins(dataset, tmp_path):
    near = tuple(true_lab(dataset)[1][..., 1:].mean((0, 1, 2)))
    paths = [save(tmp_path / "near.h5", bias=near), save(tmp_path / "far.h5", bias=(90, -90))]
    report = evaluated(paths, dataset, out=tmp_path / "out")
    assert len(report.pairs) == 6
    result = report.pair("far", "near").metrics["mse_ab"]
    assert result.mean == pytest.approx(
        mean(report, "far", "mse_ab") - mean(report, "near", "mse_ab"), rel=1e-4
    )
    assert result.verdict == "worse" and (result.wins, result.losses) == (0, 8)
    text = table.table(report)
    for against in ("near", "mean colour"):
        assert f"far against {against}: worse" in text
    assert "against grey" not in text, "which every model beats"
    reader = Reader((tmp_path / "out/index.html").read_text(encoding="utf-8"))
    assert "Comparisons" in reader.text and reader.text.count("against grey") == 3
    named = evaluated(paths, dataset, against="grey")
    assert [pair.against for pair in named.pairs] == ["grey"] * 3
    assert "mean colour against grey: " in table.table(named)


def test_constant_pictures_have_figures_where_they_are_defined(tmp_path):
    for split, greys in (("train", (0, 0)), ("test", (0, 90, 255))):
        for at, grey in enumerate(greys):
            path = tmp_path / "flat" / split / f"{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.full((SIDE, SIDE, 3), grey, np.uint8)
            picture[0, 0] += np.uint8([at, 0, 0]) if split == "train" else 0
            path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    flat = datasets.prepare(
        tmp_path / "flat", SIDE, "squash", split_by="folder", folder=tmp_path / "shards"
    )
    report = evaluated([save(tmp_path / "red.h5", bias=(40, 20))], flat, out=tmp_path / "out")
    grey, red = row(report, "grey"), row(report, "red")
    # grey pictures are what the grey baseline gives: in no mean, but counted, and nothing is better
    assert grey.figures["psnr_rgb"] == rows.Summary(None, 0, infinite=3)
    assert "psnr_rgb" in grey.best and red.best == ()
    assert grey.values["psnr_rgb"] == ["inf"] * 3 and any(
        "3" in note for note in table.notes(report)
    )
    assert mean(report, "grey", "ssim_rgb") == pytest.approx(1)
    assert grey.figures["ssim_rgb"].n == 3
    assert 0 <= mean(report, "red", "ssim_rgb") < 1 < mean(report, "red", "ciede2000")
    assert report.truth.figures["colourfulness"].mean == 0
    result = report.pair("red", "grey").metrics["psnr_rgb"]
    assert (result.mean, result.n, result.losses) == (None, 0, 3)
    lines = table.table(report).splitlines()
    assert next(line for line in lines if line.startswith("grey ")).split()[1] == "inf*"
    assert "∞" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


# --- bad input ------------------------------------------------------------------------------------


def test_a_model_that_gives_nan_is_left_out(dataset, tmp_path):
    paths = [save(tmp_path / "nan.h5", bias=(np.nan, 0)), save(tmp_path / "flat.h5")]
    report = evaluated(paths, dataset)
    assert [row.name for row in report.rows] == ["grey", "mean colour", "flat"]
    assert "NaN" in report.failed[0].reason
    with pytest.raises(UserError, match="NaN"):
        evaluated(paths[:1], dataset)


def test_a_model_that_is_no_colorizer_is_left_out(dataset, tmp_path):
    image = keras.Input((SIDE, SIDE, 3), name="image")
    keras.Model(image, layers.Conv2D(2, 1)(image)).save(tmp_path / "classes.h5")
    l = keras.Input((SIDE, SIDE, 1), name="l")
    keras.Model({"l": l}, layers.Conv2D(2, 1, 2)(l)).save(tmp_path / "half.h5")
    for name in ("classes", "half"):
        with pytest.raises(UserError, match=f"{name}.h5 is no colorizer"):
            evaluated([tmp_path / f"{name}.h5"], dataset)


def test_an_empty_split_is_an_error(source):
    (source.parent / "one").mkdir()
    picture = source.parent / "one" / "only.png"
    picture.write_bytes(cv2.imencode(".png", draw(0))[1].tobytes())
    alone = datasets.prepare(picture.parent, SIDE, "squash", folder=source.parent / "alone")
    with pytest.raises(UserError, match="test split .* is empty"):
        evaluated([], alone)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(dataset, tmp_path, monkeypatch, capsys):
    """run(*arguments) -> (exit code, stdout, stderr without bars), in an empty folder.

    No models come with the library.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_names, "shipped", lambda: tmp_path / "shipped")

    def run(*arguments, data=dataset.folder):
        code = cli.run(evaluate_command.main, ["--data", str(data), *map(str, arguments)])
        printed = capsys.readouterr()
        errors = [line.split("\r")[-1] for line in printed.err.splitlines()]
        return code, printed.out, [line for line in errors if line.startswith(("error", "left"))]

    return run


def data_of(folder):
    """The `rows.Data` of what the command wrote."""
    return rows.read(folder / "reports/eval/metrics.json").data


def test_without_models_the_baselines_are_evaluated(run, tmp_path):
    code, out, _ = run()
    assert code == 0 and "make train-koala" in out and "mean colour" in out
    assert (tmp_path / "reports/eval/index.html").exists()


def test_every_model_of_the_folder_is_evaluated_but_broken_ones(run, tmp_path):
    save(tmp_path / "models/flat.h5")
    (tmp_path / "models/broken.h5").write_bytes(b"")
    code, out, errors = run()
    assert code == 1 and "flat" in out
    assert len(errors) == 1 and "models/broken.h5" in errors[0]


def test_a_broken_model_in_the_folder_does_not_stop_the_baselines(run, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/broken.h5").write_bytes(b"")
    code, out, errors = run()
    assert code == 1 and "mean colour" in out and len(errors) == 1


def test_a_broken_model_alone_is_an_error(run, tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"")
    code, out, errors = run("--models", "broken.h5")
    assert (
        code == 2 and out == "model: broken.h5\n" and len(errors) == 1 and "broken.h5" in errors[0]
    )
    assert not (tmp_path / "reports").exists() or not any((tmp_path / "reports/eval").iterdir())


def test_a_missing_model_is_named_before_any_work(run):
    code, out, errors = run("--models", "nobody", "koala")
    assert code == 2 and not out and "nobody" in errors[0] and "make train-koala" in errors[0]


def test_a_reference_that_is_not_there_is_named_before_any_work(run, tmp_path):
    save(tmp_path / "models/flat.h5")
    code, out, errors = run("--against", "nobody")
    assert code == 2 and out.startswith("model: ") and out.count("\n") == 1 and len(errors) == 1
    assert "nobody" in errors[0] and "grey, mean colour, flat" in errors[0]
    code, out, _ = run("--against", "mean colour")
    assert code == 0 and "flat against mean colour: " in out


def test_an_unwritable_folder_is_named_before_any_work(run, tmp_path):
    (tmp_path / "taken").write_text("")
    code, out, errors = run("--out", "taken/eval")
    assert code == 2 and "PSNR" not in out and len(errors) == 1 and "taken" in errors[0]


def test_one_named_model_chooses_size_and_cut(run, source, tmp_path):
    save(tmp_path / "models/small.h5", size=16, cut="letterbox")
    code, out, _ = run("--model=small", "--split-by", "folder", "--limit", 2, data=source)
    assert code == 0 and data_of(tmp_path).image_size == 16
    (folder,) = (tmp_path / "data/tfrecords").iterdir()
    assert datasets.Dataset(folder).cut == "letterbox"


def test_models_of_one_size_are_measured_at_it_though_none_is_named(run, source, tmp_path):
    save(tmp_path / "models/one.h5", size=32)
    save(tmp_path / "models/two.h5", size=32)
    code, out, _ = run("--split-by", "folder", "--limit", 2, data=source)
    assert code == 0 and data_of(tmp_path).image_size == 32
    table = (tmp_path / "reports/eval/index.html").read_text()
    assert "data:image/png" in table and "image-rendering: pixelated" in table


def test_the_shipped_default_is_measured_beside_models_of_ones_own_at_their_size(
    run, source, tmp_path
):
    save(tmp_path / "models/own.h5", size=16)
    save(tmp_path / f"shipped/{model_names.DEFAULT}.h5")
    save(tmp_path / "shipped/further.h5")
    code, out, _ = run("--split-by", "folder", "--limit", 2, data=source)
    assert code == 0 and f"{model_names.DEFAULT} against own" in out and "further" not in out
    assert data_of(tmp_path).image_size == 16
    code, out, _ = run("--model=own", "--split-by", "folder", "--limit", 2, data=source)
    assert code == 0 and model_names.DEFAULT not in out


def test_models_that_differ_are_measured_at_the_datas_own_size(run, source, tmp_path, monkeypatch):
    save(tmp_path / "models/one.h5", size=16)
    save(tmp_path / "models/two.h5", size=40)
    entry = {"folder": str(source), "split_by": "folder", "size": 32, "fetch": ""}
    monkeypatch.setattr(catalogue, "entries", lambda: {"stamps": entry})
    code, out, _ = run("--limit", 2, data="stamps")
    assert code == 0 and data_of(tmp_path).image_size == 32


def test_embeddings_are_not_needed_by_models_without(run, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("an embedding network was loaded")

    monkeypatch.setattr(embeddings, "load", refuse)
    save(tmp_path / "models/flat.h5")
    assert run()[0] == 0


def test_a_refinement_is_recorded_in_its_row(dataset, tmp_path):
    path = save(tmp_path / "m.h5", kernel=(0.2, -0.3))
    plain, refined = (evaluated([path], dataset, refine=way) for way in ("none", "tv"))
    assert refined.model.source.refine == refined.to_json()["rows"][-1]["refine"] == "tv"
    assert "refined: tv" in table.table(refined)
    assert "refine" not in plain.to_json()["rows"][-1]
    assert plain.model.figures["mse_ab"].mean != refined.model.figures["mse_ab"].mean
    assert rows.Evaluation.from_json(refined.to_json()) == refined


def test_a_random_field_leaves_out_models_without_bins(dataset, tmp_path):
    paths = [save(tmp_path / f"{name}.h5") for name in "ab"]
    evaluation = evaluated(paths, dataset, refine="crf")
    assert not evaluation.models
    assert all("classifies ab" in failure.reason for failure in evaluation.failed)
