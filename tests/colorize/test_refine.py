"""REFINE=: what is done to ab after the network."""

import copy
import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from common.cli import UserError
from common.color import bins
from common.colorize import Colorizer, refine
from common.networks import h5
from tests import drawn

CONFIG = drawn.Config()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{"bins": a classifier of ab far from uniform, "ab": a regression}."""
    folder = tmp_path_factory.mktemp("models")
    network = drawn.classifier(CONFIG)
    h5.export(h5.wrap(network, CONFIG), folder / "bins.h5", {"image_size": 32, "cut": "squash"})
    return {"bins": folder / "bins.h5", "ab": drawn.exported(folder / "ab.h5")}


@pytest.fixture(scope="module")
def by(models):
    """A function of a way: the classifier's colorizer that goes it, loaded once."""
    colorizer = Colorizer(models["bins"])

    def other(way):
        result = copy.copy(colorizer)
        result.refine = way
        return result

    return other


def shares(height=5, width=4, seed=0):
    """Random shares of the bins, of which a few are likely; and L*."""
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(0, 3, (height, width, 313)))
    return (x / x.sum(-1, keepdims=True)).astype(np.float32), rng.uniform(
        0, 100, (height, width)
    ).astype(np.float32)


def test_the_random_field_is_mean_field_inference_over_all_pairs(monkeypatch):
    """Against sums written out pair by pair (Krähenbühl, Koltun 2011), two steps."""
    monkeypatch.setattr(refine, "STEPS", 2)
    monkeypatch.setattr(refine, "_RARE", 0)
    p, l = shares()
    own = np.log(p.reshape(-1, 313).astype(float))
    places = list(itertools.product(range(5), range(4)))
    k = np.zeros((20, 20))
    for i, j in itertools.permutations(range(20), 2):
        near = sum((a - b) ** 2 for a, b in zip(places[i], places[j], strict=True)) / 20**2
        k[i, j] = np.exp(-near / 2 - (l[places[i]] - l[places[j]]) ** 2 / (2 * 5**2))
    sums = k.sum(1)
    k /= np.sqrt(sums[:, None] * sums)
    apart = np.square(bins.CENTRES[:, None] - bins.CENTRES).sum(-1)
    q = np.exp(own)
    for _ in range(2):
        q = np.exp(own + k @ q @ np.exp(-apart / (2 * 20**2)))
        q /= q.sum(1, keepdims=True)
    expected = (q @ bins.CENTRES).reshape(5, 4, 2)
    np.testing.assert_allclose(refine.random_field(p, l), expected, atol=0.02)


def test_the_random_field_does_not_depend_on_what_is_in_memory_at_a_time(monkeypatch):
    p, l = shares()
    whole = refine.random_field(p, l)
    monkeypatch.setattr(refine, "_PAIRS", 60)
    np.testing.assert_allclose(refine.random_field(p, l), whole, atol=1e-3)


def test_without_weight_the_random_field_is_the_mean_of_the_bins(monkeypatch):
    monkeypatch.setattr(refine, "WEIGHT", 0)
    p, l = shares()
    np.testing.assert_allclose(refine.random_field(p, l), p @ bins.CENTRES, atol=1)


def test_total_variation_takes_noise_and_leaves_edges():
    rng = np.random.default_rng(0)
    clean = np.zeros((24, 24, 2), np.float32)
    clean[:, 12:] = 60, -40
    noisy = clean + rng.normal(0, 6, clean.shape).astype(np.float32)
    smooth = refine.total_variation(noisy)
    assert smooth.dtype == np.float32
    before, after = (np.abs(each - clean).mean() for each in (noisy, smooth))
    assert after < before / 2


def test_every_way_keeps_lightness_and_none_gives_another_ones_colours(models, by):
    grey = np.random.default_rng(1).integers(0, 256, (40, 56), np.uint8)
    results = {way: by(way)(grey) for way in refine.WAYS}
    l = rgb2lab(np.repeat(grey[..., None], 3, 2))[..., 0]
    for result in results.values():
        assert np.abs(rgb2lab(result)[..., 0] - l).max() < 0.5
    for one, other in itertools.combinations(results.values(), 2):
        assert (one != other).any()
    crf = Colorizer(models["bins"], refine="crf")
    np.testing.assert_array_equal(crf(grey), results["crf"])


@pytest.mark.parametrize("way", refine.WAYS)
def test_refined_ab_are_those_under_a_picture_of_that_size(by, way):
    """Within what 16 bits round, where the gamut holds the colours."""
    colorizer = by(way)
    grey = np.random.default_rng(2).integers(20000, 50000, (32, 32), np.uint16)
    lab = rgb2lab(colorizer(grey) / 65535)
    ab = colorizer.refined_ab(lab[None, ..., :1].astype(np.float32))[0]
    inside = np.abs(lab[..., 1:]).max(-1) < 15
    assert inside.mean() > 0.05
    np.testing.assert_allclose(ab[inside], lab[..., 1:][inside], atol=0.3)


def test_a_letterbox_is_refined_as_well(by):
    grey = np.random.default_rng(1).integers(0, 256, (20, 56), np.uint8)
    for way in refine.WAYS:
        colorizer = by(way)
        colorizer.cut = "letterbox"
        assert colorizer(grey).shape == (20, 56, 3)


def test_a_random_field_needs_bins(models):
    with pytest.raises(UserError, match="REFINE=crf needs a model that classifies ab"):
        Colorizer(models["ab"], refine="crf")
    assert Colorizer(models["ab"], refine="tv").predict_ab(np.zeros((1, 32, 32, 1))).any()


def test_an_unknown_way_is_refused(models):
    with pytest.raises(UserError, match="REFINE= is none, guided, tv, crf. Received: best."):
        Colorizer(models["ab"], refine="best")
