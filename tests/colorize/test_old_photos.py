"""Colorizer(clean=, border=) and the flags of the command."""

import csv

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from common.cli import UserError
from common.colorize import Colorizer
from common.commands import colorize as command
from common.photos import PhotoError
from common.photos.border import Border
from tests import drawn
from tests.photos.test_border import DEPTHS, framed, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return drawn.exported(tmp_path_factory.mktemp("models") / "m.h5")


@pytest.fixture(scope="module")
def sepia():
    """A grey picture on warm paper: (H, W, 3) uint8."""
    grey = np.linspace(0, 1, 130) * np.ones((90, 1))
    light = grey[..., None] ** 2.2 * (1, 0.85, 0.6)
    return np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)


def test_a_cleaned_print_is_coloured_as_a_grey_photo(model, sepia):
    notes = []
    result = Colorizer(model, clean=True)(sepia, notes=notes)
    assert len(notes) == 1 and "a tint taken off" in notes[0]
    l = rgb2lab(result)[..., 0]
    assert abs(l[0, -1] - 100) < 2  # of white paper, which was L* 87
    with pytest.raises(PhotoError, match="is in colour"):
        Colorizer(model, clean=True)(drawn.picture(3, 90, 130))
    assert Colorizer(model)(drawn.picture(3, 90, 130)).shape == (90, 130, 3)


@pytest.mark.parametrize("in_place", [False, True])
def test_the_border_stays_and_the_picture_is_coloured_without_it(model, in_place):
    scan = framed(picture(height=200, width=260))
    colorizer, notes = Colorizer(model, border="keep"), []
    result = colorizer(scan.copy(), in_place, notes=notes)
    assert notes == [str(DEPTHS)]
    outside = np.ones(scan.shape[:2], bool)
    DEPTHS.inside(outside)[:] = False
    np.testing.assert_array_equal(result[outside], scan[outside])
    alone = Colorizer(model)(np.ascontiguousarray(DEPTHS.inside(scan)))
    np.testing.assert_array_equal(DEPTHS.inside(result), alone)
    grey = colorizer(scan[..., 0])
    np.testing.assert_array_equal(grey[outside], np.repeat(scan[..., :1], 3, 2)[outside])


def test_no_border_is_said(model):
    notes = []
    plain = drawn.picture(3, 90, 130)
    result = Colorizer(model, border="keep")(plain, notes=notes)
    assert notes == ["no border found"]
    np.testing.assert_array_equal(result, Colorizer(model)(plain))


@pytest.mark.parametrize("isolate", ["no", pytest.param("yes", marks=pytest.mark.slow)])
def test_both_are_in_the_report_and_a_photo_in_colour_fails_alone(model, sepia, tmp_path, isolate):
    folder = tmp_path / "in"
    folder.mkdir()
    print_ = framed(0.7 * sepia, Border(20, 20, 20, 20), (238, 216, 172))
    cv2.imwrite(str(folder / "a.png"), print_[..., ::-1])
    cv2.imwrite(str(folder / "b.png"), drawn.picture(3, 90, 130))
    out = tmp_path / "out"
    flags = [f"--in={folder}", f"--out={out}", f"--model={model}", "--clean", "--border=keep"]
    flags.append(f"--isolate={isolate}")
    assert command.main(flags) == 1
    with open(out / "colorize-report.csv", newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert "a tint taken off" in rows["a.png"]["reason"]
    assert "border of 20, 20, 20, 20 pixels kept" in rows["a.png"]["reason"]
    assert rows["b.png"]["result"] == "failed" and "is in colour" in rows["b.png"]["reason"]
    assert not (out / "b.png").exists()


def test_an_unknown_border_is_refused(model):
    with pytest.raises(UserError, match="BORDER= is colour or keep. Received: white."):
        Colorizer(model, border="white")
