"""Properties of the geometry, for any size from 1 x 1 up, of any dtype and with every cut."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common import photos

SIDES = st.integers(1, 70)
SIZES = st.integers(1, 40)
CUTS = st.sampled_from(photos.CUTS)
BACK = st.sampled_from([cut for cut in photos.CUTS if cut != "centre"])


@st.composite
def pictures(draw):
    """(H, W) or (H, W, C) of uint8, uint16 or float32, contiguous or not."""
    shape = (draw(SIDES), draw(SIDES), *draw(st.sampled_from([(), (1,), (3,), (4,)])))
    kind = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    seed = draw(st.integers(0, 1000))
    pixels = (np.random.default_rng(seed).random(shape) * 255).astype(kind)
    return pixels[::-1] if draw(st.booleans()) else pixels


@given(SIDES, SIDES, SIZES, CUTS)
def test_a_frame_lies_within_the_square(height, width, size, cut):
    top, left, inner_height, inner_width = photos.frame((height, width), size, cut)
    assert min(top, left) >= 0 < min(inner_height, inner_width)
    assert top + inner_height <= size and left + inner_width <= size
    assert max(inner_height, inner_width) == size
    assert abs(size - inner_height - 2 * top) <= 1 >= abs(size - inner_width - 2 * left)


@given(pictures(), SIZES, CUTS)
def test_fit_averages_and_makes_up_no_value(pixels, size, cut):
    fitted = photos.fit(pixels, size, cut, pad=7)
    assert fitted.shape == (size, size, *pixels.shape[2:]) and fitted.dtype == pixels.dtype
    top, left, height, width = photos.frame(pixels.shape, size, cut)
    inner = fitted[top : top + height, left : left + width]
    # Sums in float32 may round to beyond the extremes, by a part of the last digit.
    slack = 1e-4 if pixels.dtype == np.float32 else 0
    assert pixels.min() - slack <= inner.min() and inner.max() <= pixels.max() + slack
    outer = np.ones((size, size), bool)
    outer[top : top + height, left : left + width] = False
    assert (fitted[outer] == 7).all()


@given(SIDES, SIDES, SIZES, CUTS, st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_a_picture_of_one_colour_stays_it_there_and_back(height, width, size, cut, kind):
    fitted = photos.fit(np.full((height, width, 3), 201, kind), size, cut, pad=201)
    np.testing.assert_allclose(fitted, 201, rtol=1e-6 if kind == np.float32 else 0)
    if cut != "centre":
        back = photos.unfit(fitted.astype(np.float32), (height, width), cut)
        assert back.shape == (height, width, 3)
        np.testing.assert_allclose(back, 201, rtol=1e-6)


@given(st.integers(1, 12), st.integers(1, 5), BACK)
def test_a_picture_whose_sides_divide_the_squares_comes_back(side, factor, cut):
    """Where each pixel became a block, the blocks' means are the pixels."""
    pixels = np.random.default_rng(side).random((side, side, 2), np.float32)
    size = side * (1 + factor % 3)
    np.testing.assert_allclose(
        photos.unfit(
            np.repeat(np.repeat(pixels, size // side, 0), size // side, 1), (side,) * 2, cut
        ),
        pixels,
        rtol=1e-5,
    )


@given(pictures(), SIZES, BACK, st.data())
def test_bands_are_parts_of_the_whole(pixels, size, cut, data):
    pixels = pixels.astype(np.float32)
    height, width = pixels.shape[:2]
    cuts = sorted(data.draw(st.lists(st.integers(0, height), max_size=3)))
    edges = sorted({0, *cuts, height})
    parts = list(zip(edges, edges[1:], strict=False))
    fitted = photos.fit(pixels, size, cut, pad=0.0)
    bands = (pixels[start:stop] for start, stop in parts)
    np.testing.assert_allclose(
        photos.fit(bands, size, cut, pad=0.0, shape=(height, width)), fitted, atol=2e-3
    )
    square = np.atleast_3d(fitted)
    whole = photos.unfit(square, (height, width), cut)
    rows = [photos.unfit(square, (height, width), cut, rows) for rows in parts]
    np.testing.assert_allclose(np.concatenate(rows), whole, rtol=1e-5)


@given(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)),
    st.booleans(),
    st.none() | st.integers(0, 9),
)
def test_a_png_holds_its_pixels(tmp_path_factory, grey, coloured, compression):
    pixels = np.stack([grey, grey[::-1], grey.T.reshape(grey.shape)], -1) if coloured else grey
    path = tmp_path_factory.getbasetemp() / "property.png"
    path.write_bytes(photos.png(pixels, compression))
    with photos.read(path) as photo:
        (page,) = photo.pages()
    np.testing.assert_array_equal(page.pixels, pixels)


@given(pictures(), st.integers(1, 20), CUTS)
def test_any_picture_becomes_a_square_of_a_data_set(pixels, size, cut):
    assume(pixels.dtype != np.float32 and pixels.shape[2:] != (1,))
    square = photos.flat(pixels, size, cut)
    assert square.shape == (size, size, 3) and square.dtype == np.uint8
