"""Where a scene ends, and whether it is in colour."""

import numpy as np
import pytest

from common.color import lab
from common.film import scenes, yuv
from common.film.yuv import Coding
from tests.film import films

FINE = Coding(1, True, 16, 1, 1)


def tiny(pixels):
    return scenes.tiny(lab.rgb_to_l(pixels))


def is_cut(first, second):
    return scenes.unlikeness(tiny(first), tiny(second)) > scenes.UNLIKE


@pytest.mark.parametrize("seed", range(4))
def test_another_shot_is_a_cut_and_a_moving_camera_is_none(seed):
    one, other = films.shot(seed, 6, step=3), films.shot(seed + 20, 1)
    assert is_cut(one[-1], other[0])
    assert not any(is_cut(a, b) for a, b in zip(one, one[1:], strict=False))


def test_flicker_grain_and_a_flash_are_no_cuts():
    first, second = films.shot(1, 2)
    grain = np.random.default_rng(0).normal(0, 10, second.shape)
    for other in (second * 0.8, second * 0.4 + 140, second + grain):
        assert not is_cut(first, np.clip(other, 0, 255).astype(np.uint8))


def test_black_frames_are_alike():
    black = np.zeros((48, 64, 3), np.uint8)
    assert not is_cut(black, black + 1)


@pytest.mark.parametrize(
    ("kind", "expected"), [("grey", False), ("sepia", False), ("colour", True)]
)
def test_a_tone_is_no_colour(kind, expected):
    pixels = films.shot(3, 1, colour=kind == "colour")[0]
    if kind == "sepia":
        pixels = np.clip(pixels * np.array([1.0, 0.9, 0.7]), 0, 255).astype(np.uint8)
    assert scenes.in_colour(yuv.of_rgb(pixels, FINE), FINE) is expected


def test_the_majority_decides_a_scene_and_a_moment_does_not_change_it():
    colour, grey = [True] * scenes.PERSISTENCE, [False] * scenes.PERSISTENCE
    assert scenes.decided([True, False, True], None)
    assert not scenes.decided([True, False, False], None)
    assert not scenes.decided(colour[:-1] + grey, False)
    assert scenes.decided(colour, False) and not scenes.decided(grey, True)
    assert scenes.decided(grey[:3], True)  # the scene ends before they are enough
