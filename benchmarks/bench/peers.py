"""The Koala network in PyTorch and ONNX Runtime beside ours, where they are installed.

Both have the same weights, and their results are compared before anything is timed. PyTorch gets
what its users are told to take: channels last, its fused Adam, autocast for bfloat16.
"""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

import koala
from benchmarks.bench import networks
from benchmarks.bench.networks import BATCH
from benchmarks.bench.turns import Effort, Row, alternate
from common.exports import conversion
from common.networks import h5
from common.networks.interface import predict
from koala.config import Config

AT_MOST = "all at the rate of a large product"
NEEDED = "pip install -r requirements-bench.txt"


def against_pytorch(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Training and prediction, ours over PyTorch's, in each precision.

    `facts` of training: the rate of each side's arithmetic over that of a large matrix product, by
    which the ratio of the two is bounded.
    """
    try:
        import torch
    except ImportError:
        print(f"PyTorch is not installed: {NEEDED}", file=sys.stderr)
        return
    aims = {"float32": "training: at least 1.15", "auto": "training: at least 1.25"}
    for precision in networks.precisions():
        name = "mixed_bfloat16" if precision == "auto" else precision
        bfloat16 = name != "float32"
        for what, ours, theirs in (
            ("training", networks.training_step, _torch_step),
            ("prediction", networks.prediction, _torch_prediction),
        ):
            work = {
                f"Keras, {keras.backend.backend()}": ours(*networks.FIRST, precision),
                f"PyTorch {torch.__version__}": theirs(bfloat16),
            }
            title, aim = f"{what}, {networks.FIRST[0]}, {name}", ""
            if what == "training":
                aim = aims[precision]
                work[AT_MOST] = _at_the_products_rate("bfloat16" if bfloat16 else "float32")
            sides = alternate(effort, work)
            facts = {
                f"{side} over a large product": statistics.median(np.divide(rates, sides[AT_MOST]))
                for side, rates in sides.items()
                if AT_MOST in sides and side != AT_MOST
            }
            yield Row(title, sides, "pictures/s", aim, facts)


def _at_the_products_rate(dtype):
    """A large matrix product, as the pictures whose training step takes so many operations."""
    each = networks.step_operations(*networks.FIRST) / 1e9
    multiply = networks.product(dtype)
    return lambda: multiply() / each


def against_onnx(effort: Effort, folder: Path) -> Iterator[Row]:
    """Prediction of the exported network by Keras and by ONNX Runtime, in float32."""
    try:
        import onnxruntime
    except ImportError:
        print(f"ONNX Runtime is not installed: {NEEDED}", file=sys.stderr)
        return
    config = networks.config_of(*networks.FIRST)
    model = h5.wrap(koala.build_model(config), config)
    conversion.convert(model, folder / "koala.onnx", "onnx")
    session = onnxruntime.InferenceSession(folder / "koala.onnx")
    inputs = networks.noise(model.input)
    inputs["l"] = 100 * inputs["l"]
    (output,) = (value.name for value in session.get_outputs())
    same(predict(model, inputs), session.run([output], inputs)[0])
    sides = {
        "ONNX Runtime": lambda: len(session.run([output], inputs)[0]),
        "Keras": lambda: len(predict(model, inputs)),
    }
    yield Row(f"prediction, {networks.FIRST[0]}, float32", alternate(effort, sides), "pictures/s")


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """RuntimeError unless two results agree to a thousandth of what they span."""
    apart, span = np.abs(ours - theirs).max(), np.ptp(ours)
    if not apart <= 1e-3 * span:
        raise RuntimeError(f"the two networks differ by {apart} of {span}: not the same network")


# --- PyTorch ---------------------------------------------------------------------------------


def koala_in_torch(network: keras.Model, config: Config) -> Any:
    """`koala.build_model` as a torch.nn.Module with the weights of a Keras network.

    It takes l (N, 1, S, S) and embedding (N, 1000), and gives ab (N, 2, S, S).
    """
    import torch
    from torch import nn

    weights = iter([layer.get_weights() for layer in network.layers if layer.weights])

    class Same(nn.Conv2d):
        """A convolution with TensorFlow's padding: an odd pixel goes to the right and bottom."""

        def __init__(self, before: int, filters: int, size: int = 3, stride: int = 1) -> None:
            super().__init__(before, filters, size, stride, "same" if stride == 1 else 0)
            kernel, bias = map(torch.from_numpy, next(weights))
            self.weight.data, self.bias.data = kernel.permute(3, 2, 0, 1).contiguous(), bias

        def forward(self, x: Any) -> Any:
            return super().forward(
                x if self.stride == (1, 1) else nn.functional.pad(x, (0, 1, 0, 1))
            )

    def table(rows, channels):
        for row in rows:
            if row == "up":
                yield nn.Upsample(scale_factor=2)
                continue
            filters, stride = row if isinstance(row, tuple) else (row, 1)
            yield Same(channels, filters, 3, stride)
            yield nn.ReLU(inplace=True)
            channels = filters

    class Koala(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(*table(config.encoder, 1))
            self.fusion = Same(config.encoder[-1] + koala.model.EMBEDDING, koala.model.FUSION, 1)
            self.decoder = nn.Sequential(*table(config.decoder, koala.model.FUSION))
            self.ab = Same(config.decoder[-1], 2)

        def forward(self, l: Any, embedding: Any) -> Any:
            x = self.encoder(l)
            tiled = embedding[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.relu(self.fusion(torch.cat([x, tiled.to(x.dtype)], 1)))
            x = torch.tanh(self.ab(self.decoder(x)).float())
            return nn.functional.interpolate(x, scale_factor=2)

    return Koala().to(memory_format=torch.channels_last)


def _torch_koala():
    """(the module, its inputs): compared with Keras's network before it is returned."""
    import torch

    config = networks.config_of(*networks.FIRST)
    network = koala.build_model(config)
    module, inputs = koala_in_torch(network, config), networks.noise(network.input)
    l = torch.from_numpy(inputs["l"]).permute(0, 3, 1, 2)  # channels last in memory already
    given = l, torch.from_numpy(inputs["embedding"])
    with torch.inference_mode():
        same(network.predict_on_batch(inputs), module(*given).permute(0, 2, 3, 1).numpy())
    return module, given


def _torch_step(bfloat16):
    import torch

    module, given = _torch_koala()
    y = networks.targets(networks.config_of(*networks.FIRST))
    target = torch.from_numpy(y).permute(0, 3, 1, 2)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            ab = module(*given)
        loss = torch.nn.functional.mse_loss(ab, target)
        loss.backward()
        optimizer.step()
        loss.item()
        return BATCH

    return step


def _torch_prediction(bfloat16):
    import torch

    module, given = _torch_koala()

    def predicted():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return len(module(*given).numpy())

    return predicted
