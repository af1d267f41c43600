"""What a network was before its training, as a second target."""

import keras
import numpy as np
import pytest

from common.color import bins
from common.training import losses
from common.training.teacher import Teacher
from tests import drawn

SIDE = 32


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return {"l": rng.normal(size=(2, SIDE, SIDE, 1)).astype(np.float32)}


def targets(channels=2):
    rng = np.random.default_rng(1)
    return rng.uniform(-0.5, 0.5, (2, SIDE, SIDE, channels)).astype(np.float32)


def test_a_network_for_ab_gets_the_weighted_mean_of_the_truth_and_its_old_answer(inputs):
    network = drawn.build_model(drawn.Config())
    old, true = network.predict_on_batch(inputs), targets(3)  # L* before ab, of a perceptual loss
    teacher = Teacher(network, 0.25, "float32")
    network.set_weights([0 * weight for weight in network.get_weights()])  # it keeps its own copy
    given = teacher(inputs, true)
    np.testing.assert_allclose(given[..., 1:], 0.25 * old + 0.75 * true[..., 1:], atol=1e-6)
    np.testing.assert_array_equal(given[..., 0], true[..., 0])


def test_the_gradient_is_that_of_both_errors():
    """Of the squared error to the mean target, as of the weighted sum of two squared errors."""
    rng = np.random.default_rng(2)
    p, true, old = rng.normal(size=(3, 10))
    to_mean = 2 * (p - (0.7 * true + 0.3 * old))
    np.testing.assert_allclose(to_mean, 0.7 * 2 * (p - true) + 0.3 * 2 * (p - old))


def test_a_classifier_gets_the_truth_and_its_old_distribution(inputs):
    network = bins.with_head(drawn.build_model(drawn.Config()))
    true = targets()
    given = Teacher(network, 0.5, "float32")(inputs, true)
    assert given.shape == (2, SIDE // 4, SIDE // 4, 2 + 313)
    np.testing.assert_allclose(given[0, 0, 0, :2], true[0, :4, :4].mean((0, 1)), atol=1e-6)
    logits = network.predict_on_batch(inputs)
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(given[..., 2:], shares, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_two_targets_is_the_weighted_sum_of_two_cross_entropies(weighted):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(1, 2, 2, 313)).astype(np.float32)
    ab = rng.uniform(-0.4, 0.4, (1, 2, 2, 2)).astype(np.float32)
    old = rng.dirichlet(np.ones(313), (1, 2, 2)).astype(np.float32)
    weights = rng.uniform(0.5, 2, 313).astype(np.float32) if weighted else None
    loss = losses.KeptBinCrossEntropy(1 / 128, 0.0, weights, keep=0.3)
    alone = losses.BinCrossEntropy(1 / 128, 0.0, weights)
    scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = 0.7 * alone.call(ab, logits) + 0.3 * -(old * scores).sum(-1)
    both = loss.call(np.concatenate([ab, old], -1), logits)
    np.testing.assert_allclose(both, expected, rtol=1e-4)
    np.testing.assert_allclose(loss.call(ab, logits), alone.call(ab, logits))  # as in validation
    again = losses.KeptBinCrossEntropy.from_config(loss.get_config())
    np.testing.assert_allclose(again.call(np.concatenate([ab, old], -1), logits), both)
