"""The dial from faithful to vivid: its ends and what lies between, by hand and against NumPy."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from common.color import bins
from common.color.dial import Dial
from common.config import Config

CENTRES = bins.CENTRES.astype(np.float64)
PRIOR = np.random.default_rng(0).dirichlet(np.full(313, 0.2))
LOGITS = np.random.default_rng(1).normal(0, 3, (2, 3, 4, 313)).astype(np.float32)
BOTH = Config(faithful=(0.8, 0.0), vivid=(0.38, 0.7), export_both=True)


def decoded(dial, logits=LOGITS, **options):
    return keras.ops.convert_to_numpy(dial.decode(logits, factor=1, **options))


def mean(distribution):
    """The mean of the bins under shares that need not sum to 1, by the definition."""
    return (distribution / distribution.sum(-1, keepdims=True)) @ CENTRES


@pytest.mark.parametrize("rebalanced", [False, True])
def test_the_ends_are_the_powers_of_rarity_at_their_temperatures(rebalanced):
    """Logits of q, or of q w where the loss was weighted by w."""
    dial = Dial.of(BOTH, PRIOR, rebalanced)
    q = np.exp(LOGITS.astype(np.float64))
    w = bins.rarity(PRIOR).astype(np.float64)
    if rebalanced:
        q /= w
    for vivid, temperature, power in ((0.0, 0.8, 0.0), (1.0, 0.38, 0.7)):
        expected = mean((q * w**power) ** (1 / temperature))
        # float32; w is stored in six digits
        np.testing.assert_allclose(decoded(dial, vivid=vivid), expected, atol=2e-3)


def test_between_the_ends_is_the_geometric_mean_of_their_distributions():
    dial = Dial.of(BOTH, PRIOR, True)
    w = bins.rarity(PRIOR).astype(np.float64)
    q = np.exp(LOGITS.astype(np.float64)) / w
    faithful, vivid = q ** (1 / 0.8), (q * w**0.7) ** (1 / 0.38)
    expected = mean(faithful**0.75 * vivid**0.25)
    np.testing.assert_allclose(decoded(dial, vivid=0.25), expected, atol=2e-3)


@pytest.mark.parametrize("rebalanced", [False, True])
def test_a_config_without_a_dial_of_its_own_decodes_as_trained(rebalanced):
    """To the bits of the annealed mean, by which it was exported before there was a dial."""
    dial = Dial.of(Config(), PRIOR, rebalanced)
    assert dial.default == float(rebalanced)
    plain = keras.ops.convert_to_numpy(bins.annealed_mean(LOGITS, factor=1))
    np.testing.assert_array_equal(decoded(dial), plain)
    assert (decoded(dial, vivid=1 - dial.default) != plain).any()


def test_the_metadata_hold_all_of_it():
    dial = Dial.of(BOTH, PRIOR, True)
    again = Dial.of_json(json.loads(json.dumps(dataclasses.asdict(dial))))
    for vivid in (0.0, 0.3, 1.0):
        np.testing.assert_array_equal(decoded(again, vivid=vivid), decoded(dial, vivid=vivid))
    assert again.default == 0 and len(again.rarity) == 313


@pytest.mark.parametrize(
    "wrong",
    [
        {"faithful": 1.0},
        {"faithful": ["a", "b"]},
        {"vivid": [0.0, 1.0]},  # a temperature of 0
        {"rarity": [1.0] * 312},
        {"rarity": [0.0] * 313},
        {"default": 2.0},
        {"default": None},
        {"unknown": 1},
    ],
)
def test_json_without_a_dial_is_refused(wrong):
    stored = dataclasses.asdict(Dial.of(BOTH, PRIOR, True))
    with pytest.raises(ValueError, match="no dial"):
        Dial.of_json({**stored, **wrong})


def test_it_is_saved_in_built_in_layers_alone(tmp_path):
    logits = keras.Input((3, 4, 313))
    model = keras.Model(logits, Dial.of(BOTH, PRIOR, True).decode(logits))
    model.save(tmp_path / "m.h5")
    loaded = keras.models.load_model(tmp_path / "m.h5", compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
    assert loaded.output_shape == (None, 12, 16, 2)
    np.testing.assert_allclose(
        loaded.predict_on_batch(LOGITS), model.predict_on_batch(LOGITS), atol=1e-4
    )
