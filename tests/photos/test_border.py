"""BORDER=keep: paper around a print is found to the pixel, and none where there is none."""

import cv2
import numpy as np
import pytest

from common.photos import border
from common.photos.border import Border
from tests import drawn

DEPTHS = Border(40, 38, 52, 41)


def framed(picture, depths=DEPTHS, paper=(238, 226, 200), noise=2.0, seed=0):
    """The picture on paper, with the noise of a scan."""
    whole = np.empty(
        (
            picture.shape[0] + depths.top + depths.bottom,
            picture.shape[1] + depths.left + depths.right,
            3,
        )
    )
    whole[:] = paper
    depths.inside(whole)[:] = picture
    whole += np.random.default_rng(seed).normal(0, noise, whole.shape)
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


def picture(seed=3, height=500, width=700):
    """Tones that paper has not."""
    return 20 + drawn.picture(seed, height, width) * 0.5


@pytest.mark.parametrize("paper", [(250, 250, 250), (238, 226, 200), (3, 3, 3)])
def test_paper_of_any_tone_is_found_to_the_pixel(paper):
    print_ = framed(picture() if paper[0] > 9 else 90 + picture() / 2, paper=paper)
    assert border.find(print_) == DEPTHS
    assert border.find(print_[..., 0]) == DEPTHS
    assert border.find(print_.astype(np.uint16) * 257) == DEPTHS
    assert str(DEPTHS) == "border of 40, 38, 52, 41 pixels kept (top, right, bottom, left)"


def test_a_scanners_lid_around_the_paper_is_border_too():
    lid = Border(25, 30, 20, 35)
    found = border.find(framed(framed(picture()), lid, (20, 20, 20)))
    sums = np.add([25, 30, 20, 35], [40, 38, 52, 41])
    np.testing.assert_allclose([found.top, found.right, found.bottom, found.left], sums, atol=1)


def test_a_print_a_little_askew_loses_nothing_of_its_picture():
    whole = framed(picture(), noise=0)
    height, width = whole.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0.5, 1)
    askew = cv2.warpAffine(whole, turn, (width, height), borderValue=(238, 226, 200))
    found = border.find(askew)
    for one, true in zip((found.top, found.left), (40, 41), strict=True):
        assert true - 8 <= one <= true


def test_bars_above_and_below_alone_are_a_border():
    found = border.find(framed(picture(), Border(60, 0, 60, 0), (0, 0, 0), noise=0))
    assert found == Border(60, 0, 60, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_without_border_has_none(seed):
    assert border.find(drawn.picture(seed, 300, 400)) is None


def test_a_white_background_is_no_border():
    """It does not end in a straight line."""
    y, x = np.mgrid[:400, :500]
    white = np.full((400, 500), 250, np.uint8)
    white[np.hypot(y - 200, x - 250) < 150] = 90
    assert border.find(white) is None
    assert border.find(np.full((400, 500), 250, np.uint8)) is None


def test_a_tiny_picture_has_none():
    assert border.find(np.zeros((3, 200), np.uint8)) is None
