"""The VGG autoencoder: the report's table to the letter, its comparison, and that it learns."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

import vgg_autoencoder
from common import cli, datasets, training
from common.color import lab
from common.evaluation import rows
from common.networks import frozen, h5
from common.networks.precision import choose_jit, in_precision
from tests import drawn, learning, stopping
from vgg_autoencoder import train
from vgg_autoencoder.experiments import regularisation

ROOT = Path(__file__).parents[2]

# The report's table, in its order: layer, output shape, parameters.
VGG16 = [
    ("block1_conv1", (224, 224, 64), 1_792),  # 3*3*3*64 + 64
    ("block1_conv2", (224, 224, 64), 36_928),
    ("block1_pool", (112, 112, 64), 0),
    ("block2_conv1", (112, 112, 128), 73_856),
    ("block2_conv2", (112, 112, 128), 147_584),
    ("block2_pool", (56, 56, 128), 0),
    ("block3_conv1", (56, 56, 256), 295_168),
    ("block3_conv2", (56, 56, 256), 590_080),
    ("block3_conv3", (56, 56, 256), 590_080),
    ("block3_pool", (28, 28, 256), 0),
    ("block4_conv1", (28, 28, 512), 1_180_160),
    ("block4_conv2", (28, 28, 512), 2_359_808),
    ("block4_conv3", (28, 28, 512), 2_359_808),
    ("block4_pool", (14, 14, 512), 0),
    ("block5_conv1", (14, 14, 512), 2_359_808),
    ("block5_conv2", (14, 14, 512), 2_359_808),
    ("block5_conv3", (14, 14, 512), 2_359_808),
    ("block5_pool", (7, 7, 512), 0),
]

# The decoder is ours: layer, output shape, parameters.
DECODER = [
    ("decoder_deconv1", (14, 14, 256), 2_097_408),  # 4*4*512*256 + 256
    ("decoder_deconv2", (28, 28, 256), 1_048_832),  # 4*4*256*256 + 256
    ("residual2_conv", (28, 28, 256), 131_328),  # 512*256 + 256
    ("residual2_add", (28, 28, 256), 0),
    ("decoder_deconv3", (56, 56, 128), 524_416),  # 4*4*256*128 + 128
    ("residual3_conv", (56, 56, 128), 32_896),  # 256*128 + 128
    ("residual3_add", (56, 56, 128), 0),
    ("decoder_deconv4", (112, 112, 64), 131_136),  # 4*4*128*64 + 64
    ("residual4_conv", (112, 112, 64), 8_256),  # 128*64 + 64
    ("residual4_add", (112, 112, 64), 0),
    ("decoder_deconv5", (224, 224, 32), 32_800),  # 4*4*64*32 + 32
    ("residual5_conv", (224, 224, 32), 2_080),  # 64*32 + 32
    ("residual5_add", (224, 224, 32), 0),
    ("a", (224, 224, 1), 289),  # 3*3*32 + 1
    ("b", (224, 224, 1), 289),
    ("ab", (224, 224, 2), 0),
]

GREY = 35 + 35 + 35 * 3 + 3  # a weight and a bias a knot, then three channels of them
ZAMAN = 14_714_688 + 4_009_730 + GREY

# Worked out by hand. MobileNetV2 without its top has 2,257,984; 4*4*1280*128+128,
# 4*4*128*128+128, 4*4*128*64+64, 4*4*64*64+64, 4*4*64*32+32, then what is added at 14, 28, 56 and
# 112: 576*128+128, 192*128+128, 144*64+64, 96*64+64, and a and b.
COUNTS = {
    "zaman2020": ZAMAN,
    "zaman2020_unregularised": ZAMAN,
    "zaman2020_literal": ZAMAN - GREY,
    "zaman2020_finetuned": ZAMAN,
    "mobilenet_v2": 2_257_984
    + GREY
    + 2_621_568
    + 262_272
    + 131_136
    + 65_600
    + 32_800
    + 73_856
    + 24_704
    + 9_280
    + 6_208
    + 289
    + 289,
}


@pytest.fixture(scope="module")
def networks():
    """Every config's network at full width."""
    return {
        name: vgg_autoencoder.build_model(config)
        for name, config in vgg_autoencoder.CONFIGS.items()
    }


def _narrow(name="zaman2020", **changes):
    """A config with an eighth of its decoder's width, at 32 x 32; the encoder is as it is."""
    config = vgg_autoencoder.CONFIGS[name]
    decoder = tuple(max(filters // 8, 8) for filters in config.decoder)
    return dataclasses.replace(config, **{"image_size": 32, "decoder": decoder, **changes})


def _drawn(config):
    """A network whose encoder has seeded random weights, the same wherever it is made."""
    network = vgg_autoencoder.build_model(config)
    train.load_encoder(network, config, "random")
    return network


def _batch(config, count=2):
    colours = lab.rgb_to_lab(np.stack([drawn.picture(i, config.image_size) for i in range(count)]))
    return {"l": colours[..., :1]}, colours[..., 1:] * config.ab_scale


# --- the network ------------------------------------------------------------------------------


def test_the_encoder_is_the_reports_table_to_the_letter(networks):
    encoder = networks["zaman2020"].get_layer("vgg16")
    rows = [layer for layer in encoder.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert [(layer.name, layer.output.shape[1:], layer.count_params()) for layer in rows] == VGG16
    assert encoder.count_params() == 14_714_688 and encoder.input_shape == (None, 224, 224, 3)


def test_the_decoder_layer_by_layer(networks):
    network = networks["zaman2020"]
    for name, shape, parameters in DECODER:
        layer = network.get_layer(name)
        assert layer.output.shape[1:] == shape, name
        assert layer.count_params() == parameters, name
    weighted = {layer.name for layer in network.layers if layer.weights}
    frozen = {"l_to_knots", "l_to_grey", "vgg16"}
    assert weighted == {name for name, _, count in DECODER if count} | frozen
    assert sum(v.shape.num_elements() for v in network.trainable_variables) == 4_009_730


def test_every_config_has_a_pinned_count(networks):
    assert vgg_autoencoder.CONFIGS.keys() == COUNTS.keys()
    for name, network in networks.items():
        assert network.count_params() == COUNTS[name], name
        assert network.output_shape == (None, 224, 224, 2), name


def test_the_default_config_comes_first_and_is_the_report():
    assert next(iter(vgg_autoencoder.CONFIGS)) == "zaman2020"
    config = vgg_autoencoder.CONFIGS["zaman2020"]
    assert (config.image_size, config.ab_scale, config.epochs) == (224, 1 / 128, 1500)
    assert config.l1 > 0 and config.l2 > 0 and config.unfreeze_after is None
    without = dataclasses.replace(config, l1=0.0, l2=0.0)
    assert vgg_autoencoder.CONFIGS["zaman2020_unregularised"] == without
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3


# --- the grey picture -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("zaman2020", keras.applications.vgg16.preprocess_input),
        ("mobilenet_v2", keras.applications.mobilenet_v2.preprocess_input),
    ],
)
def test_the_encoder_sees_the_grey_picture_it_was_trained_on(name, preprocess):
    network = vgg_autoencoder.build_model(_narrow(name))
    l = np.append(np.linspace(0, 100, 32 * 32 * 64 - 1), 100).astype(np.float32)
    seen = (
        keras.Model(network.input, network.get_layer("l_to_grey").output)
        .predict_on_batch({"l": l.reshape(-1, 32, 32, 1)})
        .reshape(-1, 3)
    )
    grey = 255 * lab.l_to_grey(l)[:, None].repeat(3, 1)
    level = 1 if name == "zaman2020" else 127.5  # how many grey values one of the network's is
    assert np.abs(level * (seen - preprocess(grey.copy()))).max() < 0.05
    assert np.abs(2.55 * l - grey[:, 0]).max() > 3  # what a straight line would do


def test_to_the_letter_the_encoder_sees_l_by_128_three_times():
    config = _narrow("zaman2020_literal")
    network = vgg_autoencoder.build_model(config)
    l = np.linspace(0, 100, 32 * 32, dtype=np.float32).reshape(1, 32, 32, 1)
    inside = keras.Model(network.input, network.get_layer("l_three_times").output)
    seen = inside.predict_on_batch({"l": l * config.l_scale + config.l_offset})
    assert seen == pytest.approx(np.repeat(l / 128, 3, -1), abs=1e-6)
    train.load_encoder(network, config, "random")
    network.get_layer("a").set_weights([np.full((3, 3, 1, config.decoder[-1]), 0.01), np.zeros(1)])
    theirs = network.predict_on_batch({"l": l / 128}) * 128
    assert 1 < np.ptp(theirs) < 256
    exported = h5.wrap(network, config)
    assert exported.predict_on_batch({"l": l}) == pytest.approx(theirs, rel=1e-4, abs=1e-3)


# --- what is frozen ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.bfloat16)]
)
@pytest.mark.parametrize("name", ["zaman2020", "mobilenet_v2"])
def test_training_moves_the_decoder_alone(name, policy):
    """Rebuilt under a policy, as training does: batch normalisation stays as it is, too."""
    config = _narrow(name, decoder=vgg_autoencoder.CONFIGS[name].decoder)  # so that none is dead
    network = in_precision(_drawn(config), policy)
    assert not network.get_layer(config.encoder).trainable
    assert network.get_layer("l_to_grey").compute_dtype == "float32"
    training.compile_model(vgg_autoencoder, network, config, 10)
    choose_jit(network)
    frozen = ("l_to_knots", "l_to_grey", config.encoder)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    for _ in range(2):  # the last layers begin at zero, so the rest learns from the second step on
        network.train_on_batch(*_batch(config))
    for layer in network.layers:
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True):
            assert (old == new).all() == (layer.name in frozen), layer.name


def test_the_decoder_trains_from_the_frozen_encoders_maps():
    """As stored, in float16, they give the network's own ab; 0.5 MB a photo at 64 x 64, by hand."""
    config = _narrow(image_size=64)
    network = _drawn(config)
    for name in "ab":  # which begin at zero
        kernel = network.get_layer(name).kernel
        kernel.assign(np.random.default_rng(0).normal(0, 0.05, kernel.shape))
    assert frozen.frozen_among(network, train.PRETRAINED) == ["vgg16"]
    first, rest = frozen.cut(network, ["vgg16"])
    extractor = frozen.Frozen(first, config, {"vgg16": {}})
    inputs, ab = _batch(config)
    rows = extractor(inputs["l"])
    values = 64 * 64 * 64 + 32 * 32 * 128 + 16 * 16 * 256 + 8 * 8 * 512 + 2 * 2 * 512
    assert rows.shape == (2, values) and rows.dtype == np.float16
    predicted = rest.predict_on_batch(inputs | extractor.unpack(rows))
    assert predicted == pytest.approx(network.predict_on_batch(inputs), abs=2e-3)
    assert np.abs(predicted).max() > 0.1
    assert rest.count_params() == network.count_params() - 14_714_688 - GREY
    assert len(rest.losses) == len(network.losses) == 11


def test_penalties_are_part_of_the_loss(networks):
    """1e-7 * |w| + 1e-6 * w² of every weight of the decoder's kernels, and of no bias."""
    network = networks["zaman2020"]
    kernels = [network.get_layer(name).get_weights()[0] for name, _, count in DECODER if count]
    assert sum(kernel.size for kernel in kernels) == 4_009_730 - 1_218  # less the biases
    expected = sum(
        1e-7 * np.abs(kernel, dtype=np.float64).sum() + 1e-6 * np.square(kernel, dtype="f8").sum()
        for kernel in kernels
    )
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-4)  # sums in float32
    assert networks["zaman2020_unregularised"].losses == []


def test_the_loss_is_the_error_and_the_penalties():
    config = _narrow()
    network = vgg_autoencoder.build_model(config)
    training.compile_model(vgg_autoencoder, network, config, 10)
    penalties = float(sum(network.losses))
    results = network.test_on_batch(*_batch(config), return_dict=True)
    assert results["loss"] == pytest.approx(results["mse"] + penalties, rel=1e-5)
    assert 0 < results["accuracy"] < 1 and penalties > 0
    # A network that has not learned gives grey.
    assert results["mse"] == pytest.approx(np.mean(_batch(config)[1] ** 2), rel=1e-4)


def _drawn_report():
    return dataclasses.replace(training.Report.of(vgg_autoencoder), build_model=_drawn)


# --- learning ---------------------------------------------------------------------------------


# The error after all steps, as a share of the mean colour's, with the seeds 0, 1 and 2, on AVX2 in
# float32:
# zaman2020: 0.062, 0.049, 0.067. mobilenet_v2: 0.126, 0.083, 0.089.
# The other configs are `zaman2020` with no penalties, and with a later phase of training.
STEPS = {"zaman2020": 100, "mobilenet_v2": 200}


@pytest.mark.parametrize("name", STEPS)
def test_it_learns(name, seed=0):
    config = _narrow(name, learning_rate=3e-3)  # so few steps need ten times the rate
    share = learning.share_of_mean_colour(
        _drawn_report(), config, STEPS[name], enough=0.5, seed=seed
    )
    assert share < 0.5


@pytest.mark.slow
def test_a_run_stopped_after_unfreezing_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn.folder("photos", 12, 40)
    config = _narrow(
        "mobilenet_v2", decoder=(8,) * 5, steps=2, epochs=3, unfreeze_after=1, batch_size=2
    )
    whole = stopping.assert_goes_on_to_the_same_bits(
        vgg_autoencoder,
        config,
        "photos",
        before=3,  # in the second epoch, when the encoder trains
        after=1,
        weights={"MOBILENET_V2_WEIGHTS": "random"},
    )
    identity = json.loads(Path("runs/whole/config.json").read_text())
    assert identity["pretrained"]["mobilenet_v2"]["weights"] == "random"
    # The checkpoint's first arrays are the network's variables, in their order.
    start = _drawn(config)
    encoder = {id(variable) for variable in start.get_layer("mobilenet_v2").variables}
    moved = [
        (keras.ops.convert_to_numpy(variable) != whole[f"{number:05d}"]).any()
        for number, variable in enumerate(start.variables)
        if id(variable) in encoder
    ]
    assert len(moved) == len(encoder) and any(moved)


# --- the export -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zaman2020", "mobilenet_v2"])
def test_the_export_loads_bare_and_is_the_network_in_lab_units(tmp_path, name):
    """In another process, in another folder, with nothing of ours to import."""
    config = _narrow(name)
    network = _drawn(config)
    for layer in ("a", "b"):  # drawn, since they begin at zero
        kernel = network.get_layer(layer).kernel
        kernel.assign(np.random.default_rng(0).normal(0, 0.05, kernel.shape))
    h5.export(h5.wrap(network, config), tmp_path / "model.h5", {})
    inputs, _ = _batch(config)
    np.save(tmp_path / "l.npy", inputs["l"])
    script = """
import keras, numpy as np
try:
    import vgg_autoencoder
except ImportError:
    model = keras.models.load_model("model.h5", compile=False)
    np.save("ab.npy", model.predict_on_batch({"l": np.load("l.npy")}))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ab = np.load(tmp_path / "ab.npy")
    assert ab.std() > 0.1
    assert ab == pytest.approx(128 * network.predict_on_batch(inputs), abs=1e-3)  # float32


# --- the comparison ---------------------------------------------------------------------------


def _evaluation(without, with_):
    """(an evaluation of two models over two pictures, the models' rows by side).

    without, with_: (colourfulness, error, accuracy) of every picture.
    """
    keys = ("colourfulness", "mse_ab", "argmax_ab", "psnr_rgb")

    def row(name, *figures):
        columns = dict(zip(keys, (*figures, 20.0), strict=True))
        metadata = {"pretrained": {"vgg16": {"weights": "random"}}}
        return rows.Row(
            name,
            rows.MODEL,
            rows.ModelFile(name, "", None, None, 224, "squash", None, None, metadata, 0),
            {key: [value, value] for key, value in columns.items()},
            {},
            {key: rows.Summary(value, 2) for key, value in columns.items()},
        )

    sides = {
        side: row(side, *figures)
        for side, figures in zip(regularisation.SIDES, (without, with_), strict=True)
    }
    evaluation = rows.Evaluation(
        created="",
        data=rows.Data("drawn", "test", 2, 2, "", "", 224, "squash", []),
        protocol=rows.Protocol({}, "float32", 2, None, {}),
        versions={},
        commit=None,
        rows=(row(rows.GREY, 0, 300, 0.5), row(rows.MEAN_COLOUR, 8, 270, 0.7), *sides.values()),
        pairs=(),
        against=None,
        truth=rows.Truth({"colourfulness": rows.Summary(44.1, 2)}, {}, {}),
        pictures=(),
        failed=(),
        notes=(),
    )
    return evaluation, sides


@pytest.mark.parametrize(
    ("with_", "words", "answer"),
    [
        (
            (20, 240, 0.75),
            "the colours are more vibrant (Colourfulness 20.00 against 15.00, higher on "
            "2 of 2 pictures), closer to the truth",
            "better accuracy holds in",
        ),
        ((12, 240, 0.75), "less vibrant", "holds in part"),
        ((12, 260, 0.65), "further from the truth", "does not hold"),
        ((15, 250, 0.7), "not more vibrant", "does not hold"),
    ],
)
def test_the_verdict_is_made_from_the_numbers(with_, words, answer):
    verdict = regularisation.verdict(*_evaluation((15, 250, 0.7), with_))
    assert words in verdict and answer in verdict and "44.10" in verdict


def test_the_comparison_has_both_sides_the_baselines_and_the_truth(tmp_path):
    history = {
        key: [0.5, 0.25]
        for key in ("epoch", "loss", "val_loss", "accuracy", "val_accuracy", "mse", "val_mse_ab")
    }
    histories = dict.fromkeys(regularisation.SIDES, history)
    text = regularisation.comparison(*_evaluation((15, 250, 0.7), (20, 240, 0.75)), histories)
    for line in (
        "| grey | 300.0 | 0.500 |",
        "| mean colour | 270.0 |",
        "| without penalties | 250",
        "| with penalties | 240.0 | 0.750 | 20.00 | 20.00 |",
        "| true |  |  |  | 44.10 |",
        "| val_loss | 0.25000 | 0.25000 |",
        "random weights",
    ):
        assert line in text, line
    regularisation.draw_curves(tmp_path / "curves.png", histories, 1 / 128)
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 0


def test_the_grid_shows_unseen_pictures_with_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = datasets.prepare(drawn.folder("photos", 30, 40), 32, "squash")
    models_ = {name: drawn.exported(tmp_path / f"{name}.h5") for name in ("one", "two")}
    regularisation.draw_grid(tmp_path / "grid.png", dataset, models_)
    grid = cv2.imread(str(tmp_path / "grid.png"))
    rows = min(dataset.count("test"), regularisation.SHOWN)
    assert rows and grid.shape == (regularisation.HEADER + 32 * rows, 32 * 4, 3)
    picture = dataset.read("test", [0])["rgb"][0][..., ::-1]
    assert (grid[regularisation.HEADER : regularisation.HEADER + 32, 96:] == picture).all()
    assert grid[: regularisation.HEADER].min() < 100  # ink


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=mobilenet_v2", "zaman2020 and zaman2020_unregularised are compared"),
        ("--run=mine", "each config's run has a name of its own"),
    ],
)
def test_both_sides_of_the_comparison_are_given(capsys, flag, message):
    assert cli.run(regularisation.main, [flag]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_comparison_by_its_command(tmp_path):
    drawn.folder(tmp_path / "photos", 24, 60)
    command = [
        sys.executable,
        "-m",
        "vgg_autoencoder.experiments.regularisation",
        "--data=photos",
        "--steps=1",
        "--epochs=1",
        "--batch=1",
        "--vgg16-weights=random",
        "--precision=float32",
        "--size=64",
    ]
    for _ in range(2):  # the second time the runs are finished, and taken as they are
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
    assert "is finished" in done.stdout
    out = tmp_path / "reports" / "compare" / "vgg_autoencoder"
    assert (out / "comparison.md").read_text() in done.stdout
    for name in ("curves.png", "grid.png", "index.html", "metrics.json"):
        assert (out / name).stat().st_size > 1000, name
    assert {path.stem for path in (tmp_path / "models").iterdir()} == {
        "vgg_autoencoder",
        "vgg_autoencoder-zaman2020_unregularised",
    }
