"""The 313 bins: the paper's grid, exact look-ups, hand-worked weights, and heads on networks."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

import koala
from common.color import bins, lab
from common.networks import h5
from common.networks.interface import ab_of, classifies, predict
from common.networks.precision import in_precision
from tests import drawn

CENTRES = bins.CENTRES.astype(np.float64)


def distances(ab):
    """Squared distances to every bin, by the definition: (n, 2) -> (n, 313) float64."""
    return np.square(ab[:, None].astype(np.float64) - CENTRES).sum(-1)


def index(a, b):
    """Where a bin stands."""
    (place,) = np.flatnonzero(((a, b) == CENTRES).all(-1))
    return place


@pytest.fixture(scope="module")
def colours():
    """Colours in and far beyond the gamut, a third of them halfway between bins: (n, 2)."""
    ab = np.random.default_rng(0).uniform(-170, 170, (9000, 2))
    ab[::3] = np.round(ab[::3] / 5) * 5
    return ab.astype(np.float32)


def test_the_bins_are_the_papers():
    assert bins.CENTRES.shape == (313, 2) and bins.CENTRES.dtype == np.float32
    a, count = np.unique(CENTRES[:, 0], return_counts=True)
    assert a.tolist() == list(range(-90, 101, 10))
    assert count.tolist() == [
        5,
        8,
        10,
        12,
        14,
        15,
        16,
        16,
        17,
        18,
        18,
        18,
        19,
        20,
        19,
        20,
        20,
        19,
        19,
        10,
    ]
    assert CENTRES[[0, 4, 5, 312]].tolist() == [[-90, 50], [-90, 90], [-80, 20], [100, 0]]
    assert index(0, 0) == 5 + 8 + 10 + 12 + 14 + 15 + 16 + 16 + 17 + 7  # grey
    assert CENTRES[:, 1].min() == -110 and CENTRES[:, 1].max() == 100
    order = CENTRES @ (1000, 1)
    assert (np.diff(order) > 0).all(), "by rising a*, then b*"


def test_nearest_by_hand():
    ab = [[0, 0], [4.9, -4.9], [5, 5], [-5, -5], [-200, 300], [500, -500], [99, 40], [100, 45]]
    centres = [[0, 0], [0, 0], [10, 10], [0, 0], [-90, 90], [90, -110], [90, 40], [90, 50]]
    nearest = bins.nearest(np.array(ab).reshape(2, 4, 2))
    assert nearest.shape == (2, 4) and nearest.dtype == np.int32
    assert CENTRES[nearest.ravel()].tolist() == centres


def test_nearest_is_exact_everywhere_and_ties_go_up(colours):
    by_hand = 312 - distances(colours)[:, ::-1].argmin(-1)
    np.testing.assert_array_equal(bins.nearest(colours), by_hand)


def test_the_cells_are_exact_for_every_colour_of_srgb():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    ab = lab.rgb_to_lab(rgb)[..., 1:].reshape(-1, 2)
    cells = ops.convert_to_numpy(bins.cells(ops.convert_to_tensor(ab)))
    of_cells = bins.nearest_of_cells()
    assert of_cells.shape == (52 * 52,)
    np.testing.assert_array_equal(of_cells[cells], distances(ab).argmin(-1))
    far = ops.convert_to_numpy(bins.cells(ops.convert_to_tensor([[-1e9, 1e9], [1e9, -131.0]])))
    assert far.tolist() == [51, 51 * 52]


def encode(ab, **options):
    return tuple(
        map(ops.convert_to_numpy, bins.encode(ops.convert_to_tensor(ab, "float32"), **options))
    )


def test_encode_by_hand():
    """On a bin, its four neighbours are 10 away: exp(-100 / 50) each before normalisation."""
    indices, weights = encode([[0.0, 0.0]])
    assert indices[0, 0] == index(0, 0)
    assert set(indices[0, 1:]) == {index(*ab) for ab in ((0, 10), (0, -10), (10, 0), (-10, 0))}
    e = np.exp(-2.0)
    np.testing.assert_allclose(weights[0], np.array([1, e, e, e, e]) / (1 + 4 * e), rtol=1e-6)


@pytest.mark.parametrize("neighbours", [2, 5, 10])
def test_encode_is_exact(colours, neighbours):
    ab = colours[np.abs(colours).max(-1) <= 130]
    indices, weights = encode(ab.reshape(1, -1, 1, 2), neighbours=neighbours, sigma=7.0)
    assert indices.shape == weights.shape == (1, len(ab), 1, neighbours)
    assert indices.dtype == np.int32 and weights.dtype == np.float32
    indices, weights = indices[0, :, 0], weights[0, :, 0]
    squared = distances(ab)
    chosen = np.take_along_axis(squared, indices, -1)
    expected = np.sort(squared, -1)[:, :neighbours]
    np.testing.assert_allclose(chosen, expected, rtol=1e-5)  # float32; ties in any order
    assert all(len(set(row)) == neighbours for row in indices)
    np.testing.assert_array_equal(indices[:, 0][::7], bins.nearest(ab)[::7])
    gaussian = np.exp(-(expected - expected[:, :1]) / (2 * 7.0**2))
    np.testing.assert_allclose(weights, gaussian / gaussian.sum(-1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_rarity_without_smoothing_by_hand():
    """Half of all pixels are grey, a quarter red: 1 / (p/2 + 1/626), of mean 1 under p."""
    prior = np.zeros(313)
    prior[index(0, 0)], prior[index(80, 70)], prior[index(-90, 50)] = 0.5, 0.25, 0.25
    weights = bins.rarity(prior, sigma=1e-3)
    assert weights.shape == (313,) and weights.dtype == np.float32
    grey, red, never = 1 / (0.25 + 1 / 626), 1 / (0.125 + 1 / 626), 626
    mean = 0.5 * grey + 0.5 * red
    np.testing.assert_allclose(
        weights[[index(0, 0), index(80, 70), 0, 312]],
        np.array([grey, red, red, never]) / mean,
        rtol=1e-5,
    )


def test_balance_is_the_inverse_of_the_smoothed_prior_where_there_is_one():
    prior = np.zeros(313)
    prior[index(0, 0)], prior[index(10, 0)], prior[index(-90, 50)] = 0.5, 0.25, 0.25
    weights = bins.balance(prior, sigma=1e-3)
    assert weights.dtype == np.float32 and np.count_nonzero(weights) == 3
    # 1 / 0.5, 1 / 0.25 and 1 / 0.25 have the mean 3 under the prior
    np.testing.assert_allclose(weights[[index(0, 0), index(10, 0)]], [2 / 3, 4 / 3], rtol=1e-6)
    smooth = bins.balance(prior)
    assert 1 < smooth[index(10, 0)] / smooth[index(0, 0)] < 2, "neighbours share"
    assert prior @ smooth == pytest.approx(1, rel=1e-6)
    lone = np.zeros(313)
    lone[0] = 1  # bins from which nothing of it arrives, even in float64, do no harm
    assert bins.balance(lone)[0] == 1 and np.isfinite(bins.balance(lone)).all()


def test_rarity_smooths_over_ab():
    """All is one grey bin. Its share goes about in a grid of 10, e^-2 to each side of 1."""
    prior = np.zeros(313)
    prior[index(0, 0)] = 1.0
    side = np.exp(-0.5 * (np.arange(-3, 4) * 10 / 5) ** 2)
    smoothed = np.full(313, 0.0)
    for i, a in enumerate(range(-30, 31, 10)):
        for j, b in enumerate(range(-30, 31, 10)):
            smoothed[index(a, b)] = side[i] * side[j] / side.sum() ** 2
    weights = 1 / (0.5 * smoothed + 0.5 / 313)
    np.testing.assert_allclose(
        bins.rarity(prior), weights / (smoothed @ weights), rtol=1e-5
    )  # cut at 3 bins
    assert bins.rarity(prior, lam=1.0) == pytest.approx(np.ones(313))


def annealed(shape=(None, None), **options):
    logits = keras.Input((*shape, 313))
    return keras.Model(logits, bins.annealed_mean(logits, **options))


def test_annealed_mean_by_hand():
    """Two bins whose logits differ by T ln 3: shares of 3/4 and 1/4, whatever T is."""
    for temperature in (0.38, 1.0):
        logits = np.full((1, 2, 3, 313), -1e4, np.float32)
        logits[..., index(0, 0)] = 0
        logits[..., index(40, -20)] = temperature * np.log(3)
        ab = annealed(factor=1, temperature=temperature).predict_on_batch(logits)
        np.testing.assert_allclose(ab, np.broadcast_to([30, -15], (1, 2, 3, 2)), rtol=1e-5)
    default = annealed(factor=1).predict_on_batch(logits)  # of the logits for T = 1
    share = 3 ** (1 / 0.38) / (1 + 3 ** (1 / 0.38))
    np.testing.assert_allclose(default[0, 0, 0], [40 * share, -20 * share], rtol=1e-5)


def test_annealed_mean_upsamples_between_positions():
    logits = np.full((1, 1, 2, 313), -1e4, np.float32)
    logits[0, 0, 0, index(0, 0)] = logits[0, 0, 1, index(80, 40)] = 0
    model = annealed()
    ab = model.predict_on_batch(logits)
    assert ab.shape == (1, 4, 8, 2) and ab.dtype == np.float32
    np.testing.assert_allclose(ab[0, 2, :, 0], [0, 0, 10, 30, 50, 70, 80, 80], atol=1e-4)
    assert [layer.name for layer in model.layers[1:]] == [
        "ab_temperature",
        "ab_softmax",
        "ab_mean",
        "ab",
    ]
    assert not model.trainable_weights and model.count_params() == 626
    policies = {layer.dtype_policy.name for layer in model.layers[1:]}
    assert policies == {"float32"}


def test_annealed_mean_is_saved_in_built_in_layers_alone(tmp_path):
    logits = np.random.default_rng(0).normal(0, 3, (1, 4, 4, 313)).astype(np.float32)
    model = annealed((4, 4))
    model.save(tmp_path / "m.h5")
    loaded = keras.models.load_model(tmp_path / "m.h5", compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
    np.testing.assert_allclose(
        loaded.predict_on_batch(logits), model.predict_on_batch(logits), atol=1e-4
    )


# --- heads ------------------------------------------------------------------------------------


def start(size, strides=2):
    l = keras.Input((size, size, 1), name="l")
    x = layers.Conv2D(
        8,
        3,
        strides,
        "same",
        use_bias=False,
        name="conv",
        kernel_regularizer=keras.regularizers.L2(1e-3),
    )(l)
    x = layers.BatchNormalization(name="norm")(x)
    return l, layers.ReLU(name="relu")(x)


def transposed(size):
    l, x = start(size)
    x = layers.Conv2DTranspose(2, 3, 2, "same", activation="tanh", name="last")(x)
    return keras.Model({"l": l}, x, name="transposed")


def full(size):
    l, x = start(size, 1)
    return keras.Model({"l": l}, layers.Conv2D(2, 1, name="last")(x), name="full")


def small(size):
    l, x = start(size, 8)
    x = layers.Conv2D(2, 1, name="last")(x)
    x = layers.UpSampling2D(8, name="up")(x)
    return keras.Model({"l": l}, x, name="small")


def quarter(size):
    l, x = start(size, 4)
    x = layers.UpSampling2D(4, name="up")(layers.Conv2D(2, 1, name="last")(x))
    return keras.Model({"l": l}, x, name="quarter")


def apart(size):
    l, x = start(size)
    a, b = (layers.Conv2DTranspose(1, 3, 2, "same", name=name)(x) for name in "ab")
    return keras.Model({"l": l}, layers.Concatenate(name="last")([a, b]), name="apart")


def labelled(size):
    l, x = start(size)
    label = layers.Dense(3, name="label")(layers.GlobalAveragePooling2D(name="pool")(x))
    x = layers.UpSampling2D(2, name="up")(layers.Conv2D(2, 1, name="last")(x))
    return keras.Model({"l": l}, {"ab": x, "label": label}, name="labelled")


@pytest.mark.parametrize("size", [16, None])
@pytest.mark.parametrize(
    ("build", "between"),
    [
        (transposed, "ab_bins_pool"),
        (full, "ab_bins_pool"),
        (small, "ab_bins_up"),
        (quarter, None),
        (apart, "ab_bins_pool"),
        (labelled, "ab_bins_pool"),
    ],
)
def test_a_head_takes_the_place_of_the_last_layer(build, between, size):
    network = build(size)
    headed = bins.with_head(network)
    names = {layer.name for layer in headed.layers}
    dropped = {"transposed": {"last"}, "apart": {"last", "a", "b"}, "full": {"last"}}
    gone = dropped.get(network.name, {"last", "up"})
    new = {"ab_bins", between, "ab" if isinstance(network.output, dict) else None} - {None}
    assert names == {layer.name for layer in network.layers} - gone | new
    assert headed.name == network.name and headed.input.keys() == {"l"}
    assert classifies(headed)
    assert ab_of(headed.output).shape == (None, size and 4, size and 4, 313)

    # The features are the network's, averaged or repeated to 4 x 4, before one 1 x 1 convolution.
    l = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    features = keras.Model(network.input, network.get_layer("relu").output)({"l": l})
    features = ops.convert_to_numpy(features)
    n = features.shape[1]
    if n < 4:
        features = features.repeat(4 // n, 1).repeat(4 // n, 2)
    features = features.reshape(2, 4, max(n // 4, 1), 4, max(n // 4, 1), 8).mean((2, 4))
    kernel, bias = headed.get_layer("ab_bins").get_weights()
    assert kernel.shape == (1, 1, 8, 313)
    outputs = headed({"l": l})
    np.testing.assert_allclose(ab_of(outputs), features @ kernel[0, 0] + bias, atol=1e-5)
    if build is labelled:
        np.testing.assert_array_equal(outputs["label"], network({"l": l})["label"])
    assert len(headed.losses) == 1, "the kept layer's regulariser"


def test_a_network_with_a_head_is_rebuilt_decoded_and_shares_what_it_kept():
    network = labelled(None)
    headed = bins.with_head(network)
    assert headed.get_layer("conv") is network.get_layer("conv")
    wrapped = h5.wrap(in_precision(headed, "mixed_bfloat16"), drawn.Config())
    ab = predict(wrapped, {"l": np.full((1, 16, 24, 1), 50, np.float32)})
    assert ab.shape == (1, 16, 24, 2)


def test_a_head_on_koala():
    config = dataclasses.replace(koala.CONFIGS["lee2021"], image_size=32)
    network = koala.build_model(config)
    headed = bins.with_head(network)
    assert headed.output_shape == (None, 8, 8, 313)
    # without the last convolution's 290, with 16 * 313 + 313 of the head
    assert headed.count_params() == 6_541_202 - 290 + 5_321
    assert {tensor.name for tensor in headed.inputs} == {"l", "embedding"}
    assert headed.get_layer("ab_bins_pool").pool_size == (2, 2)


def classifier(l, x):
    return bins.annealed_mean(layers.Conv2D(313, 1, name="last")(x))


def normalised(l, x):
    return layers.BatchNormalization(name="behind")(layers.Conv2D(2, 1, name="last")(x))


def of_two_features(l, x):
    a, b = layers.Conv2D(1, 1, name="a")(x), layers.Conv2D(1, 1, name="b")(layers.ReLU()(x))
    return layers.Concatenate()([a, b])


def beside_the_input(l, x):
    return layers.Add()([layers.Conv2D(2, 1, name="last")(x), l])


def four_channels(l, x):
    return layers.Average()([layers.Conv2D(2, 1, name=name)(x) for name in ("one", "two")])


@pytest.mark.parametrize(
    "make", [classifier, normalised, of_two_features, beside_the_input, four_channels]
)
def test_networks_of_another_form_are_refused(make):
    l, x = start(16, 1)
    with pytest.raises(ValueError, match="from one trainable convolution.*Received: ab from"):
        bins.with_head(keras.Model({"l": l}, make(l, x)))


@pytest.mark.parametrize("size", [24, None])
def test_strides_that_miss_a_quarter_are_refused(size):
    l, x = start(size, 3)
    ab = layers.UpSampling2D(3)(layers.Conv2D(2, 1, name="last")(x))
    with pytest.raises(ValueError, match="Received: .* Change the strides"):
        bins.with_head(keras.Model({"l": l}, ab))
