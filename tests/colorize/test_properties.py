"""Properties of what a person may turn: every text is a setting or one line; what a tint leaves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.cli import UserError
from common.colorize import dials

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.text() | NUMBERS.map(str) | NUMBERS)
def test_vivid_is_in_range_or_an_error(value):
    try:
        assert 0 <= dials.parse_vivid(value) <= 1
    except UserError as error:
        assert "VIVID=" in str(error)


@given(
    st.text()
    | st.tuples(NUMBERS, NUMBERS).map(lambda pair: "{},{}".format(*pair))
    | st.tuples(NUMBERS, NUMBERS)
    | st.lists(NUMBERS, max_size=3)
    | st.sampled_from(sorted(dials.TINTS))
)
def test_tint_is_in_range_or_an_error(value):
    try:
        assert np.abs(dials.parse_tint(value)).max() <= 100
    except UserError as error:
        assert "TINT=" in str(error)


@given(
    arrays.arrays(np.float32, (5, 3), elements=st.floats(0, 100, width=32)),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
)
def test_a_tint_leaves_lightness_black_and_white(lab, tint):
    lab[0], lab[1] = (0, 0, 0), (100, 0, 0)
    before = lab.copy()
    after = dials.tinted(lab, tint)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (np.abs(after - before)[:, 1:] <= np.abs(tint) + 1e-4).all()
