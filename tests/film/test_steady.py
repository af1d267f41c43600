"""Colours carried along the motion."""

import numpy as np

from common.film import flow, steady

SIZE = 64


def moving(count, speed=2, seed=0):
    """L* of a camera that moves over spots, and ab of its own for every place of the ground."""
    rng = np.random.default_rng(seed)
    wide = SIZE + speed * count
    y, x = np.mgrid[0:SIZE, 0:wide].astype(np.float32)
    l = np.zeros((SIZE, wide), np.float32)
    for _ in range(60):
        at, spread = rng.uniform(0, (SIZE, wide)), rng.uniform(3, 8)
        l += rng.uniform(10, 60) * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / spread**2)
    l = np.clip(l, 0, 100)
    ab = np.dstack([20 * np.sin(x / 25), 20 * np.cos(y / 25)]).astype(np.float32)
    windows = [slice(speed * i, speed * i + SIZE) for i in range(count)]
    return [l[:, window] for window in windows], [ab[:, window] for window in windows]


def looks(lightness, abs_):
    before, result = None, []
    for l, ab in zip(lightness, abs_, strict=True):
        result.append(steady.linked(l, ab, before))
        before = l
    return result


def test_flow_finds_the_place_a_frame_before_and_trusts_it():
    lightness, _ = moving(2, speed=3)
    back, forth = flow.between(*lightness)
    inner = slice(12, -12)
    moved = back.places - flow.grid(SIZE)
    assert abs(float(np.median(moved[inner, inner, 0])) - 3) < 0.3
    assert abs(float(np.median(moved[inner, inner, 1]))) < 0.3
    assert np.median(back.fit[inner, inner]) > 0.9 and np.median(forth.fit[inner, inner]) > 0.9
    assert back.fit[:, -1].mean() < 0.1  # what has just come into the picture


def test_another_picture_is_not_trusted():
    first, second = moving(1)[0][0], moving(1, seed=9)[0][0]
    back, _ = flow.between(first, second)
    assert back.fit.mean() < 0.4


def test_flicker_of_ab_is_averaged_along_the_motion_and_the_colours_stay():
    lightness, true = moving(24)
    rng = np.random.default_rng(1)
    flickering = [ab + rng.normal(0, 8, 2).astype(np.float32) for ab in true]

    result, _ = steady.steadied(looks(lightness, flickering), None, 24)

    def errors(abs_):
        inner = slice(6, -6)
        return [float(np.abs(a - b)[inner, inner].mean()) for a, b in zip(abs_, true, strict=True)]

    assert np.mean(errors(result)) < 0.5 * np.mean(errors(flickering))

    def jumps(abs_):  # of the mean colour, less the true one's
        means = [(a - b).mean(axis=(0, 1)) for a, b in zip(abs_, true, strict=True)]
        return np.abs(np.diff(means, axis=0)).mean()

    assert jumps(result) < 0.2 * jumps(flickering)


def test_without_flicker_the_colours_stay_where_they_are():
    lightness, true = moving(12)
    result, _ = steady.steadied(looks(lightness, true), None, 12)
    for ab, own in zip(result, true, strict=True):
        assert np.abs(ab - own)[6:-6, 6:-6].mean() < 0.5  # of a range of 40; flow is no integer


def test_a_scene_that_goes_on_has_the_sums_of_one_that_never_stopped():
    lightness, true = moving(10)
    all_looks = looks(lightness, true)
    whole, end = steady.steadied(all_looks, None, 10)

    first, past = steady.steadied(all_looks, None, 4)
    second, again = steady.steadied(all_looks[4:], past, 6)

    for ab, expected in zip([*first, *second], whole, strict=True):
        np.testing.assert_array_equal(ab, expected)
    np.testing.assert_array_equal(again.sums, end.sums)


def test_maps_of_another_size_are_fetched_by_the_same_motion():
    lightness, true = moving(2, speed=4)
    back, _ = flow.between(*lightness)
    small = back.scaled(SIZE // 2)
    moved = small.places - flow.grid(SIZE // 2)
    assert small.fit.shape == (SIZE // 2, SIZE // 2)
    assert abs(float(np.median(moved[6:-6, 6:-6, 0])) - 2) < 0.2
