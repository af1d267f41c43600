"""Colours against outside authorities, there and back, at the gamut's edge, and what is refused."""

import cv2
import keras
import numpy as np
import pytest
from skimage import color, data

from common.color import lab

# Bruce Lindbloom's CIE colour calculator, sRGB (D65, no adaptation). His matrix differs from
# scikit-image's in the sixth digit, which is worth up to 0.02.
LINDBLOOM = [
    ((0, 0, 0), (0.0, 0.0, 0.0)),
    ((255, 255, 255), (100.0, 0.0, 0.0)),
    ((128, 128, 128), (53.5850, 0.0, 0.0)),
    ((255, 0, 0), (53.2408, 80.0925, 67.2032)),
    ((0, 255, 0), (87.7347, -86.1827, 83.1793)),
    ((0, 0, 255), (32.2970, 79.1875, -107.8602)),
    ((255, 255, 0), (97.1393, -21.5537, 94.4780)),
    ((0, 255, 255), (91.1132, -48.0875, -14.1312)),
    ((255, 0, 255), (60.3242, 98.2343, -60.8249)),
]


@pytest.fixture(scope="module")
def grid():
    """sRGB colours, every fifth level of each channel, both ends included: (140608, 3) uint8."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.fixture(scope="module")
def wild():
    """Lab colours of any L*, hue and chroma up to 200, most of them beyond the gamut: (n, 3)."""
    lightness = np.concatenate(
        [np.linspace(0, 2, 41), np.linspace(2, 95, 94), np.linspace(95, 100, 101)]
    )
    hue = np.radians(np.arange(0, 360, 1.3))
    chroma = np.array([0.5, 2, 5, 12, 30, 60, 100, 200])
    lightness, hue, chroma = np.meshgrid(lightness, hue, chroma)
    colours = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return colours.reshape(-1, 3).astype(np.float32)


def as_kind(rgb, kind):
    """8-bit sRGB as another dtype, in the range that goes with it."""
    return (rgb * {"uint8": 1.0, "uint16": 257.0}.get(kind, 1 / 255)).astype(kind)


def eight_bit(rgb):
    return np.rint(rgb * 255).astype(np.uint8)


@pytest.mark.parametrize("rgb, expected", LINDBLOOM)
def test_lindbloom(rgb, expected):
    actual = lab.rgb_to_lab(np.array(rgb, np.uint8))
    assert actual.shape == (3,)
    np.testing.assert_allclose(actual, expected, atol=0.02)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float64"])
def test_rgb_to_lab_agrees_with_scikit_image(grid, kind):
    actual = lab.rgb_to_lab(as_kind(grid, kind))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, color.rgb2lab(grid), atol=1e-3)


def test_uint16_uses_all_its_levels():
    rgb = np.random.default_rng(0).integers(0, 65536, (1000, 3), np.uint16)
    np.testing.assert_allclose(lab.rgb_to_lab(rgb), color.rgb2lab(rgb / 65535), atol=1e-3)


def test_lab_to_rgb_agrees_with_scikit_image(grid):
    colours = color.rgb2lab(grid)
    actual = lab.lab_to_rgb(colours)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, color.lab2rgb(colours), atol=1e-4)


def test_the_way_back_is_exact_in_eight_bits(grid):
    np.testing.assert_array_equal(eight_bit(lab.lab_to_rgb(lab.rgb_to_lab(grid))), grid)


def test_extremes_of_the_gamut():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    faces = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    actual = lab.rgb_to_lab(faces)
    np.testing.assert_allclose(actual.min(axis=0), [0, -86.2, -107.9], atol=0.05)
    np.testing.assert_allclose(actual.max(axis=0), [100, 98.2, 94.5], atol=0.05)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3), (5, 1, 3), (2, 3, 4, 3), (0, 7, 3)])
def test_any_shape(shape):
    rgb = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    colours = lab.rgb_to_lab(rgb)
    expected = np.array([color.rgb2lab(pixel) for pixel in rgb.reshape(-1, 3)])
    np.testing.assert_allclose(colours.reshape(-1, 3), expected.reshape(-1, 3), atol=1e-3)
    assert colours.shape == lab.into_gamut(colours).shape == shape
    assert lab.lab_to_rgb(colours).shape == shape
    assert lab.rgb_to_l(rgb).shape == lab.l_to_grey(colours[..., 0]).shape == shape[:-1]
    assert lab.grey_to_l(rgb).shape == shape


def test_blocks_meet_without_a_seam():
    rgb = np.random.default_rng(2).integers(0, 256, (150, 301, 3), np.uint8)  # three blocks
    whole = lab.into_gamut(lab.rgb_to_lab(rgb) * np.float32([1, 2, 2]))
    rows = [lab.into_gamut(lab.rgb_to_lab(row) * np.float32([1, 2, 2])) for row in rgb]
    np.testing.assert_allclose(whole, np.stack(rows), atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: rgb[::-1, ::2, ::-1],
        np.asfortranarray,
        lambda rgb: rgb.astype(">u2") * 257,
        lambda rgb: (rgb / 255).astype(">f4"),
    ],
)
def test_memory_layout_does_not_matter(change):
    rgb = change(data.chelsea()[:64, :64])
    rgb.setflags(write=False)
    plain = np.ascontiguousarray(rgb, rgb.dtype.newbyteorder("="))
    actual = lab.rgb_to_lab(rgb)
    np.testing.assert_array_equal(actual, lab.rgb_to_lab(plain))
    np.testing.assert_allclose(actual, color.rgb2lab(plain), atol=1e-3)


# --- L* alone --------------------------------------------------------------------------------


def test_rgb_to_l_is_the_first_channel_of_lab(grid):
    np.testing.assert_allclose(lab.rgb_to_l(grid), lab.rgb_to_lab(grid)[:, 0], atol=1e-4)


def test_grey_and_its_colour_have_one_lightness():
    grey = np.arange(256, dtype=np.uint8)
    actual = lab.rgb_to_l(grey)
    np.testing.assert_allclose(actual, lab.rgb_to_l(np.stack([grey] * 3, axis=-1)), atol=1e-4)
    # L* is not the grey value stretched to 100: they differ by up to 3.4 at mid grey.
    assert np.abs(actual - grey / 2.55).max() == pytest.approx(3.4, abs=0.1)


@pytest.mark.parametrize("levels, dtype", [(256, np.uint8), (65536, np.uint16)])
def test_every_grey_value_comes_back(levels, dtype):
    grey = np.arange(levels).astype(dtype)
    back = lab.l_to_grey(lab.rgb_to_l(grey)) * (levels - 1)
    np.testing.assert_array_equal(np.rint(back), grey)


def test_a_grey_picture_three_pixels_wide():
    grey = np.array([[0, 128, 255]], np.uint8)
    np.testing.assert_allclose(lab.grey_to_l(grey), [[0, 53.585, 100]], atol=1e-3)


# --- The gamut -------------------------------------------------------------------------------


def test_into_gamut_keeps_lightness_after_rounding(wild):
    shown = eight_bit(lab.lab_to_rgb(lab.into_gamut(wild)))
    error = np.abs(color.rgb2lab(shown)[:, 0] - wild[:, 0])
    assert error.max() < 0.3  # rounding a grey to 8 bits alone costs up to 0.256
    clipped = color.rgb2lab(eight_bit(lab.lab_to_rgb(wild)))[:, 0]
    assert np.abs(clipped - wild[:, 0]).max() > 20  # what it is there for


def test_into_gamut_is_in_the_gamut_and_moves_chroma_alone(wild):
    pulled = lab.into_gamut(wild)
    np.testing.assert_array_equal(pulled[:, 0], wild[:, 0])
    shrink = np.linalg.norm(pulled[:, 1:], axis=1) / np.linalg.norm(wild[:, 1:], axis=1)
    assert shrink.max() <= 1 + 1e-6
    np.testing.assert_allclose(pulled[:, 1:], wild[:, 1:] * shrink[:, None], atol=1e-3)
    # Clipping what little is left outside moves L* by no more than 0.1.
    np.testing.assert_allclose(color.rgb2lab(lab.lab_to_rgb(pulled))[:, 0], wild[:, 0], atol=0.11)


def test_into_gamut_leaves_the_gamuts_own_colours(grid):
    colours = lab.rgb_to_lab(grid)
    np.testing.assert_array_equal(lab.into_gamut(colours), colours)


def test_into_gamut_goes_no_further_than_it_must():
    """Colours pushed out from the gamut's surface come back to it: pure red, green, blue, ..."""
    surface = lab.rgb_to_lab(np.array([rgb for rgb, _ in LINDBLOOM[3:]], np.uint8))
    chroma = np.linalg.norm(surface[:, 1:], axis=1)
    pulled = lab.into_gamut(surface * np.float32([1, 1.3, 1.3]))
    kept = np.linalg.norm(pulled[:, 1:], axis=1) / chroma
    kept = np.delete(kept, 3)  # yellow: the gamut is left and met again on the way
    assert kept.min() > 0.97 and kept.max() < 1.03


def test_into_gamut_does_not_change_its_argument(wild):
    before = wild.copy()
    lab.into_gamut(wild)
    np.testing.assert_array_equal(wild, before)


# --- keras.ops -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_tensors_agree_with_arrays(grid, kind):
    rgb = as_kind(grid[::7], kind)
    tensor = keras.ops.convert_to_tensor(rgb)
    colours = lab.rgb_to_lab(rgb)
    actual = lab.rgb_to_lab(tensor, keras.ops)
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    to_numpy = keras.ops.convert_to_numpy
    np.testing.assert_allclose(to_numpy(actual), colours, atol=5e-4)
    np.testing.assert_allclose(to_numpy(lab.rgb_to_l(tensor, keras.ops)), colours[:, 0], atol=5e-4)
    np.testing.assert_allclose(
        to_numpy(lab.lab_to_rgb(actual, keras.ops)), lab.lab_to_rgb(colours), atol=1e-4
    )
    np.testing.assert_allclose(
        to_numpy(lab.l_to_grey(actual[:, 0], keras.ops)), lab.l_to_grey(colours[:, 0]), atol=1e-4
    )


def test_bfloat16_is_computed_in_float32():
    tensor = keras.ops.cast(np.full((1, 3), 0.5, np.float32), "bfloat16")
    actual = lab.rgb_to_lab(tensor, keras.ops)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), [[53.389, 0, 0]], atol=6e-3)


@pytest.mark.parametrize(
    "function, values",
    [
        (lab.rgb_to_lab, [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.04045] * 3, [1.0, 0.0, 0.0]]),
        (
            lab.lab_to_rgb,
            [[0.0, 0.0, 0.0], [100.0, 0.0, 0.0], [8.0, 0.0, 0.0], [50.0, 150.0, -150.0]],
        ),
        (lab.rgb_to_l, [[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]]),
        (lab.l_to_grey, [0.0, 7.9996, 100.0]),
    ],
)
def test_gradients_are_finite(function, values):
    tensorflow = pytest.importorskip("tensorflow")
    x = tensorflow.constant(values)
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = function(x, keras.ops)
    assert np.isfinite(tape.gradient(y, x)).all()


def test_gradient_is_the_slope():
    """By differences, away from the knees; at black the slope of the straight parts."""
    tensorflow = pytest.importorskip("tensorflow")
    values = np.array([[0.2, 0.5, 0.8], [0.0, 0.0, 0.0]], np.float32)
    x = tensorflow.constant(values)
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = keras.ops.sum(lab.rgb_to_lab(x, keras.ops))
    actual = np.asarray(tape.gradient(y, x))
    step = 1e-4
    expected = [
        (color.rgb2lab(values[0] + d).sum() - color.rgb2lab(values[0] - d).sum()) / (2 * step)
        for d in np.eye(3) * step
    ]
    np.testing.assert_allclose(actual[0], expected, rtol=1e-3)
    np.testing.assert_allclose(
        actual[1], (color.rgb2lab(np.eye(3) * 1e-3) / 1e-3).sum(axis=-1), rtol=1e-3
    )


def test_compiled_with_unknown_batch():
    tensorflow = pytest.importorskip("tensorflow")
    signature = [tensorflow.TensorSpec((None, 8, 8, 3), "uint8")]
    compiled = tensorflow.function(lambda x: lab.rgb_to_lab(x, keras.ops), signature)
    rgb = data.chelsea()[None, :8, :8]
    np.testing.assert_allclose(compiled(rgb), lab.rgb_to_lab(rgb), atol=5e-4)


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function, array, words",
    [
        (lab.rgb_to_lab, np.full((2, 2, 3), 200.0), "divide 0-255 by 255"),
        (lab.rgb_to_lab, np.full((2, 2, 3), -0.1), "divide 0-255 by 255"),
        (lab.rgb_to_lab, np.full((2, 2, 3), np.nan), r"\[0, 1\]"),
        (lab.rgb_to_lab, np.zeros((2, 2, 3), np.int64), "Received: int64"),
        (lab.rgb_to_lab, np.zeros((2, 2, 3), bool), "Received: bool"),
        (lab.rgb_to_lab, np.zeros((2, 2, 4), np.uint8), r"shape \(2, 2, 4\)"),
        (lab.rgb_to_lab, np.uint8(3), r"shape \(\)"),
        (lab.rgb_to_l, np.full((2, 2), 200.0), "divide 0-255 by 255"),
        (lab.grey_to_l, np.zeros((2, 2), np.int32), "Received: int32"),
        (lab.lab_to_rgb, np.zeros((2, 2, 3), np.uint8), "another encoding"),
        (lab.lab_to_rgb, np.full((2, 2, 3), 128.0), r"undo an 8-bit encoding"),
        (lab.lab_to_rgb, np.full((2, 2, 3), -5.0), r"\[0, 100\]"),
        (lab.lab_to_rgb, np.zeros((2, 2)), r"shape \(2, 2\)"),
        (lab.into_gamut, np.zeros((2, 2, 3), np.int32), "another encoding"),
        (lab.l_to_grey, np.array([255.0]), r"\[0, 100\]"),
        (lab.l_to_grey, np.array([50]), "another encoding"),
    ],
)
def test_values_of_another_kind_are_refused(function, array, words):
    with pytest.raises(ValueError, match=words):
        function(array)


@pytest.mark.parametrize("function", [lab.rgb_to_lab, lab.lab_to_rgb, lab.rgb_to_l, lab.l_to_grey])
def test_integer_tensors_are_refused(function):
    with pytest.raises(ValueError, match="Received: int32"):
        function(keras.ops.zeros((2, 3), "int32"), keras.ops)


def test_eight_bit_lab_of_opencv_is_refused():
    """The encoding met most often: its L* reaches 255."""
    encoded = cv2.cvtColor(data.chelsea(), cv2.COLOR_RGB2LAB)
    for values in (encoded, encoded.astype(np.float32)):
        with pytest.raises(ValueError, match="encoding"):
            lab.lab_to_rgb(values)


def test_rounding_beyond_the_range_is_let_in():
    actual = lab.rgb_to_lab(np.array([1 + 1e-6, 1.0, -1e-7], np.float32))
    np.testing.assert_allclose(actual, LINDBLOOM[6][1], atol=0.02)


# --- The named scalings ----------------------------------------------------------------------


def test_scale_means_what_rescaling_means():
    values = np.array([[0.0], [50.0], [100.0]], np.float32)
    layer = keras.layers.Rescaling(1 / 50, offset=-1.0)
    scaled = lab.scale(values, 1 / 50, -1.0)
    np.testing.assert_allclose(scaled, keras.ops.convert_to_numpy(layer(values)), atol=1e-6)
    np.testing.assert_allclose(lab.unscale(scaled, 1 / 50, -1.0), values, atol=1e-5)


def test_ab_of_is_the_slice_in_memory_of_its_own():
    colours = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)
    ab = lab.ab_of(colours)
    assert (ab == colours[..., 1:]).all() and ab.flags.c_contiguous and ab.base is not colours
