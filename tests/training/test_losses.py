"""Losses against their definitions, worked out by NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from common.color import bins, lab
from common.training import losses

SCALE, OFFSET = 1 / 200, 0.5
CENTRES = bins.CENTRES.astype(np.float64)


@pytest.fixture(scope="module")
def drawn():
    """(true, predicted (2, 8, 8, 2) in the network's scaling, weights of the bins)."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    true = lab.rgb_to_lab(rgb)[..., 1:] * SCALE + OFFSET
    predicted = true + rng.normal(0, 0.1, true.shape)
    return (
        true.astype(np.float32),
        predicted.astype(np.float32),
        rng.uniform(0.2, 5, 313).astype(np.float32),
    )


def number(loss):
    return float(ops.convert_to_numpy(loss))


def squared_distances(true):
    ab = (true.astype(np.float64) - OFFSET) / SCALE
    return np.square(ab[..., None, :] - CENTRES).sum(-1)


def test_each_pixel_counts_by_its_true_colours_bin(drawn):
    true, predicted, weights = drawn
    nearest = squared_distances(true).argmin(-1)
    expected = (weights[nearest] * np.square(predicted - true).mean(-1)).mean()
    loss = losses.RebalancedMeanSquaredError(weights, SCALE, OFFSET)
    assert number(loss(true, predicted)) == pytest.approx(expected, rel=1e-5)


def test_rebalancing_by_hand():
    """A grey pixel of weight 3 that is off by (10, 0), a red one of weight 1/2 off by (0, 20)."""
    weights = np.ones(313)
    grey, red = bins.nearest(np.array([[0, 0], [80, 67]]))
    weights[grey], weights[red] = 3, 0.5
    true = np.array([[[[0.0, 0.0], [80.0, 67.0]]]]) / 100
    predicted = true + np.array([[[[0.1, 0.0], [0.0, 0.2]]]])
    loss = losses.RebalancedMeanSquaredError(weights, 1 / 100)
    expected = (3 * 0.01 / 2 + 0.5 * 0.04 / 2) / 2
    assert number(loss(true, predicted)) == pytest.approx(expected, rel=1e-5)


def test_weights_of_one_are_the_mean_squared_error(drawn):
    true, predicted, _ = drawn
    loss = losses.RebalancedMeanSquaredError(np.ones(313), SCALE, OFFSET)
    assert number(loss(true, predicted)) == number(keras.losses.MeanSquaredError()(true, predicted))


def cross_entropy(true, logits, weights=None):
    """The mean over places, from all 313 distances of the averaged colour."""
    n, h, w, _ = logits.shape
    by = true.shape[1] // h
    true = true.astype(np.float64).reshape(n, h, by, w, by, 2).mean((2, 4))
    squared = squared_distances(true)
    fifth = np.sort(squared, -1)[..., 4:5]
    shares = np.exp(-squared / 50) * (squared <= fifth)
    shares /= shares.sum(-1, keepdims=True)
    logits = logits.astype(np.float64)
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -(shares * log).sum(-1)
    return (loss if weights is None else weights[squared.argmin(-1)] * loss).mean()


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_by_its_definition(drawn, size, weighted):
    true, _, weights = drawn
    weights = weights if weighted else None
    logits = np.random.default_rng(1).normal(0, 3, (2, size, size, 313)).astype(np.float32)
    loss = losses.BinCrossEntropy(SCALE, OFFSET, weights)
    assert number(loss(true, logits)) == pytest.approx(
        cross_entropy(true, logits, weights), rel=1e-4
    )  # shares in float32


def test_cross_entropy_by_hand():
    """Nothing known is ln 313; all on the bin of a grey picture is 4 e^-2 / (1 + 4 e^-2) of 20."""
    grey = np.full((1, 4, 4, 2), OFFSET, np.float32)
    loss = losses.BinCrossEntropy(SCALE, OFFSET)
    assert number(loss(grey, np.zeros((1, 1, 1, 313)))) == pytest.approx(np.log(313), rel=1e-6)
    sure = np.full((1, 1, 1, 313), -20.0)
    sure[..., bins.nearest(np.zeros(2))] = 0
    aside = 4 * np.exp(-2) / (1 + 4 * np.exp(-2))
    assert number(loss(grey, sure)) == pytest.approx(20 * aside, rel=1e-4)


def test_sizes_that_do_not_fit_are_refused(drawn):
    with pytest.raises(ValueError, match="whole multiple.*Received.*multiple of 4"):
        losses.BinCrossEntropy(SCALE, OFFSET)(drawn[0], np.zeros((2, 3, 3, 313)))


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: losses.RebalancedMeanSquaredError(weights, SCALE, OFFSET),
        lambda weights: losses.BinCrossEntropy(SCALE, OFFSET, weights),
    ],
)
def test_weights_are_one_for_each_bin(make):
    with pytest.raises(ValueError, match="313 bins.*Received: shape"):
        make(np.ones(312))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cross_entropy_survives_large_logits_of_any_float(drawn, dtype):
    logits = np.zeros((2, 2, 2, 313))
    logits[..., 5] = 1e4  # a power of e that no float holds; exact in bfloat16 but for 0.2 %
    loss = losses.BinCrossEntropy(SCALE, OFFSET)(drawn[0], ops.convert_to_tensor(logits, dtype))
    assert "float32" in str(loss.dtype)
    assert number(loss) == pytest.approx(1e4, rel=5e-3)


def gradient(loss, true, predicted):
    """The gradient with respect to the prediction, by one step of gradient descent of rate 1."""
    model = keras.Sequential([keras.Input((1,)), Held(predicted.shape[1:])])
    model.layers[0].value.assign(predicted[0])
    model.compile(keras.optimizers.SGD(1.0), loss, jit_compile=False)
    model.train_on_batch(np.ones((1, 1)), true[:1])
    return predicted[0] - ops.convert_to_numpy(model.layers[0].value)


class Held(keras.layers.Layer):
    """A layer whose output is its weight."""

    def __init__(self, shape):
        super().__init__()
        self.value = self.add_weight(shape=shape, initializer="zeros")

    def call(self, x):
        return self.value[None] * x[:1, :, None, None]

    def compute_output_shape(self, shape):
        return (1, *self.value.shape)


def test_the_gradient_of_the_rebalanced_error(drawn):
    true, predicted, weights = drawn
    nearest = squared_distances(true[0]).argmin(-1)
    expected = weights[nearest][..., None] * (predicted - true)[0] * 2 / predicted[0].size
    ours = gradient(losses.RebalancedMeanSquaredError(weights, SCALE, OFFSET), true, predicted)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_gradient_of_the_cross_entropy(drawn):
    """At equal logits: weight * (1/313 - share) of a place, over the number of places."""
    true, _, weights = drawn
    ours = gradient(
        losses.BinCrossEntropy(SCALE, OFFSET, weights), true, np.zeros((1, 4, 4, 313), np.float32)
    )
    mean = true[0].reshape(4, 2, 4, 2, 2).mean((1, 3))
    squared = squared_distances(mean)
    shares = np.exp(-squared / 50) * (squared <= np.sort(squared, -1)[..., 4:5])
    shares /= shares.sum(-1, keepdims=True)
    expected = weights[squared.argmin(-1)][..., None] * (1 / 313 - shares) / 16
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.RebalancedMeanSquaredError(np.linspace(0.5, 2, 313), SCALE, OFFSET, name="r"),
        losses.BinCrossEntropy(SCALE, OFFSET, np.linspace(0.5, 2, 313)),
        losses.BinCrossEntropy(SCALE, OFFSET),
    ],
)
def test_a_loss_comes_back_from_its_config(drawn, loss):
    true, predicted, _ = drawn
    if isinstance(loss, losses.BinCrossEntropy):
        predicted = np.random.default_rng(2).normal(size=(2, 2, 2, 313)).astype(np.float32)
    copy = type(loss).from_config(loss.get_config())
    assert copy.get_config() == loss.get_config()
    assert number(copy(true, predicted)) == number(loss(true, predicted))
