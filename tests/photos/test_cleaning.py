"""CLEAN=1: an old print's tint is taken off, and a photo in colour is refused."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from common.photos import PhotoError, cleaning
from tests import drawn


def grey(height=96, width=120):
    """A picture from black to white, with detail: sRGB in [0, 1], (H, W, 1)."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    wave = 0.5 + 0.25 * np.sin(9 * x) + 0.25 * np.cos(7 * y + 3 * x)
    return np.clip(1.1 * wave - 0.05, 0, 1)[..., None]


def linear(rgb):
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def encoded(light):
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


def scan(rgb, dtype=np.uint8):
    return np.rint(np.clip(rgb, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def l_of(pixels):
    values = pixels / np.iinfo(pixels.dtype).max
    return rgb2lab(np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values)[..., 0]


def cleaned(pixels):
    tint = cleaning.find(pixels)
    assert tint is not None
    return cleaning.taken_off(pixels, tint), tint


@pytest.mark.parametrize("paper", [(1, 0.86, 0.6), (0.7, 0.9, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_coloured_paper_is_taken_off_at_full_depth(paper, dtype):
    true = grey()
    print_ = scan(encoded(linear(true) * paper), dtype)
    result, tint = cleaned(print_)
    assert result.dtype == dtype and result.shape == true.shape[:2]
    off = np.abs(l_of(result) - l_of_float(true))
    assert off.max() < (1.5 if dtype == np.uint8 else 0.8)
    assert "a tint taken off (paper of L* " in str(tint)
    if dtype == np.uint16:
        assert len(np.unique(result)) > 1000


def l_of_float(rgb):
    return rgb2lab(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))[..., 0]


def test_alpha_stays():
    print_ = scan(encoded(linear(grey()) * (1, 0.86, 0.6)))
    alpha = np.full(print_.shape[:2], 255, np.uint8)
    alpha[:20] = 128
    result, _ = cleaned(np.dstack([print_, alpha]))
    np.testing.assert_array_equal(result[..., 3], alpha)
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_a_tone_on_white_paper_keeps_its_lightness():
    true = grey()
    weight = 4 * true * (1 - true)
    print_ = scan(true + weight * (0.07, 0.0, -0.16))
    result, tint = cleaned(print_)
    assert np.abs(l_of(result) - l_of(print_)).max() < 0.3
    assert "a tone taken off" in str(tint)


def test_stains_are_lightened():
    true = grey(160, 200)
    y, x = np.mgrid[:160, :200]
    stain = np.clip(1.5 - np.hypot(y - 60, x - 70) / 30, 0, 1)[..., None]
    light = linear(true) * (0.95, 0.9, 0.75) * (1 - stain * (0.05, 0.3, 0.5))
    print_ = scan(encoded(light))
    result, tint = cleaned(print_)
    before, after = (l_of(each) - l_of_float(true) for each in (print_, result))
    within = stain[..., 0] > 0.9
    assert np.abs(after[within]).mean() < np.abs(before[within]).mean() / 3
    assert "the red channel alone" in str(tint)


def test_of_a_clipped_sepia_the_channel_that_holds_the_picture_is_taken():
    true = grey()
    result, tint = cleaned(scan(true * (1.351, 1.203, 0.937)))
    assert tint.channel == 2 and "not clipped" in str(tint)
    np.testing.assert_allclose(result, 255 * 0.937 * true[..., 0], atol=1)


def test_faded_blacks_are_deepened():
    black, white = np.array([0.42, 0.36, 0.3]), np.array([0.97, 0.9, 0.72])
    result, tint = cleaned(scan(black + (white - black) * grey()))
    assert l_of(result).min() < 6 and l_of(result).max() > 90
    assert "faded blacks of L* " in str(tint)


@pytest.mark.parametrize("cast", [(1, 1, 1), (1.004, 1, 0.996)])
def test_what_is_grey_already_has_no_tint(cast):
    assert cleaning.find(scan(0.98 * grey() * cast)) is None
    assert cleaning.find(scan(grey()[..., 0])) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_photo_in_colour_is_refused(seed):
    with pytest.raises(PhotoError, match="is in colour, and CLEAN=1 .* leave it out"):
        cleaning.find(drawn.picture(seed, 90, 130))
