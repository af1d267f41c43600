"""Tricks that an .h5 can try, each refused before Keras reads it; and what must still load."""

import importlib
import json

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from common.cli import UserError
from common.commands import reports
from common.networks import h5, safety
from tests import drawn


@pytest.fixture
def path(tmp_path):
    return drawn.exported(tmp_path / "m.h5")


def change(path, edit):
    """Apply edit(layers of the nested network) to the configuration in the file."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (network,) = (
            layer for layer in config["config"]["layers"] if layer["class_name"] == "Functional"
        )
        edit(network["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)


def refused(path, message):
    with pytest.raises(UserError, match=message) as error:
        h5.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def put(**values):
    """An edit that sets arguments of the layer conv1."""
    return lambda network: network[1]["config"].update(values)


def become(name, **config):
    """An edit that makes another class of the layer conv1."""

    def edit(network):
        network[1]["class_name"] = name
        network[1]["config"] = {"name": "conv1", "dtype": "float32", **config}

    return edit


def part(name, module=None, config=None, **more):
    return {"class_name": name, "module": module, "config": config or {}, **more}


GET_FILE = {"origin": "file:///etc/hostname", "fname": "x"}
PARTS = {
    "a graph": (become("TFSMLayer", filepath="x"), "conv1 holds TFSMLayer, which runs code"),
    "a pickle": (become("TorchModuleWrapper", module="x"), "TorchModuleWrapper, which runs code"),
    "a file": (become("StringLookup", vocabulary="/etc/passwd"), "StringLookup, which can read"),
    "a lambda": (put(activation=part("__lambda__")), "conv1 holds __lambda__, which is Python"),
    "a download": (
        put(kernel_initializer=part("get_file", "keras.utils", GET_FILE)),
        "conv1 holds get_file of keras.utils, which is none",
    ),
    "a function": (
        put(kernel_initializer=part("function", "keras.utils", "get_file")),
        "conv1 holds function of keras.utils",
    ),
    "a function of another library": (
        put(activation=part("function", "os", "system")),
        "conv1 holds function of os",
    ),
    "a function by name": (put(activation="deserialize"), "conv1 holds activation deserialize"),
    "an initializer by name": (put(kernel_initializer="get"), "kernel_initializer get"),
    "a class of another library": (
        put(kernel_regularizer=part("L2", "os")),
        "conv1 holds L2 of os",
    ),
    "a layer where Keras has none": (
        put(kernel_constraint=part("Lambda", "keras.layers")),
        "conv1 holds Lambda of keras.layers, which is Python",
    ),
    "a registered class": (
        put(kernel_initializer=part("Zeros", "keras.initializers", registered_name="my>Zeros")),
        "conv1 holds Zeros registered as my>Zeros",
    ),
    "a class of one's own": (become("mine>Own"), "conv1 holds mine>Own, which is none"),
    "a class that is no text": (become(["Conv2D"]), "conv1 holds .*, which is none"),
    "a quantised layer": (put(dtype="int8_from_float32"), "conv1 holds dtype int8_from_float32"),
    "a hidden argument": (
        lambda network: network[1]["inbound_nodes"][0]["kwargs"].update(x=part("Lambda")),
        "conv1 holds Lambda",
    ),
    "an operation": (
        lambda network: network[1].update(class_name="Tanh", config={"name": "conv1"}),
        "conv1 holds Tanh, an operation of keras.ops",
    ),
    "an operation of Keras 2": (become("TFOpLambda", function="math.add"), "as Keras 2 stored it"),
    "a circle": (
        lambda network: network[1].update(inbound_nodes=network[-1]["inbound_nodes"]),
        "tiny holds layers that follow one another in a circle",
    ),
    "a name twice": (
        lambda network: network.append(network[1]),
        "tiny holds two layers of the same name",
    ),
    "many filters": (
        put(filters=10**9),
        r"\(3, 3, 1, 8\) as conv1/kernel, whose layer declares \(3, 3, 1, 1000000000\)",
    ),
    "a number of more than 32 bits": (
        put(strides=[2**31, 1]),
        "conv1 holds the number 2147483648, larger than 2,147,483,647",
    ),
    "a large kernel": (put(kernel_size=[10**5, 10**5]), "as conv1/kernel, whose layer declares"),
    "a large picture": (
        lambda network: network[2].update(
            class_name="UpSampling2D", config={"name": "grow", "dtype": "float32", "size": 10**6}
        ),
        "layer grow, whose output has 2,048,000,000,000,000 numbers",
    ),
    "a size that is none": (put(filters="many"), "cannot be loaded"),
}


@pytest.mark.parametrize("trick", PARTS)
def test_a_part_that_no_colorizer_needs_is_refused_by_name(path, trick):
    edit, message = PARTS[trick]
    change(path, edit)
    refused(path, message)


def test_what_a_network_was_compiled_with_and_built_for_is_left_out(path):
    def edit(network):
        network[1] |= {
            "module": "keras.layers",
            "registered_name": None,
            "build_config": {"input_shape": [None, 8, 8, 10**9]},
            "compile_config": {"optimizer": part("get_file", "keras.utils", GET_FILE)},
        }

    before = h5.load(path).get_weights()
    change(path, edit)
    for mine, theirs in zip(h5.load(path).get_weights(), before, strict=True):
        assert (mine == theirs).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"class_name": "Functional"}', "[" * 10_000, "\ud800"[:0] + "null"]
)
def test_a_damaged_configuration_is_one_line(path, text):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    refused(path, "cannot be loaded")


def test_a_subclassed_model_is_named(path):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = '{"class_name": "Mine", "config": {}}'
    refused(path, "a model of the class Mine")


KERNEL = "model_weights/tiny/conv1/kernel"


def _soft(file, folder):
    file[KERNEL] = h5py.SoftLink("/model_weights/tiny/conv1/bias")


def _external(file, folder):
    file[KERNEL] = h5py.ExternalLink("/etc/hostname", "/")


def _elsewhere(file, folder):
    (folder / "raw").write_bytes(bytes(288))
    file.create_dataset(KERNEL, (3, 3, 1, 8), "f4", external=[(str(folder / "raw"), 0, 288)])


def _virtual(file, folder):
    layout = h5py.VirtualLayout((3, 3, 1, 8), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (3, 3, 1, 8), "f4")
    file.create_virtual_dataset(KERNEL, layout)


def _objects(file, folder):
    file.create_dataset(KERNEL, (3, 3, 1, 8), h5py.string_dtype())


def _references(file, folder):
    file.create_dataset(KERNEL, (3, 3, 1, 8), h5py.ref_dtype)


def _compound(file, folder):
    file.create_dataset(KERNEL, (3, 3, 1, 8), [("a", "f4"), ("b", "f4")])


def _sparse(file, folder):
    file.create_dataset(KERNEL, (3, 3, 1, 10**9), "f4", chunks=(1, 1, 1, 1000))


def _packed(file, folder):
    file.create_dataset(KERNEL, data=np.zeros(10**7, "f4"), compression="gzip")


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (_soft, "kernel, a link to elsewhere|kernel, a link to"),
        (_external, "kernel, a link to /etc/hostname"),
        (_elsewhere, "kernel, whose data are in another file"),
        (_virtual, "kernel, whose data are in another file"),
        (_objects, "kernel, which is no array of numbers"),
        (_references, "kernel, which is no array of numbers"),
        (_compound, "kernel, which is no array of numbers"),
        (_sparse, "arrays of .* bytes, although it has"),
        (_packed, "arrays of .* bytes, although it has"),
    ],
)
def test_data_that_lead_out_of_the_file_or_are_not_in_it_are_refused(path, store, message):
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        (name,) = (name for name in names if name.endswith("conv1/kernel"))
        del file[name]
        store(file, path.parent)
        if name != KERNEL:
            file.move(KERNEL, name)
    refused(path, message)


def test_weights_named_many_times_are_not_read(path):
    with h5py.File(path, "r+") as file:
        group = file["model_weights/tiny"]
        group.attrs["weight_names"] = np.repeat(group.attrs["weight_names"][:1], 1000)
    refused(path, "its layers have 6 weights, and it stores 1000")


def test_weights_that_are_missing_are_one_line(path):
    with h5py.File(path, "r+") as file:
        del file["model_weights/tiny"]
    refused(path, "weights are missing")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"image_size": 1000000000}',
        '{"image_size": "large"}',
        '{"image_size": -1}',
        '{"embedding": {"network": 1}}',
    ],
)
def test_damaged_metadata_are_one_line(path, text):
    with h5py.File(path, "r+") as file:
        file.attrs[h5.ATTRIBUTE] = text
    with pytest.raises(UserError, match="metadata cannot be read"):
        h5.metadata(path)


def test_weights_files_are_held_to_the_same_rules(tmp_path):
    from common.networks import pretrained

    path = tmp_path / "tiny.weights.h5"
    drawn.build_model(drawn.Config()).save_weights(path)
    pretrained.read(path, [lambda: drawn.build_model(drawn.Config())], name="tiny", variable="X")
    with h5py.File(path, "r+") as file:
        file["more"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(UserError, match="more, a link to /etc/hostname.*weights of tiny. X is"):
        pretrained.read(path, [], name="tiny", variable="X")


def _of_every_kind(inputs):
    """A colorizer of (16, 16, 1) of the layers that others may use; the reports' are below."""
    x = layers.Normalization(mean=50.0, variance=400.0)(inputs)
    x = layers.Conv2D(
        8,
        3,
        padding="same",
        activation=keras.activations.gelu,
        kernel_initializer=keras.initializers.HeNormal(3),
        kernel_regularizer=keras.regularizers.OrthogonalRegularizer(),
        kernel_constraint="max_norm",
        dilation_rate=2,
    )(x)
    skip = x
    x = layers.GroupNormalization(4)(x)
    x = layers.SeparableConv2D(8, 3, padding="same", activation="silu")(x)
    x = layers.SpectralNormalization(layers.Conv2D(8, 1, use_bias=False))(x)
    x = layers.PReLU(shared_axes=[1, 2])(layers.AveragePooling2D(2)(x))
    x = layers.LeakyReLU(negative_slope=0.1)(layers.SpatialDropout2D(0.1)(x))
    tokens = layers.Reshape((64, 8))(layers.Permute((2, 1, 3))(x))
    tokens = layers.LayerNormalization()(tokens)
    tokens = layers.Add()([tokens, layers.MultiHeadAttention(2, 4)(tokens, tokens)])
    tokens = layers.EinsumDense("abc,cd->abd", (64, 8))(tokens)
    x = layers.UnitNormalization()(layers.Reshape((8, 8, 8))(tokens))
    gate = layers.Dense(8, "sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    x = layers.Conv2DTranspose(8, 3, 2, "same", output_padding=1)(x)
    x = layers.Concatenate()([x, skip, layers.Maximum()([x, skip]), layers.Subtract()([x, skip])])
    block = keras.Sequential([layers.Conv2D(4, 1), layers.BatchNormalization(), layers.ELU()])
    x = layers.GaussianNoise(0.1)(block(x))
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(1)(layers.Identity()(x)))
    x = layers.CenterCrop(16, 16)(layers.Resizing(20, 20, "bicubic")(x))
    return layers.Rescaling(110)(layers.Conv2D(2, 1, activation="tanh")(x))


def test_a_colorizer_of_keras_own_layers_loads_with_its_weights(tmp_path):
    inputs = keras.Input((16, 16, 1), name="l")
    model = keras.Model(inputs, _of_every_kind(inputs))
    model.compile("adam", "mse")
    model.save(tmp_path / "m.h5")
    l = np.linspace(0, 100, 512, dtype=np.float32).reshape(2, 16, 16, 1)
    loaded = h5.load(tmp_path / "m.h5")
    assert len(loaded.get_weights()) == len(model.get_weights())
    # float32 after different graphs' rounding; ab is up to 110
    np.testing.assert_allclose(loaded.predict(l, verbose=0), model.predict(l, verbose=0), atol=1e-2)


def test_arguments_of_another_version_of_keras_that_switch_nothing_on_are_left_out(path):
    before = h5.load(path).get_weights()

    def edit(network):
        network[1]["config"] |= {"future": None, "later": False}
        network[1]["config"]["kernel_initializer"]["config"] |= {"dtype": "float32", "axes": None}

    change(path, edit)
    assert len(h5.load(path).get_weights()) == len(before)
    change(path, put(future=True))
    refused(path, "future")


@pytest.mark.slow
@pytest.mark.parametrize("report", reports.names())
def test_every_config_of_every_report_loads(tmp_path, report):
    package = importlib.import_module(report)
    for name, config in package.CONFIGS.items():
        path = tmp_path / f"{name}.h5"
        exported = h5.wrap(package.build_model(config), config)
        h5.export(exported, path, {})
        loaded = h5.load(path)
        for mine, theirs in zip(loaded.get_weights(), exported.get_weights(), strict=True):
            assert (mine == theirs).all(), name
        path.unlink()
        keras.utils.clear_session()


def test_every_part_keeps_the_arguments_that_this_keras_gives_it():
    """Else an argument would be left out of a file that this very version wrote."""
    for name in sorted(safety.LAYERS & set(dir(keras.layers))):
        try:
            config = getattr(keras.layers, name)().get_config()
        except (TypeError, ValueError):  # it has no default for every argument
            continue
        lost = {key for key in config if not safety._taken(name, key)}
        assert lost <= {"rms_scaling"}, name  # accepted for old files only
