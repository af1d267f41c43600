"""VIVID, TINT and VARIANTS: the Colorizer's dials and the command's flags."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from common import cli
from common.color.dial import Dial
from common.colorize import Colorizer, dials, engine, variants
from common.colorize.settings import Settings
from common.commands import colorize as colorize_command
from common.networks import h5
from tests import drawn

CONFIG = drawn.Config(faithful=(1.0, 0.0), vivid=(0.38, 0.7), export_both=True)
SMALL = np.random.default_rng(0).uniform(0, 100, (2, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{"faithful", "vivid": the two exports of one classifier, "regression": a model of ab}."""
    folder = tmp_path_factory.mktemp("models")
    network = drawn.classifier(CONFIG)
    prior = np.random.default_rng(0).dirichlet(np.full(313, 0.2))
    paths = {"regression": drawn.exported(folder / "regression.h5")}
    for name, default in (("faithful", 0.0), ("vivid", 1.0)):
        dial = dataclasses.replace(Dial.of(CONFIG, prior, True), default=default)
        paths[name] = folder / f"{name}.h5"
        h5.export(
            h5.wrap(network, CONFIG, dial.decode),
            paths[name],
            {"image_size": 32, "cut": "squash", "dial": dataclasses.asdict(dial)},
        )
    return paths


def predicted(path, **options):
    return Colorizer(path, **options).predict_ab(SMALL)


def bare(path):
    """As Keras alone gives it."""
    model = keras.models.load_model(path, compile=False)
    return model.predict({"l": SMALL}, verbose=0)


# --- vivid ----------------------------------------------------------------------------------------


def test_the_ends_of_the_dial_are_the_two_exports(models):
    """Whichever of the two is at hand; without a dial each is as it was exported."""
    ends = {0.0: bare(models["faithful"]), 1.0: bare(models["vivid"])}
    assert np.abs(ends[0] - ends[1]).max() > 1
    for name, default in (("faithful", 0.0), ("vivid", 1.0)):
        for vivid, ab in ends.items():
            np.testing.assert_allclose(predicted(models[name], vivid=vivid), ab, atol=1e-4)
        np.testing.assert_allclose(predicted(models[name]), ends[default], atol=1e-4)
    middle = [predicted(models[name], vivid=0.4) for name in ("faithful", "vivid")]
    np.testing.assert_array_equal(*middle)
    assert all(np.abs(middle[0] - end).max() > 0.1 for end in ends.values())


def test_turned_shares_the_network_and_leaves_the_original(models):
    colorizer = Colorizer(models["faithful"])
    before = colorizer.predict_ab(SMALL)
    vivid = colorizer.turned(0.4).turned(1.0).predict_ab(SMALL)
    np.testing.assert_array_equal(vivid, predicted(models["vivid"], vivid=1.0))
    np.testing.assert_array_equal(colorizer.predict_ab(SMALL), before)


@pytest.mark.parametrize("value", [-0.1, 1.1, "nan", "half", ""])
def test_vivid_beyond_its_range_is_refused(models, value):
    with pytest.raises(cli.UserError, match="VIVID= is a number from 0.*Received: "):
        Colorizer(models["vivid"], vivid=value)


def test_vivid_of_a_model_that_regresses_is_refused(models):
    with pytest.raises(cli.UserError, match="classifies ab"):
        Colorizer(models["regression"], vivid=0.0)


# --- tint -----------------------------------------------------------------------------------------


def test_a_tint_is_parsed():
    assert dials.parse_tint("warm") == (1, 11) and dials.parse_tint("cool") == (0, -8)
    assert dials.parse_tint("-3,4.5") == dials.parse_tint((-3, 4.5)) == (-3, 4.5)


@pytest.mark.parametrize("value", ["", "hot", "1", "1,2,3", "nan,0", "0,101", "inf,0", (1,)])
def test_another_tint_is_refused(value):
    with pytest.raises(cli.UserError, match="TINT= is warm, cool or a,b.*Received: "):
        dials.parse_tint(value)


@pytest.mark.parametrize("name", ["warm", "cool"])
def test_the_named_tints_are_daylight_of_other_temperatures(name):
    """CIE's chromaticities of D55 and D75, as D65 sees them (skimage's white)."""
    x, y = {"warm": (0.33242, 0.34743), "cool": (0.29902, 0.31485)}[name]
    xyz = np.array([x / y, 1, (1 - x - y) / y])
    f = np.cbrt(xyz / (0.95047, 1, 1.08883))
    seen = 500 * (f[0] - f[1]), 200 * (f[1] - f[2])
    np.testing.assert_allclose(dials.TINTS[name], seen, atol=0.5)  # rounded to units


@pytest.mark.parametrize("model", ["regression", "vivid"])
def test_white_and_black_stay_neutral_and_grey_takes_the_tint(models, model):
    """Against skimage, in 16 bits; between bands too."""
    ramp = np.tile(np.linspace(0, 65535, 501).astype(np.uint16), (40, 1))
    plain = Colorizer(models[model])
    shifted = Colorizer(models[model], tint="6,-4", band=4 * 501)(ramp)
    before, after = (rgb2lab(result / 65535) for result in (plain(ramp), shifted))
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.05)  # the gamut's table
    # Half a level of 8 bits: the gamut's margin at black is as wide without a tint.
    assert (shifted[:, 0] < 128).all() and (shifted[:, -1] > 65535 - 128).all()
    middle = np.abs(before[..., 0] - 50) < 2
    inside = middle & (np.hypot(*np.moveaxis(before[..., 1:], -1, 0)) < 20)
    assert inside.any()
    shift = (after - before)[inside][:, 1:]
    np.testing.assert_allclose(shift, np.broadcast_to((6, -4), shift.shape), atol=0.1)


# --- variants, and the command --------------------------------------------------------------------


def run(capsys, *flags):
    try:
        code = cli.run(colorize_command.main, ["--isolate=no", *map(str, flags)])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


@pytest.fixture
def photo(tmp_path):
    """A grey ramp."""
    path = tmp_path / "photo.png"
    lab = np.zeros((40, 60, 3))
    lab[..., 0] = np.linspace(20, 80, 60)
    cv2.imwrite(str(path), np.uint8(255 * lab2rgb(lab)))
    return path


def test_the_flags_reach_the_picture(tmp_path, models, photo, capsys):
    for out, flags in (("plain", ()), ("turned", ("--vivid=1", "--tint=0,9"))):
        files = ("--in", photo, "--out", tmp_path / out, "--model", models["faithful"])
        assert run(capsys, *files, *flags)[0] == 0
    colorizer = Colorizer(models["faithful"], vivid=1, tint=(0, 9))
    written = cv2.imread(str(tmp_path / "turned/photo.png"))[..., ::-1]
    grey = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(written, colorizer(grey))
    assert (written != cv2.imread(str(tmp_path / "plain/photo.png"))[..., ::-1]).any()


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        ("regression", ["--vivid=0.5"], "classifies ab"),
        ("vivid", ["--vivid=2"], "VIVID="),
        ("vivid", ["--tint=blue"], "TINT="),
        ("vivid", ["--variants", "--vivid=1"], "VARIANTS=1"),
    ],
)
def test_a_wrong_dial_is_one_line_and_exit_2(tmp_path, models, photo, capsys, model, flags, words):
    files = ("--in", photo, "--out", tmp_path / "out", "--model", models[model])
    code, output, errors = run(capsys, *files, *flags)
    assert (code, output) == (2, "") and errors.count("\n") == 1
    assert errors.startswith("error: ") and words in errors


def test_a_sheet_of_variants(tmp_path, models, photo, capsys):
    files = ("--out", tmp_path / "out", "--model", models["faithful"], "--variants")
    code, output, _ = run(capsys, "--in", photo, *files)
    assert code == 0 and "photo-variants.png" in output
    sheet = cv2.imread(str(tmp_path / "out/photo-variants.png"))[..., ::-1]
    height, width = (side // 3 for side in sheet.shape[:2])
    grey = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    for row, vivid in enumerate(variants.VIVID):
        for column, tint in enumerate(variants.TINTS):
            cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
            expected = Colorizer(models["faithful"], vivid=vivid, tint=tint)(grey)
            left = (width - 60) // 2
            np.testing.assert_array_equal(cell[12:52, left : left + 60], expected)
            assert cell[52:].min() < 100, "a label"
    assert run(capsys, "--in", photo, *files)[0] == 2
    assert run(capsys, "--in", photo, *files, "--overwrite")[0] == 0
    code, _, errors = run(capsys, "--in", tmp_path, *files)
    assert code == 2 and "one photo" in errors


def test_without_a_dial_the_sheet_has_the_tints_alone(models):
    settings = Settings(models["regression"])
    with engine.started(settings, "no") as started:
        sheet = variants.sheet(started.colour, settings, drawn.picture(3, 90, 130))
    assert sheet.shape[1] > 3 * 130 and sheet.shape[0] < 2 * 90
