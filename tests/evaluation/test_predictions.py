"""Pictures of other systems: found by name, whatever their size and kind."""

import cv2
import numpy as np
import pytest
import tifffile

from common import cli, datasets, metrics
from common.cli import UserError
from common.commands import evaluate as evaluate_command
from common.evaluation import predictions, rows, table
from tests import drawn
from tests.evaluation.scoring import evaluated

SIDE = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """12 pictures, 4 of them of the test split, t00.png to t03.png in test/a and test/b."""
    home = tmp_path_factory.mktemp("predictions")
    for seed in range(12):
        folder = home / "drawn" / ("train" if seed < 8 else f"test/{'ab'[seed % 2]}")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{seed:02d}.png" if seed < 8 else f"t{seed - 8:02d}.png"
        write(folder / name, drawn.picture(seed, SIDE))
    return datasets.prepare(
        home / "drawn", SIDE, "squash", split_by="folder", folder=home / "shards"
    )


def write(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    if rgb.ndim == 3:
        rgb = cv2.cvtColor(rgb, cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), rgb)


def truth(dataset):
    """{name: picture} of the test split."""
    return dict(zip(dataset.names("test"), next(dataset.batches("test", 10))["rgb"], strict=True))


def scored(dataset, *folders, **options):
    report = evaluated([], dataset, predictions=folders, **options)
    return report, [row for row in report.rows if row.kind == "predictions"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "present", "expected"),
    [
        (["x/a.png"], ["x/a.png", "a.png"], {"x/a.png": "x/a.png"}),
        (["x/a.jpg"], ["x/a.jpg.png"], {"x/a.jpg": "x/a.jpg.png"}),
        (["x/a.jpg"], ["x/a.png"], {"x/a.jpg": "x/a.png"}),
        (
            ["x/a.jpg", "x/a.jpg.b.jpg"],
            ["x/a.jpg.png", "x/a.jpg.b.png"],
            {"x/a.jpg": "x/a.jpg.png", "x/a.jpg.b.jpg": "x/a.jpg.b.png"},
        ),
        (
            ["x/a.jpg", "y/b.jpg"],
            ["b.png", "other/a.jpg"],
            {"x/a.jpg": "other/a.jpg", "y/b.jpg": "b.png"},
        ),
        # two pictures, or two files, of one name: ambiguous
        (["x/a.png", "y/a.png"], ["a.png"], {}),
        (["x/a.png", "y/a.png"], ["x/a.png", "z/a.png"], {"x/a.png": "x/a.png"}),
        (["a.tif"], ["a.png", "a.jpg"], {}),
        (["a.png"], ["b.png"], {}),
        (["a.png"], [], {}),
    ],
)
def test_which_file_is_whose(names, present, expected):
    assert predictions.match(names, present) == expected


def test_a_folder_may_be_named(tmp_path):
    assert predictions.parse("ours=some/folder")[0] == "ours"
    assert predictions.parse("some/folder") == (None, type(tmp_path)("some/folder"))
    (tmp_path / "a=b").mkdir()
    assert predictions.parse(str(tmp_path / "a=b")) == (None, tmp_path / "a=b")


# --- figures --------------------------------------------------------------------------------------


def test_perfect_pictures_score_as_such(dataset, tmp_path):
    for name, rgb in truth(dataset).items():
        write(tmp_path / "perfect" / name, rgb)
    _, (row,) = scored(dataset, tmp_path / "perfect")
    assert row.name == "perfect" and row.seen is None
    assert row.figures["psnr_rgb"].infinite == 4
    # A picture's Lab in a batch and by itself may differ in the seventh digit.
    for key, best in (("mse_ab", 0), ("l_drift", 0), ("auc_ab", 100)):
        assert row.figures[key].mean == pytest.approx(best, abs=1e-5)
    assert "mse_ab" in row.best


def test_figures_are_of_the_picture_as_it_is(dataset, tmp_path):
    made = {name: np.uint8(rgb // 2 + 40) for name, rgb in truth(dataset).items()}
    for name, rgb in made.items():
        write(tmp_path / name, rgb)
    _, (row,) = scored(dataset, tmp_path, batch_size=3)
    for at, (name, rgb) in enumerate(truth(dataset).items()):
        assert row.values["psnr_rgb"][at] == pytest.approx(
            metrics.psnr_rgb(rgb, made[name]), rel=1e-5
        )
    assert row.figures["l_drift"].mean > 5, "their lightness is their own"


def test_missing_pictures_are_left_out_and_counted(dataset, tmp_path):
    (first, rgb), *_ = truth(dataset).items()
    write(tmp_path / first, np.uint8(rgb // 2))
    write(tmp_path / "stranger.png", rgb)
    (tmp_path / "notes.txt").write_text("no picture")
    report, (row,) = scored(dataset, f"half={tmp_path}")
    assert row.counts == {
        "used": 1,
        "missing": 3,
        "others": 1,
        "resized": 0,
        "grey": 0,
        "alpha": 0,
        "unreadable": 0,
    }
    assert row.source.missing == dataset.names("test")[1:] and row.source.others == ["stranger.png"]
    assert row.figures["mse_ab"].n == 1 and row.values["mse_ab"][1:] == [None] * 3
    assert row.best == row.best_deltas == (), "its mean is over other pictures"
    assert row.deltas["colourfulness"].mean == pytest.approx(
        metrics.colourfulness(np.uint8(rgb // 2)) - metrics.colourfulness(rgb), rel=1e-4
    )
    assert report.pair("half", "grey").metrics["mse_ab"].n == 1
    (remark,) = (each for each in table.remarks_of(row, 4) if "used" in each)
    assert "3 missing" in remark and remark in table.table(report) and "n=1" in table.table(report)


def test_other_sizes_grey_and_alpha_are_brought_to_the_true_pictures(dataset, tmp_path):
    a, b, c, d = truth(dataset).items()
    double = np.repeat(np.repeat(a[1], 2, 0), 2, 1)
    grey = b[1][..., 0]
    clear = np.dstack([c[1], np.zeros((SIDE, SIDE), np.uint8)])
    for (name, _), picture in zip((a, b, c, d), (double, grey, clear, d[1]), strict=True):
        write(tmp_path / name, picture)
    _, (row,) = scored(dataset, tmp_path)
    assert {key: count for key, count in row.counts.items() if count} == {
        "used": 4,
        "resized": 1,
        "grey": 1,
        "alpha": 1,
    }
    psnr = row.values["psnr_rgb"]
    assert psnr[0] == psnr[3] == "inf", "area averaging takes the doubling back"
    assert psnr[1] == pytest.approx(metrics.psnr_rgb(b[1], np.dstack([grey] * 3)), rel=1e-5)
    assert psnr[2] == pytest.approx(metrics.psnr_rgb(c[1], np.full_like(c[1], 255)), rel=1e-5)


def test_unreadable_pictures_are_listed(dataset, tmp_path):
    for name, rgb in truth(dataset).items():
        write(tmp_path / name, rgb)
    broken = dataset.names("test")[2]
    (tmp_path / broken).write_bytes(b"no picture at all")
    report = evaluated([], dataset, out=tmp_path / "out", predictions=[tmp_path])
    row = report.rows[-1]
    assert row.source.unreadable[0]["file"] == broken and row.source.unreadable[0]["reason"]
    assert row.counts["unreadable"] == 1 and row.counts["used"] == 3 and not row.best
    for name in dataset.names("test"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UserError, match="can be read"):
        scored(dataset, tmp_path)


def test_pictures_of_numbers_that_are_no_colours_are_unreadable(dataset, tmp_path):
    *broken, last = dataset.names("test")
    for name, value in zip(broken, (np.nan, np.inf, 0.5), strict=True):
        path = (tmp_path / name).with_suffix(".tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full((SIDE, SIDE, 3), value, np.float32))
    write(tmp_path / last, truth(dataset)[last])
    _, (row,) = scored(dataset, tmp_path)
    assert row.counts["unreadable"] == 3 and row.counts["used"] == 1
    assert {file["reason"].split(";")[0] for file in row.source.unreadable} == {
        "its samples are float32"
    }
    assert row.values["mse_ab"][:3] == [None] * 3 and row.figures["mse_ab"].n == 1


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_shipped")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "There is no folder"),
        (lambda folder: folder.mkdir(), "it has no picture"),
        (lambda folder: write(folder / "x.png", drawn.picture(0)), "are like x.png"),
    ],
)
def test_where_nothing_fits_there_is_one_line(
    dataset, tmp_path, monkeypatch, capsys, make, message
):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "theirs")
    code = cli.run(
        evaluate_command.main, ["--data", str(dataset.folder), "--predictions", "theirs"]
    )
    printed = capsys.readouterr()
    assert code == 2 and not printed.out and len(printed.err.splitlines()) == 1
    assert message in printed.err and "theirs" in printed.err


@pytest.mark.usefixtures("nothing_shipped")
def test_predictions_stand_in_the_table_and_on_the_page(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, rgb in list(truth(dataset).items())[1:]:
        write(tmp_path / "theirs" / name, rgb)
    code = cli.run(
        evaluate_command.main,
        ["--data", str(dataset.folder), "--predictions", "them=theirs", "--against", "them"],
    )
    out = capsys.readouterr().out
    assert code == 0 and "grey against them: worse" in out and "1 missing" in out
    text = (tmp_path / "reports/eval/index.html").read_text(encoding="utf-8")
    assert "pictures in theirs" in text and text.count("<img") == 4 * 2 + 3


def test_a_broken_model_in_the_folder_does_not_stop_predictions(
    dataset, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/broken.h5").write_bytes(b"")
    for name, rgb in truth(dataset).items():
        write(tmp_path / "theirs" / name, rgb)
    code = cli.run(
        evaluate_command.main, ["--data", str(dataset.folder), "--predictions", "theirs"]
    )
    assert code == 1 and "broken.h5" in capsys.readouterr().err
    result = rows.read(tmp_path / "reports/eval/metrics.json")
    assert result.row("theirs").counts["used"] == 4 and len(result.failed) == 1


def test_two_rows_of_one_name_are_refused(dataset, tmp_path):
    write(tmp_path / "x.png", drawn.picture(0))
    with pytest.raises(UserError, match="Two rows would be called grey"):
        scored(dataset, f"grey={tmp_path}")
