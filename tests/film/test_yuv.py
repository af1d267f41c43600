"""L* and colours of frames as video stores them."""

import cv2
import numpy as np
import pytest

from common.color import lab
from common.film import frames, yuv
from common.film.yuv import Coding
from tests import drawn
from tests.film.films import av

CODINGS = [
    Coding(1, False),
    Coding(6, True),
    Coding(9, False, 10),
    Coding(6, False, 8, 2, 1),
    Coding(1, False, 16, 1, 1),
]


def strong(shape, seed):
    """L* (H, W) in hard-edged patches, and the strongest colours (h, w, 3) that soft ab give."""
    rng = np.random.default_rng(seed)
    l = rng.uniform(0, 100, (7, 9)).astype(np.float32)
    l = cv2.resize(l, shape[::-1], interpolation=cv2.INTER_NEAREST)
    ab = cv2.resize(rng.uniform(-90, 90, (4, 5, 2)).astype(np.float32), shape[::-1])
    return l, ab


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("shape", [(60, 80), (41, 53)])
def test_a_coloured_frame_has_the_lightness_of_its_source_at_every_pixel(coding, shape):
    l, ab = strong(shape, 3)
    height, width = coding.chroma_shape(shape)
    small = np.dstack([cv2.resize(each, (width, height)) for each in (l, ab)])
    colours = np.rint(lab.lab_to_rgb(lab.into_gamut(small)) * 65535).astype(np.uint16)

    planes = yuv.coloured(l, colours, coding)

    assert [plane.shape for plane in planes] == [shape, (height, width), (height, width)]
    # Half a step of Y' is up to 0.3; pixels that miss by 0.4 lose chroma; 0.02 is the tables'.
    assert np.abs(yuv.lightness(planes, coding) - l).max() < 0.45
    assert not yuv.is_neutral(planes, coding)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_the_lightness_of_a_frame_is_that_of_its_colours(coding):
    rng = np.random.default_rng(0)
    low, high = (1 << coding.bits) // 8, (1 << coding.bits) * 7 // 8
    shapes = [(20, 30), *[coding.chroma_shape((20, 30))] * 2]
    planes = [rng.integers(low, high, shape).astype(coding.dtype) for shape in shapes]

    expected = lab.rgb_to_l(yuv.rgb(planes, coding))

    np.testing.assert_allclose(yuv.lightness(planes, coding), expected, atol=1e-3)


def test_colours_are_those_that_ffmpeg_shows():
    """At 4:4:4, where nobody enlarges chroma, within a step of swscale's fixed-point numbers."""
    planes = yuv.of_rgb(drawn.picture(5, 48, 64), Coding(1, False, 8, 1, 1))
    frame = frames.frame_of(planes, "yuv444p", Coding(1, False, 8, 1, 1))

    theirs = frame.reformat(
        format="rgb24", src_colorspace="itu709", dst_colorspace="itu709"
    ).to_ndarray()

    ours = yuv.rgb(planes, Coding(1, False, 8, 1, 1)) * 255
    assert np.abs(ours - theirs).max() < 2.1
    assert np.abs(ours - drawn.picture(5, 48, 64)).max() < 3  # a step of 8-bit chroma is 2


def test_a_frame_without_colour_is_read_by_its_luma_alone():
    coding = Coding(1, False)
    y = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    neutral = [np.full((8, 128), 128, np.uint8)] * 2
    expected = lab.grey_to_l(np.clip((np.arange(256) - 16) / 219, 0, 1).astype(np.float32))

    for planes in ([y, *neutral], [y]):
        np.testing.assert_allclose(yuv.lightness(planes, coding)[0], expected, atol=1e-4)


def test_the_same_coding_passes_a_frame_untouched_and_a_finer_one_keeps_it():
    rng = np.random.default_rng(2)
    coding, finer = Coding(6, False), Coding(6, False, 10)
    shapes = (20, 30), (10, 15), (10, 15)
    planes = [rng.integers(16, 236, shape).astype(np.uint8) for shape in shapes]

    assert yuv.recoded(planes, coding, coding) is planes
    there = yuv.recoded(planes, coding, finer)
    back = yuv.recoded(there, finer, coding)
    for plane, deeper, again in zip(planes, there, back, strict=True):
        np.testing.assert_array_equal(deeper, plane.astype(np.uint16) * 4)
        np.testing.assert_array_equal(again, plane)


def test_planes_go_through_pyav_unchanged():
    coding = Coding(6, True, 10)
    rng = np.random.default_rng(4)
    planes = [rng.integers(0, 1024, s).astype(np.uint16) for s in ((42, 50), (21, 25), (21, 25))]

    frame = frames.frame_of(planes, "yuv420p10le", coding)

    assert isinstance(frame, av.VideoFrame) and frame.color_range == 2
    for plane, again in zip(planes, frames.planes_of(frame, coding.dtype), strict=True):
        np.testing.assert_array_equal(plane, again)
