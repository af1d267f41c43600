"""Views of a training picture: seeded, each kind for itself, colours and edges kept."""

import dataclasses
import itertools

import numpy as np
import pytest

from common import training
from common.color import lab
from common.training import augment
from tests import drawn

RGB = drawn.picture(1, 33)
VIEWS = tuple(kind for kind in augment.KINDS if kind != "age")
SUBSETS = [kinds for count in range(4) for kinds in itertools.combinations(augment.KINDS, count)]


def view(kinds, number=0, seed=0, rgb=RGB):
    return augment.augment(rgb, kinds, seed, number)


def ramp(axis, size=65):
    """A grey picture whose levels give how far along an axis a pixel was, three levels a pixel."""
    values = 30 + 3 * np.arange(size, dtype=np.uint8)
    grey = np.broadcast_to(values if axis else values[:, None], (size, size))
    return np.repeat(grey[..., None], 3, axis=-1)


def changed(kinds, numbers):
    return [not np.array_equal(view(kinds, number), RGB) for number in numbers]


def test_a_view_is_its_seed_and_number():
    views = [view(augment.KINDS, number) for number in range(50)]
    again = [view(augment.KINDS, number) for number in reversed(range(50))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(views, again, strict=True))
    others = [view(augment.KINDS, number, seed=1) for number in range(50)]
    assert len({v.tobytes() for v in views + others}) == 100


@pytest.mark.parametrize("kinds", SUBSETS)
def test_type_size_and_the_picture_itself_are_kept(kinds):
    before = RGB.copy()
    for number in range(10):
        out = view(kinds, number)
        assert (out.dtype, out.shape, out.flags.c_contiguous) == (np.uint8, RGB.shape, True)
    assert np.array_equal(RGB, before)


def test_no_kind_changes_nothing_and_the_order_of_kinds_is_no_matter():
    assert not any(changed((), range(20)))
    for number in range(20):
        assert np.array_equal(view(augment.KINDS, number), view(augment.KINDS[::-1], number))


def test_a_flip_is_exact_and_comes_every_other_time():
    flips = 0
    for number in range(1000):
        out = view(("flip",), number)
        flipped = np.array_equal(out, RGB[:, ::-1])
        assert flipped or np.array_equal(out, RGB)
        flips += flipped
    assert 430 < flips < 570  # 500 +- 16 are expected


@pytest.mark.parametrize("kinds", [("zoom",), ("shear",), ("zoom", "shear")])
def test_a_flip_changes_nothing_of_the_kinds_beside_it(kinds):
    flips = changed(("flip",), range(40))
    assert 0 < sum(flips) < 40
    for number, flip in enumerate(flips):
        alone = view(kinds, number)
        assert np.array_equal(view(("flip", *kinds), number), alone[:, ::-1] if flip else alone)


def test_zoom_and_shear_are_the_same_beside_each_other():
    """Shear moves rows sideways only: down the picture, only zoom can be seen."""
    rgb = ramp(axis=0)
    for number in range(20):
        zoomed, both = view(("zoom",), number, rgb=rgb), view(("zoom", "shear"), number, rgb=rgb)
        assert np.abs(zoomed.astype(int) - both).max() <= 1  # rounding: cv2 has 1/32 of a pixel
        assert np.array_equal(view(("shear",), number, rgb=rgb), rgb)


def test_zoom_stays_within_the_picture():
    """The ramp goes on without a turn, about the same centre, by a slope of 1 / zoom."""
    slopes = []
    for number, axis in itertools.product(range(100), (0, 1)):
        out = view(("zoom",), number, rgb=ramp(axis))[..., 0].astype(float)
        line = out[:, 32] if axis == 0 else out[32]
        assert (np.diff(line) >= 0).all() and abs(line[32] - (30 + 3 * 32)) <= 1
        slopes.append((line[-1] - line[0]) / (3 * 64))
    assert 1 / (1 + augment.ZOOM) - 0.01 < min(slopes) < 0.85  # drawn evenly from [1, 1.2]
    assert 0.98 < max(slopes) <= 1


def test_shear_turns_about_the_middle_row_to_either_side():
    rgb, shifts = ramp(axis=1), []
    for number in range(100):
        out = view(("shear",), number, rgb=rgb)[..., 0].astype(int)
        assert np.array_equal(out[32], rgb[32, :, 0])
        top, bottom = out[0, 32] - out[32, 32], out[64, 32] - out[32, 32]
        assert abs(top + bottom) <= 1
        shifts.append(top / 3)
    farthest = 32 * np.tan(augment.SHEAR)  # pixels
    assert max(map(abs, shifts)) < farthest + 0.5
    assert min(shifts) < -farthest / 2 and max(shifts) > farthest / 2


@pytest.mark.parametrize("size", [32, 33])
def test_zoom_and_shear_are_about_the_middle(size):
    """A picture turned by half gives its view turned by half; off by half a pixel is seen."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    for number, kinds in itertools.product(range(10), (("zoom",), ("shear",))):
        turned = view(kinds, number, rgb=noise[::-1, ::-1].copy())
        difference = np.abs(turned.astype(int) - view(kinds, number, rgb=noise)[::-1, ::-1])
        # OpenCV 4.10 rounds positions to 1/32 pixel, which is 0.7 here; half a pixel would be 44.
        assert difference.mean() < 2


@pytest.mark.parametrize("kinds", SUBSETS)
def test_no_black_border_comes_into_view(kinds):
    white, bright = np.full_like(RGB, 255), np.maximum(RGB, 120)
    for number in range(50):
        assert (view(kinds, number, rgb=white) == 255).all()
        assert view(kinds, number, rgb=bright).min() >= 120


def test_channels_move_together():
    """Every pixel of a view has a colour that the picture has: on a line through black."""
    tinted = RGB[..., :1] * np.array([1, 0, 1], np.uint8)
    for number in range(20):
        out = view(augment.KINDS, number, rgb=tinted)
        assert (out[..., 0] == out[..., 2]).all() and not out[..., 1].any()


class Pictures:
    """A data set of six drawn pictures, as far as `Batches` reads it."""

    rgb = np.stack([drawn.picture(seed, 32) for seed in range(6)])

    def count(self, split):
        return len(self.rgb)

    def read(self, split, positions, embedding=False):
        return {"rgb": self.rgb[positions]}


def test_a_batch_has_views_of_its_pictures_with_their_own_colours():
    """L* and ab of a batch are one view's, which is the picture's number in the run's."""
    config = dataclasses.replace(drawn.Config(), augment=VIEWS)
    batches = training.Batches(drawn.build_model(config), config, Pictures(), seed=7)
    for step in (0, 4):
        inputs, targets = batches(step)
        colours = np.concatenate([(inputs["l"] + 1) * 50, targets * 128], axis=-1)
        seen = np.rint(255 * lab.lab_to_rgb(colours)).astype(np.uint8)
        for place in range(4):
            number = 4 * step + place
            whole = Pictures.rgb[batches.position(number)]
            assert np.array_equal(seen[place], view(VIEWS, number, seed=7, rgb=whole))
            assert not np.array_equal(seen[place], whole)


def test_a_crop_is_a_part_of_the_picture_and_often_the_whole():
    size = 65
    shares, whole = [], 0
    for number in range(300):
        height, width = (
            np.ptp(view(("crop",), number, rgb=ramp(axis, size))[..., 0].astype(int)) / 3 / size
            for axis in (0, 1)
        )
        shares.append((height + 2 / size) * (width + 2 / size))
        whole += np.array_equal(view(("crop",), number), RGB)
    low, high = augment.CROP
    assert low - 0.06 < min(shares) < 0.5 and max(shares) < high + 0.06
    assert whole / 300 == pytest.approx(augment.WHOLE, abs=0.08)


def test_age_leaves_some_pictures_alone_and_is_seeded():
    l = lab.rgb_to_l(RGB)
    old = [augment.age(l, 0, number) for number in range(200)]
    assert all(np.array_equal(augment.age(l, 0, n), picture) for n, picture in enumerate(old))
    assert all(p.min() >= 0 and p.max() <= 100 and p.dtype == np.float32 for p in old)
    untouched = np.mean([np.array_equal(picture, l) for picture in old])
    # None of four faults, and neither of two scratches, which come in AGED squared each.
    assert untouched == pytest.approx(0.7**4 * (1 - 0.3**2) ** 2, abs=0.08)
    assert np.array_equal(l, lab.rgb_to_l(RGB))


def test_age_is_seen_and_not_learned():
    """The network's L* has the faults; ab, and L* as a perceptual loss takes it, have none."""
    made = {}
    for kinds in (("flip",), ("flip", "age")):
        for distance in (None, "vgg16"):
            config = dataclasses.replace(drawn.Config(), augment=kinds, distance=distance)
            batches = training.Batches(drawn.build_model(config), config, Pictures(), seed=7)
            made[kinds, distance] = batches(0)
    for distance in (None, "vgg16"):
        (clean, true), (aged, same) = (made[k, distance] for k in (("flip",), ("flip", "age")))
        assert np.array_equal(true, same)
        assert not np.array_equal(clean["l"], aged["l"])
