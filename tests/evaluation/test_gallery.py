"""Which pictures the page of an evaluation shows, and what of them."""

import json

import cv2
import numpy as np
import pytest

from common import datasets, files, metrics
from common.color import lab
from common.evaluation import rows
from common.evaluation.page import gallery, render
from common.training import logs
from tests import drawn
from tests.evaluation.scoring import evaluated

SIDE = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """40 drawn pictures, 30 of them for testing."""
    home = tmp_path_factory.mktemp("gallery")
    return datasets.prepare(
        drawn.folder(home / "drawn", 40),
        SIDE,
        "squash",
        folder=home / "shards",
        fractions=(0.2, 0.05, 0.75),
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return drawn.exported(tmp_path_factory.mktemp("run") / "tiny.h5")


@pytest.fixture
def made(dataset, model, tmp_path, monkeypatch):
    """made(paths, limit, **options of an evaluation) -> (evaluation, the gallery on its page)."""
    galleries, make = [], gallery.make

    def made(paths=(model,), limit=gallery.LIMIT, **options):
        monkeypatch.setattr(
            gallery,
            "make",
            lambda *args: galleries.append(make(*args, limit=limit)) or galleries[-1],
        )
        evaluation = evaluated(list(paths), dataset, out=tmp_path / "out", **options)
        return evaluation, galleries[-1]

    return made


def test_ranks_are_by_what_is_better():
    truth = rows.Truth({}, {"colourfulness": [10, 10, 10]}, {})

    def ranks(key, values):
        return gallery.ranks(key, rows.Truth({}, {key: values}, {}), truth)

    assert ranks("psnr_rgb", [20, "inf", None, 30, 20]) == [3, 1, None, 2, 3]
    assert ranks("mse_ab", [3, 1, None]) == [2, 1, None]
    assert ranks("colourfulness", [30, 8, 11]) == [3, 2, 1]


def test_worst_best_and_median_by_every_metric_are_there(made):
    evaluation, shown = made(shown=4)
    assert shown.left_out == 0 and shown.spread == 4
    count = evaluation.data.pictures
    assert [picture.position for picture in shown.pictures[:4]] == [
        round(share * (count - 1) / 3) for share in range(4)
    ]
    reasons = {
        (reason.which, reason.key): picture.position
        for picture in shown.pictures
        for reason in picture.reasons
        if reason.method == "tiny"
    }
    assert reasons.keys() == {(which, key) for which in gallery.RANKED for key in metrics.chosen()}
    row = evaluation.row("tiny")
    psnr = row.values["psnr_rgb"]
    assert psnr[reasons["best", "psnr_rgb"]] == max(psnr)
    assert psnr[reasons["worst", "psnr_rgb"]] == min(psnr)
    assert psnr[reasons["median", "psnr_rgb"]] in sorted(psnr)[count // 2 - 1 : count // 2 + 1]
    error = row.values["mse_ab"]
    assert error[reasons["worst", "mse_ab"]] == max(error)
    positions = [picture.position for picture in shown.pictures]
    assert len(set(positions)) == len(positions), "a picture is shown once"


def test_baselines_alone_have_the_pictures_spread_evenly(made):
    _, shown = made(paths=(), shown=5)
    assert len(shown.pictures) == shown.spread == 5
    assert [name for name, _ in shown.pictures[0].versions] == ["grey", None]


def decoded(content):
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def test_a_picture_is_what_was_scored(made, dataset, tmp_path):
    """At 32 pixels pictures are PNG: what the page shows can be scored again."""
    there = tmp_path / "there"
    names = dataset.names("test")
    for position, rgb in enumerate(next(dataset.batches("test", 100))["rgb"]):
        if position % 2:
            path = there / names[position]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.rotate(rgb, cv2.ROTATE_180)[..., ::-1])
    evaluation, shown = made(predictions=[f"them={there}"], batch_size=7)
    values = {row.name: row.values["psnr_rgb"] for row in evaluation.rows}
    for picture in shown.pictures:
        pixels = {name: decoded(image.content) for name, image in picture.versions}
        assert ("them" in pixels) == bool(picture.position % 2)
        for name in pixels.keys() - {None}:
            assert metrics.psnr_rgb(pixels[None], pixels[name]) == pytest.approx(
                values[name][picture.position], rel=1e-3
            )
    # the second reading, for the page, counts no picture a second time
    row = evaluation.row("them")
    assert row.counts["used"] + row.counts["missing"] == len(names)


def test_the_page_is_bounded_and_says_what_is_left_out(made):
    whole = made()[1]
    sizes = [sum(len(image.uri) for _, image in picture.versions) for picture in whole.pictures]
    evaluation, part = made(limit=sum(sizes[:3]), batch_size=2)
    assert len(part.pictures) == 3 and part.spread == 3
    assert part.left_out == len(whole.pictures) - 3
    assert f"{part.left_out} more" in render.html(evaluation, part)
    assert len(made(limit=1)[1].pictures) == 1, "one picture is shown, however large"


def test_the_page_holds_values_and_ranks_of_what_it_shows(made):
    evaluation, shown = made()
    text = render.html(evaluation, shown)
    content = json.loads(text.split('id="values">')[1].split("</script>")[0])
    tiny = evaluation.row("tiny")
    for at, picture in enumerate(shown.pictures):
        position = picture.position
        grey, ours = content["values"][at]
        assert ours["mse_ab"][0] == tiny.values["mse_ab"][position]
        assert ours["mse_ab"][1] == 1 + sum(
            value < ours["mse_ab"][0] for value in tiny.values["mse_ab"]
        )
        assert (
            content["truth"][at]["colourfulness"]
            == evaluation.truth.values["colourfulness"][position]
        )
    assert content["counts"]["mse_ab"] == [evaluation.data.pictures] * 2


# --- colours and curves -----------------------------------------------------------------------


def test_histograms_are_of_all_pixels(made, dataset):
    evaluation, shown = made()
    pixels = evaluation.data.pictures * SIDE**2
    for row in (*evaluation.rows, evaluation.truth):
        assert all(sum(counts) == pixels for counts in row.histograms.values())
    ab = lab.rgb_to_lab(next(dataset.batches("test", 100))["rgb"])[..., 1:]
    edges = np.linspace(-111, 111, 112)
    assert evaluation.truth.histograms["b"] == np.histogram(ab[..., 1], edges)[0].tolist()
    text = render.html(evaluation, shown)
    assert text.count('<svg class="chart"') == 2, "a and b of the model; one colour has none"


HISTORY = (
    "epoch,loss,val_loss,val_psnr_rgb,mean_colour_psnr_rgb,other\n"
    "1,0.5,0.6,20.5,20,x\n2,0.25,0.3,,20,y\n"
)


def test_a_model_beside_its_runs_history_has_curves(made, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluation, shown = made()
    assert evaluation.row("tiny").source.history is None and "Training</h2>" not in render.html(
        evaluation, shown
    )
    path = drawn.exported(tmp_path / "one" / "tiny.h5")
    (path.parent / "history.csv").write_text(HISTORY)
    evaluation, shown = made(paths=[path])
    assert evaluation.row("tiny").source.history == {
        "epoch": [1, 2],
        "loss": [0.5, 0.25],
        "val_loss": [0.6, 0.3],
        "val_psnr_rgb": [20.5, None],
        "mean_colour_psnr_rgb": [20, 20],
    }
    text = render.html(evaluation, shown)
    assert "training loss 0.50000 to 0.25000" in text and "Training</h2>" in text
    assert text.count('<svg class="chart"') == 4


def test_the_run_that_exported_a_model_is_found_by_its_file(tmp_path):
    runs, model = tmp_path / "runs", tmp_path / "models" / "tiny.h5"
    for folder, content in (("runs/other", b"other"), ("runs/ours", b"ours"), ("models", b"ours")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "tiny.h5").write_bytes(content)
    (runs / "other" / "history.csv").write_text(HISTORY.replace("0.5", "9"))
    sha256 = files.sha256(b"ours")
    assert logs.history_of(model, sha256, runs) is None
    (runs / "ours" / "history.csv").write_text(HISTORY)
    assert logs.history_of(model, sha256, runs)["loss"] == [0.5, 0.25]


@pytest.mark.parametrize(
    "text",
    ["", "epoch,loss\n1,2\n", HISTORY.replace("0.25", "much"), "\0", HISTORY.splitlines()[0]],
)
def test_a_file_that_is_no_history_is_none(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    assert logs.history_of(tmp_path / "tiny.h5", "0" * 64, tmp_path) is None
