"""The reports' networks at work on noise: one training step or one prediction, again and again."""

import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from common import training
from common.color import bins
from common.commands import reports
from common.config import Config
from common.networks import h5, perceptual
from common.networks.interface import classifies, predict
from common.networks.precision import choose_jit, choose_policy, in_precision
from common.training import losses
from common.training.step import Step

BATCH = 16  # pictures a step in place of each config's own, so that rows can be compared
CLASSES = 205  # of a classification head: the scenes of Places205
PRODUCT = 4096  # side of the square matrices of the "large matrix product"

Case = tuple[str, str]  # a report, and the name of one of its configs
FIRST = "koala", "lee2021"  # where one network stands for all


def cases() -> Iterator[Case]:
    """Yield the default config of every report."""
    for report in reports.names("claims"):
        yield report, next(iter(importlib.import_module(report).CONFIGS))


def every_network() -> Iterator[Case]:
    """Yield (report, config) for every network: of configs with the same layers
    and the same kind of loss, the first."""
    for report in reports.names("claims"):
        seen = set()
        for name in importlib.import_module(report).CONFIGS:
            network = build(report, name)
            layers = json.dumps(network.get_config(), sort_keys=True, default=str)
            frozen = tuple(layer.trainable for layer in network.layers)
            kind = layers, frozen, config_of(report, name).distance
            keras.utils.clear_session()
            if kind not in seen:
                seen.add(kind)
                yield report, name


def config_of(report: str, name: str) -> Config:
    """A report's config, with `BATCH` pictures a step and, where it has a head, `CLASSES`."""
    config = importlib.import_module(report).CONFIGS[name]
    classes = config.classes if config.classes is None else CLASSES
    return dataclasses.replace(config, batch_size=BATCH, classes=classes)


def build(report: str, name: str) -> keras.Model:
    """A report's untrained network, for pictures of its config's size alone."""
    config = config_of(report, name)
    network = importlib.import_module(report).build_model(config)
    inputs = {
        key: keras.Input([size or config.image_size for size in tensor.shape[1:]], name=key)
        for key, tensor in network.input.items()
    }
    return keras.models.clone_model(network, input_tensors=inputs)


def by_precision(make: Callable[..., Any], report: str, name: str) -> dict[str, Any]:
    """{"auto": make(report, name, "auto"), "float32": ...}; one side where they are the same."""
    return {precision: make(report, name, precision) for precision in precisions()}


@functools.cache
def precisions() -> Sequence[str]:
    """("auto", "float32"), or float32 alone where `auto` is the same."""
    policy, why = choose_policy("auto")
    print(f"auto is {policy}: {why}", file=sys.stderr)
    return ("float32",) if policy == "float32" else ("auto", "float32")


def compiled(report: str, name: str, precision: str, fused: bool | None = None) -> keras.Model:
    """A report's network with the optimizer and the loss of a run of a thousand steps."""
    config, (policy, _) = config_of(report, name), choose_policy(precision)
    network = in_precision(build(report, name), policy, fused)
    bins_alike = np.full(len(bins.CENTRES), 1 / len(bins.CENTRES))
    loss = losses.of_ab(config, classifies(network), bins_alike if config.rebalance else None)
    if config.distance:
        distance = perceptual.load(config.distance, "random", "none")
        loss = losses.PerceptualLoss(distance.in_precision(policy), config)
    training.compile_model(importlib.import_module(report), network, config, 1000, loss)
    return choose_jit(network)


def noise(tensors: Any) -> Any:
    """A batch of noise in the shape of symbolic tensors, one or a structure of them."""
    rng = np.random.default_rng(0)
    return keras.tree.map_structure(
        lambda tensor: rng.random((BATCH, *tensor.shape[1:]), np.float32), tensors
    )


def targets(config: Config) -> Any:
    """A batch of noise in place of what a network is trained towards: see `training.Batches`."""
    channels = 3 if config.distance else 2
    shape = (BATCH, config.image_size, config.image_size, channels)
    ab = np.random.default_rng(1).uniform(-0.4, 0.4, shape).astype(np.float32)
    if config.classes:
        return {"ab": ab, "label": np.zeros(BATCH, np.int32)}
    return ab


def training_step(
    report: str, name: str, precision: str, fused: bool | None = None
) -> Callable[[], int]:
    """A function that trains on one batch, always the same, and returns its pictures."""
    step = Step(compiled(report, name, precision, fused), lambda batch: batch)
    config = config_of(report, name)
    batch = step.put((noise(build(report, name).input), targets(config)))
    return lambda: train_on(step, [batch])


def train_on(step: Step, batches: Iterable[Any]) -> int:
    """Train on batches that `put` has placed, wait for the last, and return their pictures."""
    values = [step(batch) for batch in batches]
    step.read(values[-1:])
    return BATCH * len(values)


def prediction(report: str, name: str, precision: str) -> Callable[[], int]:
    """A function that predicts one batch with the model as it is exported."""
    config = config_of(report, name)
    model = h5.wrap(build(report, name), config)
    policy, _ = choose_policy(precision)
    if policy != "float32":
        model = choose_jit(in_precision(model, policy))
    inputs = noise(model.input)
    inputs["l"] = 100 * inputs["l"]
    return lambda: len(predict(model, inputs))


# --- arithmetic ------------------------------------------------------------------------------


def operations(network: keras.Model, trained: bool = False) -> int:
    """Additions and multiplications of one picture's forward pass in convolutions and products.

    network: whose inputs have a fixed size. trained: count the trainable layers alone.
    """
    total = 0

    def applied(layer, *args, **options):
        nonlocal total
        outputs = layer(*args, **options)
        if isinstance(layer, keras.Model):
            copied(layer, args[0])
        elif layer.trainable or not trained:
            # Each weight is used once for each position: of the input where the convolution is
            # transposed, else of the output.
            transposed = "Transpose" in type(layer).__name__
            for weight in layer.weights:
                if weight.name.endswith("kernel"):
                    positions = (args[0] if transposed else outputs).shape[1:-1]
                    total += 2 * int(np.prod(weight.shape)) * int(np.prod(positions))
        return outputs

    def copied(model, inputs):
        keras.models.clone_model(model, inputs, clone_function=_itself, call_function=applied)

    copied(network, network.input)
    return total


def _itself(layer):
    return layer


def step_operations(report: str, name: str) -> int:
    """Additions and multiplications of a training step's convolutions and products, one picture.

    The backward pass takes twice the operations of the forward pass, for the gradients of the
    inputs and of the weights; a frozen encoder has none.
    """
    network = build(report, name)
    return operations(network) + 2 * operations(network, trained=True)


def product(dtype: str) -> Callable[[], float]:
    """A function that multiplies two large matrices, and returns the operations / 10^9."""
    matrix = keras.ops.cast(np.random.default_rng(0).random((PRODUCT, PRODUCT)), dtype)

    def multiply():
        result = keras.ops.matmul(matrix, matrix)
        float(keras.ops.convert_to_numpy(keras.ops.cast(result[0, 0], "float32")))  # waits for it
        return 2 * PRODUCT**3 / 1e9

    return multiply
