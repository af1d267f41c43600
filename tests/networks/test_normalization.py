"""The fused layer is Keras's to rounding, and gets into networks and out of them unseen."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from common.networks import normalization
from common.networks.normalization import FusedBatchNormalization, exchange

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="elsewhere the fused layer is Keras's"
)
PRECISION = {"float32": 2**-23, "bfloat16": 2**-8}
POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def _batch(kind, rng):
    """(inputs, how many times the precision of the inputs' type float32 may be off)."""
    if kind == "plain":
        return rng.normal(1, 2, (4, 16, 16, 24)), 100
    if kind == "batch of one":
        return rng.normal(size=(1, 16, 16, 24)), 100
    if kind == "three channels":
        return rng.normal(size=(4, 16, 16, 3)), 100
    if kind == "one pixel":
        return rng.normal(size=(1, 1, 1, 24)), 100
    if kind == "two pixels":
        return rng.normal(size=(2, 1, 1, 24)), 100
    if kind == "constant channels":
        return rng.normal(size=(4, 16, 16, 24)) * ([0, 1] * 12) + 3, 1000
    return rng.normal(100, 0.1, (4, 16, 16, 24)), 10000  # a thousand times the deviation


KINDS = (
    "plain",
    "batch of one",
    "three channels",
    "one pixel",
    "two pixels",
    "constant channels",
    "far from zero",
)


def _layer(kind, channels, rng, **options):
    layer = kind(**options)
    layer.build((None, None, None, channels))
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    return layer


def _step(layer, inputs, upstream, training=True):
    """Outputs, weights after the step and gradients, as float64."""

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        variables = [variable.value for variable in layer.trainable_variables]
        return outputs, tape.gradient(outputs, [inputs, *variables], upstream)

    outputs, gradients = step()
    moving = layer.moving_mean, layer.moving_variance
    values = {"outputs": outputs, "mean": moving[0], "variance": moving[1], "inputs": gradients[0]}
    values |= dict(zip(("gamma", "beta"), gradients[1:], strict=False))
    return {
        name: np.asarray(keras.ops.cast(value, "float32"), np.float64)
        for name, value in values.items()
    }


def _exactly(layer, inputs, upstream):
    """`_step` in training, worked out in float64."""
    gamma, beta, moving_mean, moving_variance = (np.float64(w) for w in layer.get_weights())
    x, g = (np.asarray(tf.cast(a, tf.float64)) for a in (inputs, upstream))
    axes, count = (0, 1, 2), x[..., 0].size
    mean, variance = x.mean(axes), x.var(axes)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    normal = (x - mean) * scale
    to_gamma, to_beta = (g * normal).sum(axes), g.sum(axes)
    kept = layer.momentum
    return {
        "outputs": normal * gamma + beta,
        "gamma": to_gamma,
        "beta": to_beta,
        "inputs": gamma * scale * (g - to_beta / count - normal * to_gamma / count),
        "mean": moving_mean * kept + mean * (1 - kept),
        "variance": moving_variance * kept + variance * (1 - kept),
    }


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.bfloat16)])
@pytest.mark.parametrize("kind", KINDS)
def test_training_agrees_with_float64(kind, dtype):
    rng = np.random.default_rng(0)
    inputs, allowed = _batch(kind, rng)
    inputs, upstream = (tf.cast(a, dtype) for a in (inputs, rng.normal(size=inputs.shape)))
    layer = _layer(
        FusedBatchNormalization, inputs.shape[-1], rng, dtype=POLICY[dtype], momentum=0.7
    )
    expected = _exactly(layer, inputs, upstream)
    for name, value in _step(layer, inputs, upstream).items():
        # Sums are taken in float32; only what has the inputs' type is rounded to it.
        rounding = PRECISION[dtype] if name in ("outputs", "inputs") else 0
        tolerance = (rounding + allowed * PRECISION["float32"]) * max(1, abs(expected[name]).max())
        if name == "gamma":  # a sum whose terms cancel
            tolerance *= np.sqrt(inputs.shape[0] * inputs.shape[1] * inputs.shape[2])
        assert value == pytest.approx(expected[name], rel=0, abs=tolerance), name


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.bfloat16)])
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-6}, {"trainable": False}]
)
@pytest.mark.parametrize("training", [True, False])
def test_every_mode_agrees_with_keras(options, training, dtype):
    values = []
    for kind in (layers.BatchNormalization, FusedBatchNormalization):
        rng = np.random.default_rng(0)
        layer = _layer(kind, 8, rng, dtype=POLICY[dtype], momentum=0.7, **options)
        inputs, upstream = (tf.cast(rng.normal(1, 2, (2, 6, 5, 8)), dtype) for _ in range(2))
        values.append(_step(layer, inputs, upstream, training))
    keras_s, ours = values
    assert ours.keys() == keras_s.keys()
    for name, value in ours.items():
        rounding = 4e-6 + (PRECISION[dtype] if name in ("outputs", "inputs") else 0)
        scale = abs(keras_s[name]).max()
        assert value == pytest.approx(keras_s[name], rel=0, abs=rounding * scale), name


@pytest.mark.parametrize(
    "shape, options",
    [
        ((4, 8), {}),
        ((2, 5, 5, 8), {"axis": 1}),
        ((2, 3, 5, 5, 8), {}),
        ((2, 5, 5, 8), {"dtype": "float64"}),
        ((2, 5, 5, 8), {"dtype": "bfloat16"}),
        pytest.param(
            (2, 5, 5, 8),
            {"renorm": True},
            marks=pytest.mark.skipif(
                "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
                reason="this version of Keras has no renorm",
            ),
        ),
    ],
)
def test_what_the_kernel_cannot_take_goes_keras_s_way(shape, options):
    inputs = np.random.default_rng(0).normal(size=shape)
    ours, keras_s = FusedBatchNormalization(**options), layers.BatchNormalization(**options)
    assert np.array_equal(
        *(
            np.asarray(keras.ops.cast(layer(inputs, training=True), "float32"))
            for layer in (ours, keras_s)
        )
    )


def test_a_mask_is_kept_to():
    inputs = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    mask = np.arange(32).reshape(2, 4, 4) % 2 == 0
    layer = FusedBatchNormalization(momentum=0)
    layer(inputs, training=True, mask=mask)
    assert np.asarray(layer.moving_mean) == pytest.approx(inputs[mask].mean(0), abs=1e-6)


def _network():
    """A network with a nested one, three normalisations in all."""
    l = keras.Input((8, 8, 1), name="l")
    x = layers.BatchNormalization(name="inner_normalization")(layers.Conv2D(4, 3, name="c")(l))
    encoder = keras.Model(l, x, name="encoder")
    l = keras.Input((8, 8, 1), name="l")
    x = layers.BatchNormalization(name="first", momentum=0.8)(encoder(l))
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2DTranspose(4, 3, name="up", dtype="mixed_bfloat16")(x)
    x = layers.BatchNormalization(name="second", center=False, dtype="mixed_bfloat16")(x)
    x = layers.Conv2D(2, 3, padding="same", name="ab", dtype="float32")(x)
    return keras.Model({"l": l}, x, name="network")


def _exchanged(model, fused):
    settings = model.get_config()
    exchange(settings, fused)
    copy = keras.Model.from_config(settings)
    copy.set_weights(model.get_weights())
    return copy


def _normalizations(model):
    return [
        layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)
    ]


@pytest.mark.bfloat16
def test_a_network_is_exchanged_and_back(tmp_path):
    network = _network()
    for weight in network.weights:
        weight.assign(np.random.default_rng(0).uniform(0.5, 1.5, weight.shape))
    ours = _exchanged(network, fused=True)
    again = _exchanged(ours, fused=False)
    assert {type(layer) for layer in _normalizations(network)} == {layers.BatchNormalization}
    assert {type(layer) for layer in _normalizations(ours)} == {FusedBatchNormalization}
    assert len(_normalizations(ours)) == 3
    for copy in (ours, again):
        assert [w.path for w in copy.weights] == [w.path for w in network.weights]
        assert [w.trainable for w in copy.weights] == [w.trainable for w in network.weights]
        for ours_s, theirs in zip(copy.get_weights(), network.get_weights(), strict=True):
            assert np.array_equal(ours_s, theirs)
    assert again.get_config() == network.get_config()

    again.save(tmp_path / "m.h5", include_optimizer=False)
    assert b"FusedBatchNormalization" not in (tmp_path / "m.h5").read_bytes()
    loaded = keras.models.load_model(tmp_path / "m.h5", compile=False)
    l = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    ab = np.asarray(network({"l": l}))
    assert np.array_equal(np.asarray(loaded({"l": l})), ab)
    # bfloat16 rounds in another order
    assert np.asarray(ours({"l": l})) == pytest.approx(ab, abs=0.02 * float(abs(ab).max()))


def _trained(steps, network=None):
    keras.utils.set_random_seed(1)
    network = network or _exchanged(_network(), fused=True)
    network.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError(), jit_compile=False)
    for step in steps:
        rng = np.random.default_rng(step)
        network.train_on_batch(
            {"l": rng.normal(size=(4, 8, 8, 1)).astype(np.float32)},
            rng.normal(size=(4, 8, 8, 2)).astype(np.float32),
        )
    return network


@pytest.mark.bfloat16
def test_two_runs_and_a_resumed_one_end_in_equal_weights():
    once = _trained(range(6)).get_weights()
    assert all(map(np.array_equal, once, _trained(range(6)).get_weights()))
    resumed = _exchanged(_exchanged(_trained(range(3)), fused=False), fused=True)
    assert all(map(np.array_equal, once, _trained(range(3, 6), resumed).get_weights()))


def test_it_pays_on_a_processor_alone(monkeypatch):
    assert normalization.fused_pays()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    assert not normalization.fused_pays()
