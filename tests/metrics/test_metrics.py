"""Metrics against values worked out by hand or by a plain formula, never by the same function."""

import math

import numpy as np
import pytest
from skimage import metrics as reference
from skimage.color import deltaE_ciede2000

from common import metrics
from common.color import bins, lab
from common.metrics.ciede2000 import difference


def constant(value, channels=3, side=16, dtype=np.uint8):
    return np.full((side, side, channels), value, dtype)


def noise(seed, side=24):
    """Coloured noise over a slope, (side, side, 3) uint8."""
    slope = np.linspace(40, 200, side)[:, None, None]
    return np.uint8(slope + np.random.default_rng(seed).uniform(-40, 40, (side, side, 3)))


# --- MSE and PSNR ---------------------------------------------------------------------------------


def test_mse_ab_is_over_pixels_and_both_channels():
    true = np.zeros((4, 4, 2), np.float32)
    predicted = true + np.float32([3, 4])
    assert metrics.mse_ab(true, predicted) == (9 + 16) / 2
    predicted[2:] = 0
    assert metrics.mse_ab(true, predicted) == (9 + 16) / 4


def test_psnr_by_hand():
    # an error of 16 everywhere: 10 log10(255² / 16²)
    assert metrics.psnr_rgb(constant(100), constant(116)) == pytest.approx(24.0485, abs=1e-4)
    # the same way down: unsigned arithmetic would give 240² here
    assert metrics.psnr_rgb(constant(116), constant(100)) == pytest.approx(24.0485, abs=1e-4)
    ab = constant(0, 2, dtype=np.float32)
    assert metrics.psnr_ab(ab, ab + 16) == pytest.approx(24.0485, abs=1e-4)
    # 20 log10(255 / 200) less of peak
    assert metrics.psnr_ab(ab, ab + 16, data_range=200) == pytest.approx(21.9382, abs=1e-4)


def test_psnr_of_equal_pictures_is_infinite(recwarn):
    assert metrics.psnr_rgb(noise(0), noise(0)) == math.inf
    ab = lab.rgb_to_lab(noise(0))[..., 1:]
    assert metrics.psnr_ab(ab, ab) == math.inf
    assert not recwarn.list


def test_psnr_of_a_batch_by_hand():
    """The range of the truth is 140, the error 12² in one picture of two, in one channel."""
    true = np.zeros((2, 16, 16, 2), np.float32)
    true[0, 0, 0, 0], true[1, 5, 5, 1] = -60, 80
    predicted = true.copy()
    predicted[1, ..., 0] += 12
    expected = 20 * math.log10(140) - 10 * math.log10(144 / 4)
    assert metrics.psnr_ab_batch(true, predicted) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_batch_has_the_larger_range_of_both_sides():
    true = np.stack([lab.rgb_to_lab(noise(seed))[..., 1:] for seed in range(3)])
    for factor in (0.5, 2):  # true's range is the larger, predicted's is
        predicted = np.float32(factor * true + 3)
        peak = max(np.ptp(true), np.ptp(predicted))
        expected = [
            reference.structural_similarity(
                one,
                other,
                data_range=peak,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for one, other in zip(np.float64(true), np.float64(predicted), strict=True)
        ]
        ours = metrics.ssim_ab_batch(true, predicted)
        assert ours == pytest.approx(np.mean(expected), abs=1e-5)


def test_a_batch_of_one_colour_or_of_stamps_has_no_figure():
    grey = np.zeros((2, 16, 16, 2), np.float32)
    for metric in metrics.BATCH_METRICS.values():
        assert metric.of(grey, grey) is None
    stamps = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype(np.float32)
    assert metrics.METRICS["ssim_ab_batch"].of(stamps, stamps) is None
    assert metrics.METRICS["psnr_ab_batch"].of(stamps, stamps) == math.inf


# --- SSIM -----------------------------------------------------------------------------------------


def ssim_by_formula(true, predicted, data_range=255.0, sigma=1.5, side=11):
    """Wang et al. 2004, eq. 13, window by window, in float64."""
    place = np.arange(side) - side // 2
    window = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * sigma**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    result = []
    for channel in range(true.shape[-1]):
        for top in range(true.shape[0] - side + 1):
            for left in range(true.shape[1] - side + 1):
                x, y = (
                    np.float64(picture[top : top + side, left : left + side, channel])
                    for picture in (true, predicted)
                )
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                vxy = (window * (x - mx) * (y - my)).sum()
                result.append(
                    (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
                )
    return np.mean(result)


def test_ssim_is_the_formula_of_wang():
    true, predicted = noise(0), noise(1)
    # 1e-5: float32 keeps a variance of 65,025 ± 0.004
    assert metrics.ssim_rgb(true, predicted) == pytest.approx(
        ssim_by_formula(true, predicted), abs=1e-5
    )
    ab, other = (lab.rgb_to_lab(picture)[..., 1:] for picture in (true, predicted))
    assert metrics.ssim_ab(ab, other) == pytest.approx(ssim_by_formula(ab, other), abs=1e-5)


def test_ssim_switches_reach_the_formula():
    ab, other = (lab.rgb_to_lab(noise(seed))[..., 1:] for seed in (0, 1))
    assert metrics.ssim_ab(ab, other, data_range=100) == pytest.approx(
        ssim_by_formula(ab, other, data_range=100), abs=1e-5
    )


def test_ssim_of_constant_pictures_is_defined():
    # no variance, so the second factor is 1: (2 · 100 · 116 + c1) / (100² + 116² + c1)
    c1 = 2.55**2
    expected = (2 * 100 * 116 + c1) / (100**2 + 116**2 + c1)
    assert metrics.ssim_rgb(constant(100), constant(116)) == pytest.approx(expected, abs=1e-5)
    black = constant(0)
    assert metrics.ssim_rgb(black, black) == 1


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        metrics.ssim_rgb(constant(1, side=10), constant(1, side=10))


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"sigma": 0.8, "win_size": 7},
        {"use_sample_covariance": True, "win_size": 13},
        {"gaussian_weights": False, "win_size": 7},
        {"K1": 0.05, "K2": 0.1, "data_range": 200},
        {"gaussian_weights": False, "use_sample_covariance": True, "win_size": 5},
    ],
)
def test_ssim_is_scikit_images_with_every_switch(switches):
    true, predicted = noise(0, side=40), noise(1, side=40)
    pairs = (
        (metrics.ssim_rgb, true, predicted),
        (metrics.ssim_ab, *(lab.rgb_to_lab(rgb)[..., 1:] for rgb in (true, predicted))),
    )
    all_switches = {
        "data_range": 255,
        "gaussian_weights": True,
        "sigma": 1.5,
        "win_size": 11,
        "use_sample_covariance": False,
    } | switches
    for metric, x, y in pairs:
        expected = reference.structural_similarity(
            np.float64(x), np.float64(y), channel_axis=-1, **all_switches
        )
        # float32 keeps a square of 64, about the level, to 0.0003, beside constants from 6.5
        assert metric(x, y, **switches) == pytest.approx(expected, abs=1e-5)


def test_mse_and_psnr_are_scikit_images():
    true, predicted = noise(0), noise(1)
    assert metrics.psnr_rgb(true, predicted) == pytest.approx(
        reference.peak_signal_noise_ratio(true, predicted, data_range=255), rel=1e-6
    )
    ab, other = (lab.rgb_to_lab(rgb)[..., 1:] for rgb in (true, predicted))
    assert metrics.mse_ab(ab, other) == pytest.approx(
        reference.mean_squared_error(np.float64(ab), np.float64(other)), rel=1e-6
    )


# --- CIEDE2000 ------------------------------------------------------------------------------------

# Sharma, Wu, Dalal 2005, table 1: two colours in Lab and their difference. Hues that lie opposite
# each other are where a formula goes wrong.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0010), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0012), 7.2195),
    ((50.0, -0.001, 2.49), (50.0, 0.0009, -2.49), 4.8045),
    ((50.0, -0.001, 2.49), (50.0, 0.0010, -2.49), 4.8045),
    ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "expected"), SHARMA)
def test_ciede2000_of_sharmas_pairs(one, other, expected):
    pictures = [np.full((4, 4, 3), colour, np.float32) for colour in (one, other)]
    # four printed digits, and float32's sixth of seventh powers
    assert metrics.ciede2000(*pictures) == pytest.approx(expected, abs=2e-4)
    assert metrics.ciede2000(*pictures[::-1]) == pytest.approx(expected, abs=2e-4)


def test_ciede2000_is_scikit_images_over_blocks():
    pictures = [lab.rgb_to_lab(noise(seed, side=150)) for seed in (0, 1)]  # 22,500 pixels: 2 blocks
    expected = deltaE_ciede2000(*map(np.float64, pictures)).mean()
    assert metrics.ciede2000(*pictures) == pytest.approx(expected, rel=1e-5)
    half = deltaE_ciede2000(*map(np.float64, pictures), kC=2).mean()
    assert metrics.ciede2000(*pictures, kC=2) == pytest.approx(half, rel=1e-5)
    assert metrics.ciede2000(pictures[0], pictures[0]) == 0


@pytest.mark.parametrize("far", [1, 10, 100])
def test_ciede2000_is_scikit_images_pixel_by_pixel(far):
    random = np.random.default_rng(far)
    one = random.uniform((0, -100, -100), (100, 100, 100), (300, 300, 3)).astype(np.float32)
    other = one + random.uniform(-far, far, one.shape).astype(np.float32)
    other[..., 0] = np.clip(other[..., 0], 0, 100)
    other[:30] *= np.float32([1, -1, -1])  # hues about opposite
    other[30:60, :, 1:] = 0
    result = difference(
        *(list(np.ascontiguousarray(np.moveaxis(each, -1, 0))) for each in (one, other))
    )
    np.testing.assert_allclose(
        result, deltaE_ciede2000(np.float64(one), np.float64(other)), rtol=0, atol=1e-4
    )


def test_ciede2000_of_colours_beyond_any_screen_is_finite():
    one, other = (np.full((2, 2, 3), colour, np.float32) for colour in ((50, 1e6, 0), (50, 0, 1e6)))
    assert math.isfinite(metrics.ciede2000(one, other))


# --- AuC ------------------------------------------------------------------------------------------


def spread_ab(seed, side=32):
    return np.random.default_rng(seed).uniform(-90, 90, (side, side, 2)).astype(np.float32)


def test_auc_by_hand():
    ab = constant(0, 2, dtype=np.float32)
    # 3, 4 is off by 5: within every threshold from 5 to 150
    assert metrics.auc_ab(ab, ab + np.float32([3, 4])) == pytest.approx(100 * 145 / 150)
    assert metrics.auc_ab(ab, ab) == 100
    assert metrics.auc_ab(ab, ab + 200) == 0
    assert metrics.auc_ab(ab, ab + np.float32([3, 4]), top=10) == pytest.approx(50)


def test_auc_is_the_area_under_a_sweep_of_thresholds():
    ab, other = spread_ab(0), spread_ab(1)
    off = np.linalg.norm(np.float64(other) - ab, axis=-1)
    thresholds = np.linspace(0, 150, 6001)
    shares = [(off <= threshold).mean() for threshold in thresholds]
    area = np.mean(np.add(shares[1:], shares[:-1]) / 2)
    assert metrics.auc_ab(ab, other) == pytest.approx(100 * area, abs=1e-2)  # steps of 0.025


def test_balanced_auc_weighs_pixels_by_their_true_colour():
    ab = constant(0, 2, dtype=np.float32)
    ab[:4] = (80, 70)  # a quarter is red
    predicted = np.zeros_like(ab)
    red = np.flatnonzero((bins.CENTRES == (80, 70)).all(-1))
    grey = np.flatnonzero((bins.CENTRES == 0).all(-1))
    weights = np.zeros(313)
    weights[red], weights[grey] = 9, 1
    of_red = 1 - math.hypot(80, 70) / 150
    assert metrics.auc_ab(ab, predicted) == pytest.approx(100 * (0.75 + 0.25 * of_red))
    assert metrics.auc_ab(ab, predicted, weights=weights) == pytest.approx(
        100 * (0.75 * 1 + 0.25 * 9 * of_red) / (0.75 + 0.25 * 9)
    )
    assert metrics.rarity(ab, weights=weights) == pytest.approx(0.75 + 0.25 * 9)
    # a colour that training never had
    weights[grey] = 0
    assert math.isnan(metrics.auc_ab(ab[5:], predicted[5:], weights=weights))


def test_the_balanced_mean_over_pictures_is_that_over_all_pixels():
    weights = np.random.default_rng(3).uniform(0, 4, 313).astype(np.float32)
    true, other = (np.stack([spread_ab(seed), spread_ab(seed + 9) / 5]) for seed in (0, 1))
    result = metrics.summary(
        list(metrics.auc_ab(true, other, weights=weights)), metrics.rarity(true, weights=weights)
    )
    together = metrics.auc_ab(np.concatenate(true), np.concatenate(other), weights=weights)
    assert result.mean == pytest.approx(together) and (result.n, result.infinite) == (2, 0)


# --- L* drift -------------------------------------------------------------------------------------


def test_l_drift_by_hand():
    true = constant(50, dtype=np.float32)
    result = true.copy()
    result[0, 0] = (58, 99, 99)  # of 256 pixels one is off, ab does not count
    assert metrics.l_drift(true, result) == pytest.approx(8 / 256)
    assert metrics.l_drift(true, result, largest=True) == 8


def test_l_drift_is_what_clipping_does_to_lightness():
    # L* 50 with a* = b* = 120 is no colour of a screen: scikit-image's conversion, then clipped
    from skimage.color import lab2rgb, rgb2lab

    l, ab = np.full((16, 16, 1), 50, np.float32), np.full((16, 16, 2), 120, np.float32)
    with pytest.warns(UserWarning, match="negative Z values"):
        clipped = np.rint(255 * lab2rgb(np.concatenate([l, ab], -1)))
    expected = abs(rgb2lab(clipped / 255)[0, 0, 0] - 50)
    assert expected > 1
    after = lab.rgb_to_lab(metrics.recolour(l, ab))
    assert metrics.l_drift(np.concatenate([l, ab], -1), after) == pytest.approx(expected, abs=1e-3)


# --- colourfulness --------------------------------------------------------------------------------


def test_colourfulness_of_half_red_half_green():
    picture = constant(0)
    picture[:8, :, 0] = 255
    picture[8:, :, 1] = 255
    # rg = ±255: deviation 255, mean 0. yb = 127.5: deviation 0, mean 127.5.
    assert metrics.colourfulness(picture) == pytest.approx(255 + 0.3 * 127.5)
    # |rg| = 255: deviation 0, mean 255
    assert metrics.colourfulness(picture, absolute=True) == pytest.approx(
        0.3 * math.hypot(255, 127.5)
    )


def test_colourfulness_of_grey_is_zero():
    assert metrics.colourfulness(np.repeat(noise(0)[..., :1], 3, -1)) == 0


def test_colourfulness_error_does_not_cancel():
    grey, vivid = constant(100), constant(0)
    vivid[:8, :, 0] = vivid[8:, :, 1] = 255
    pairs = np.stack([grey, vivid]), np.stack([vivid, grey])
    errors = metrics.colourfulness_error(*pairs)
    assert errors.tolist() == pytest.approx([255 + 0.3 * 127.5] * 2)
    means = [metrics.colourfulness(pictures).mean() for pictures in pairs]
    assert means[0] == means[1], "the difference of means is blind to it"
    assert metrics.colourfulness_error(grey, vivid, absolute=True) == pytest.approx(
        0.3 * math.hypot(255, 127.5)
    )


# --- recolouring ----------------------------------------------------------------------------------


def test_true_ab_gives_the_picture_back():
    rgb = noise(0)
    colours = lab.rgb_to_lab(rgb)
    np.testing.assert_array_equal(metrics.recolour(colours[..., :1], colours[..., 1:]), rgb)
    np.testing.assert_array_equal(metrics.recolour(colours[..., 0], colours[..., 1:]), rgb)


def test_recolouring_clips_to_the_gamut():
    # Lab (53.24, 80.09, 67.20) is sRGB red; twice its chroma has more red and less of the others
    red = metrics.recolour(np.float32([[[53.24]]]), np.float32([[[160.18, 134.4]]]))
    assert red.dtype == np.uint8 and red[0, 0].tolist() == [255, 0, 0]


def test_recolouring_refuses_nan():
    with pytest.raises(ValueError, match="finite"):
        metrics.recolour(np.full((2, 2, 1), 50.0), np.full((2, 2, 2), np.nan))


# --- what goes in ---------------------------------------------------------------------------------

ON_RGB = [metrics.psnr_rgb, metrics.ssim_rgb]
ON_AB = [metrics.mse_ab, metrics.psnr_ab, metrics.ssim_ab]


@pytest.mark.parametrize("metric", [*ON_RGB, metrics.colourfulness])
def test_rgb_must_be_uint8(metric):
    pictures = [constant(0.5, dtype=np.float32)] * (1 if metric is metrics.colourfulness else 2)
    with pytest.raises(ValueError, match="uint8"):
        metric(*pictures)


@pytest.mark.parametrize("metric", ON_AB)
def test_ab_must_be_float_and_finite(metric):
    ab = constant(0, 2, dtype=np.float32)
    with pytest.raises(ValueError, match="float"):
        metric(ab, np.int16(ab))
    for value in (np.nan, np.inf):
        broken = ab.copy()
        broken[3, 4, 1] = value
        with pytest.raises(ValueError, match="NaN or infinity"):
            metric(ab, broken)


@pytest.mark.parametrize("metric", [*ON_RGB, *ON_AB])
def test_shapes_must_agree(metric):
    channels, dtype = (3, np.uint8) if metric in ON_RGB else (2, np.float32)
    pictures = constant(0, channels, 16, dtype), constant(0, channels, 17, dtype)
    with pytest.raises(ValueError, match="one shape"):
        metric(*pictures)
    with pytest.raises(ValueError, match="of shape"):
        metric(pictures[0][..., :1], pictures[0][..., :1])
    with pytest.raises(ValueError, match="of shape"):
        metric(pictures[0][:0], pictures[0][:0])


@pytest.mark.parametrize("metric", [*ON_RGB, *ON_AB])
def test_a_batch_is_its_pictures(metric):
    true, predicted = (np.stack([noise(seed), noise(seed + 1)]) for seed in (0, 2))
    if metric in ON_AB:
        true, predicted = (lab.rgb_to_lab(rgb)[..., 1:] for rgb in (true, predicted))
    assert metric(true, predicted).tolist() == [
        metric(true[0], predicted[0]),
        metric(true[1], predicted[1]),
    ]


# --- scores and their mean ------------------------------------------------------------------------


def test_score_of_grey_and_of_the_truth():
    rgb = noise(0)
    colours = lab.rgb_to_lab(rgb)
    perfect = metrics.score(metrics.Truth(rgb), colours[..., 1:])
    assert perfect["mse_ab"] == 0 and perfect["psnr_rgb"] == perfect["psnr_ab"] == math.inf
    assert perfect["ssim_rgb"] == pytest.approx(1) and perfect["ssim_ab"] == pytest.approx(1)
    grey = metrics.score(metrics.Truth(rgb), np.zeros_like(colours[..., 1:]))
    assert grey["mse_ab"] == pytest.approx((colours[..., 1:] ** 2).mean(), rel=1e-5)
    # Lab's white and sRGB's differ in the fifth digit: a channel may round to the next step.
    assert grey["colourfulness"] < 0.3 < 10 < perfect["colourfulness"]
    assert perfect["ciede2000"] == perfect["l_drift_largest"] == 0 and perfect["auc_ab"] == 100
    assert 0 < grey["l_drift"] <= grey["l_drift_largest"] < 0.3, "rounding to 8 bit"
    assert grey["colourfulness_error"] == pytest.approx(
        perfect["colourfulness"] - grey["colourfulness"]
    )
    assert "auc_ab_balanced" not in grey


def test_score_of_a_picture_takes_it_as_it_is():
    rgb, made = noise(0), noise(1)
    colours, ab = lab.rgb_to_lab(rgb), lab.rgb_to_lab(made)[..., 1:]
    result = metrics.score(metrics.Truth(rgb), ab, made, np.ones(313))
    assert result["psnr_rgb"] == metrics.psnr_rgb(rgb, made)
    assert result["l_drift"] == metrics.l_drift(colours, lab.rgb_to_lab(made)) > 1
    assert result["auc_ab_balanced"] == pytest.approx(result["auc_ab"])  # all weigh the same
    nowhere = metrics.score(metrics.Truth(rgb), ab, made, np.zeros(313))
    assert nowhere["auc_ab_balanced"] is None


def test_score_leaves_out_what_small_pictures_do_not_have():
    rgb = noise(0, side=8)
    colours = lab.rgb_to_lab(rgb)
    result = metrics.score(metrics.Truth(rgb), colours[..., 1:])
    assert result["ssim_rgb"] is result["ssim_ab"] is None and result["mse_ab"] == 0


def test_score_is_each_metric_by_itself_and_a_truth_serves_many():
    weights = np.random.default_rng(5).uniform(0, 4, 313)
    rgb, truth = noise(0), metrics.Truth(noise(0))
    ab = lab.rgb_to_lab(noise(1))[..., 1:] * np.float32(0.7)
    flat = np.broadcast_to(np.float32([3, 10]), ab.shape)
    for predicted in (ab, flat, ab):  # the second time from what the first left in the truth
        made = metrics.recolour(truth.lab.array[..., :1], predicted)
        pictures = {
            "rgb": rgb,
            "lab": lab.rgb_to_lab(rgb),
            "ab": lab.rgb_to_lab(rgb)[..., 1:],
            "rgb_predicted": made,
            "lab_predicted": lab.rgb_to_lab(made),
            "ab_predicted": predicted,
        }
        result = metrics.score(truth, predicted, weights=weights)
        assert result == {
            key: metric.function(
                *(pictures[name] for name in metric.pictures),
                **metric.given,
                **({"weights": weights} if metric.by_rarity else {}),
            )
            for key, metric in metrics.chosen(weights is not None).items()
        }
    assert truth.values(weights) == {
        "colourfulness": metrics.colourfulness(rgb),
        "colourfulness_absolute": metrics.colourfulness(rgb, absolute=True),
        "rarity": metrics.rarity(pictures["ab"], weights=weights),
    }


def test_a_picture_is_checked_and_worked_on_once():
    picture = metrics.Picture(noise(0))
    first = picture.once(_sum, 2), picture.once(_sum, 3)
    assert first == (picture.once(_sum, 2), picture.once(_sum, 3)) and first[0] != first[1]
    with pytest.raises(ValueError, match="uint8"):
        metrics.colourfulness(metrics.Picture(np.float32(noise(0))))
    assert metrics.psnr_rgb(picture, noise(1)) == metrics.psnr_rgb(noise(0), noise(1))
    # what is RGB to one metric is no Lab to another
    with pytest.raises(ValueError, match="float"):
        metrics.l_drift(picture, picture)


def _sum(picture, by):
    return picture.array.sum() * by


def test_summary_counts_what_it_is_a_mean_of():
    assert metrics.summary([1.0, math.inf, 3.0, None]) == metrics.Mean(2.0, 2, 1)
    assert metrics.summary([math.inf]) == metrics.Mean(None, 0, 1)
    assert metrics.summary([1.0, None, 4.0], [2, 5, 1]) == metrics.Mean(2.0, 2, 0)
    assert metrics.summary([1.0, 4.0], [0, 0]).mean is None
    assert metrics.summary([None]) == metrics.Mean(None, 0, 0)
    with pytest.raises(ValueError, match="NaN"):
        metrics.summary([1.0, math.nan])


def test_the_protocol_lists_every_switch():
    assert metrics.METRICS["psnr_rgb"].switches == {"data_range": 255}
    assert metrics.METRICS["colourfulness"].switches == {"absolute": False}
    assert metrics.METRICS["ssim_ab"].switches == {
        "data_range": 255,
        "gaussian_weights": True,
        "sigma": 1.5,
        "win_size": 11,
        "use_sample_covariance": False,
        "K1": 0.01,
        "K2": 0.03,
    }
    assert metrics.METRICS["colourfulness_absolute"].switches == {"absolute": True}
    assert metrics.METRICS["auc_ab"].switches == {"top": 150, "weights": None}
    assert "training" in metrics.METRICS["auc_ab_balanced"].switches["weights"]
