"""Joint upsampling: colour follows the edges of L*, and is bilinear where there are none."""

import keras
import numpy as np
import pytest
from keras import layers
from skimage.color import lab2rgb, rgb2lab
from skimage.transform import resize

from common.colorize import Colorizer, upsampling
from tests import drawn

SLOPE = np.array([0.4, -0.3])  # of a* and b* over L*


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory):
    """ab = SLOPE L*, decided at a quarter of 64 x 64 and enlarged, as a classifier's is."""
    l = keras.Input((64, 64, 1), name="l")
    both = layers.Concatenate()([layers.Rescaling(slope)(l) for slope in SLOPE])
    small = layers.AveragePooling2D(4)(both)
    ab = layers.UpSampling2D(4, interpolation="bilinear", name="ab")(small)
    path = tmp_path_factory.mktemp("models") / "line.h5"
    keras.Model({"l": l}, ab).save(path)
    return Colorizer(path)


def picture(height=300, width=500):
    """Grey, with an edge that crosses the positions of the network's map at a slant: uint16."""
    y, x = np.mgrid[:height, :width]
    l = np.where(x + 0.3 * y < 250, 35.0, 65.0) + 2 * np.sin(x / 9)
    lab = np.dstack([l, np.zeros((height, width, 2))])
    return np.rint(65535 * lab2rgb(lab)[..., 0]).astype(np.uint16), l


def test_colour_does_not_bleed_over_an_edge(colorizer):
    grey, l = picture()
    ab = rgb2lab(colorizer(grey) / 65535)[..., 1:]
    true = l[..., None] * SLOPE
    small = resize(l, (16, 16), order=1, anti_aliasing=True)
    bilinear = resize(small, l.shape, order=1)[..., None] * SLOPE
    y, x = np.mgrid[:300, :500]
    near = np.abs(x + 0.3 * y - 250) < 8
    wrong, wrong_bilinear = (np.abs(each - true)[near].mean() for each in (ab, bilinear))
    assert wrong_bilinear > 2 and wrong < wrong_bilinear / 4


def test_without_differences_of_lightness_it_is_bilinear():
    rng = np.random.default_rng(0)
    ab = rng.normal(0, 30, (8, 8, 2)).astype(np.float32)
    l = np.full((8, 8), 40, np.float32)
    lines = upsampling.lines(ab, l)
    np.testing.assert_allclose(lines[..., :2], 0, atol=1e-3)
    np.testing.assert_allclose(upsampling.along(lines, l), ab, atol=1e-3)


def test_every_line_goes_through_its_positions_own_colour():
    rng = np.random.default_rng(0)
    ab = rng.normal(0, 30, (9, 7, 2)).astype(np.float32)
    l = rng.uniform(0, 100, (9, 7)).astype(np.float32)
    lines = upsampling.lines(ab, l)
    np.testing.assert_allclose(upsampling.along(lines, l), ab, atol=1e-3)


def test_the_slope_is_that_of_a_weighted_fit():
    """Of ab on L*, by Gaussian weights (sigma 0.8 positions), the variance enlarged by 10."""
    rng = np.random.default_rng(1)
    ab = rng.normal(0, 30, (15, 15, 2)).astype(np.float32)
    l = rng.uniform(0, 100, (15, 15)).astype(np.float32)
    y, x = np.mgrid[-7:8, -7:8]
    weight = np.exp(-(x**2 + y**2) / (2 * 0.8**2))
    weight *= np.maximum(np.abs(x), np.abs(y)) <= 3  # OpenCV's window
    weight /= weight.sum()
    off = l - (weight * l).sum()
    expected = (weight[..., None] * ab * off[..., None]).sum((0, 1)) / (
        (weight * off**2).sum() + 10
    )
    np.testing.assert_allclose(upsampling.lines(ab, l)[7, 7, :2], expected, rtol=2e-3)


@pytest.mark.parametrize("cut", ["squash", "letterbox"])
def test_bands_meet_without_a_seam(colorizer, cut):
    grey, _ = picture()
    whole, banded = Colorizer.turned(colorizer), Colorizer.turned(colorizer)
    whole.cut = banded.cut = cut
    banded._band = 7 * grey.shape[1]
    difference = np.abs(banded(grey).astype(int) - whole(grey))
    assert difference.max() <= 8  # of 65,535: the order of float32 sums


def test_the_bars_of_a_letterbox_do_not_colour_the_picture(tmp_path):
    """They are white, and a line through them would be flatter than one of the picture alone."""
    l = keras.Input((64, 64, 1), name="l")
    x = layers.ReLU(max_value=70)(l)
    ab = layers.Concatenate()([layers.Rescaling(slope)(x) for slope in SLOPE])
    keras.Model({"l": l}, ab).save(tmp_path / "m.h5")
    letterbox = Colorizer(tmp_path / "m.h5")
    letterbox.cut = "letterbox"
    grey, l = picture(125, 500)
    ab = rgb2lab(letterbox(grey) / 65535)[..., 1:]
    near = np.zeros(l.shape, bool)
    near[:8] = near[-8:] = True
    wrong = np.abs(ab - l[..., None] * SLOPE)
    assert wrong[near].mean() < 1.3 * wrong[~near].mean() < 0.5


def test_what_is_transparent_is_a_white_guide(colorizer):
    rgb = drawn.picture(3, 90, 130)
    alpha = np.full((90, 130), 255, np.uint8)
    alpha[:, :40] = 0
    results = []
    for hidden in (0, 255):
        picture = np.dstack([rgb, alpha])
        picture[:, :40, :3] = hidden
        results.append(colorizer(picture)[:, 40:])
    np.testing.assert_array_equal(*results)
