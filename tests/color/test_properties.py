"""Properties of colours, of any array: there and back, lightness that stays, the dials."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.color import lab
from common.color.dial import Dial

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)
KINDS = st.sampled_from([np.uint8, np.uint16, np.float32, np.float64])


@st.composite
def pictures(draw):
    """sRGB of any shape, dtype and layout."""
    kind = draw(KINDS)
    values = st.floats(0, 1, width=32) if np.issubdtype(kind, np.floating) else None
    rgb = draw(arrays.arrays(kind, (*draw(SHAPES), 3), elements=values))
    return rgb[::-1] if draw(st.booleans()) and rgb.ndim > 1 else rgb


@st.composite
def colours(draw):
    """Lab, most of it beyond the gamut: (..., 3) float32."""
    ab = st.floats(-200, 200, width=32)
    lightness = draw(arrays.arrays(np.float32, draw(SHAPES), elements=st.floats(0, 100, width=32)))
    channels = [draw(arrays.arrays(np.float32, lightness.shape, elements=ab)) for _ in range(2)]
    return np.stack([lightness, *channels], axis=-1)


@given(pictures())
def test_rgb_comes_back_from_lab(rgb):
    back = lab.lab_to_rgb(lab.rgb_to_lab(rgb))
    assert back.shape == rgb.shape and back.dtype == np.float32
    if rgb.dtype == np.uint8:
        np.testing.assert_array_equal(np.rint(back * 255), rgb)
    else:  # float32 of Lab has seven digits, of which the steepest part of the curve takes three
        full = 65535 if rgb.dtype == np.uint16 else 1
        np.testing.assert_allclose(back, rgb / full, atol=2e-4)


@given(pictures())
def test_lightness_alone_is_that_of_lab(rgb):
    np.testing.assert_allclose(lab.rgb_to_l(rgb), lab.rgb_to_lab(rgb)[..., 0], atol=1e-3)


@given(colours())
def test_into_gamut_keeps_lightness_and_hue_and_is_done_at_once(values):
    before = values.copy()
    pulled = lab.into_gamut(values)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(pulled[..., 0], values[..., 0])
    chroma, wanted = (np.linalg.norm(each[..., 1:], axis=-1) for each in (pulled, values))
    assert (chroma <= wanted * (1 + 1e-6)).all()
    # The same direction: the cross product of both is none.
    a, b = np.moveaxis(values[..., 1:].astype(np.float64), -1, 0)
    cross = a * pulled[..., 2] - b * pulled[..., 1]
    assert (np.abs(cross) <= 1e-5 * wanted * np.maximum(chroma, 1e-3)).all()
    np.testing.assert_allclose(lab.into_gamut(pulled), pulled, atol=0.02)
    rgb = lab.lab_to_rgb(pulled)
    assert ((rgb >= 0) & (rgb <= 1)).all()
    np.testing.assert_allclose(lab.rgb_to_lab(rgb)[..., 0], values[..., 0], atol=0.11)


@given(
    arrays.arrays(np.float32, SHAPES, elements=st.floats(-200, 200, width=32)),
    st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    st.floats(-10, 10),
)
def test_a_scaling_is_undone(values, by, offset):
    there = lab.scale(values.astype(np.float64), by, offset)
    # What the offset makes of the digits is divided by the factor again.
    np.testing.assert_allclose(
        lab.unscale(there, by, offset), values, rtol=1e-9, atol=1e-13 / abs(by)
    )


@st.composite
def dials(draw):
    temperature, power = st.floats(0.05, 5), st.floats(-1, 2)
    ends = [[draw(temperature), draw(power)] for _ in range(2)]
    rarity = draw(arrays.arrays(np.float64, 313, elements=st.floats(1e-3, 1e3), fill=st.just(1.0)))
    return Dial(*ends, float(draw(st.booleans())), rarity.tolist(), draw(st.floats(0, 1)))


@given(dials())
def test_a_dial_comes_back_from_json(dial):
    assert Dial.of_json(json.loads(json.dumps(dataclasses.asdict(dial)))) == dial


@example({}).via("nothing")
@given(
    st.dictionaries(
        st.sampled_from([field.name for field in dataclasses.fields(Dial)] + ["x"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts),
            max_leaves=6,
        ),
    )
)
def test_what_is_no_dial_is_refused(stored):
    with pytest.raises(ValueError, match="no dial"):
        Dial.of_json(stored)
