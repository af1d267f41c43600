"""Training and prediction: rates, arithmetic, batch normalisation, waiting for data."""

import functools
import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

import keras

from benchmarks.bench import networks
from benchmarks.bench.networks import BATCH, PRODUCT
from benchmarks.bench.turns import Effort, Row, alternate, rate
from common import datasets, training
from common.datasets import samples
from common.datasets.cache import Cache
from common.training.step import Step

AIM = "koala: at least 0.95"
CACHE = 1 << 30  # bytes: all sample pictures of any size
DTYPES = {"mixed_bfloat16": "bfloat16", "float32": "float32"}


def steps(effort: Effort, _folder: Path) -> Iterator[Row]:
    """A training step of every network: its arithmetic, its time, and its share of a product's.

    The rate of a step is that of its arithmetic, the rate of the product of two large matrices in
    the same precision stands beside it. `facts`: GFLOP a picture, ms a step, pictures a second.
    """
    products = {name: networks.product(DTYPES[name]) for name in _policies().values()}
    for report, name in networks.every_network():
        each = networks.step_operations(report, name) / 1e9
        for precision, policy in _policies().items():
            step = networks.training_step(report, name, precision)
            work = {
                f"step in {policy}": lambda step=step, each=each: step() * each,
                f"{PRODUCT} x {PRODUCT} product": products[policy],
            }
            sides = alternate(effort, work)
            median = statistics.median(sides[f"step in {policy}"])
            facts = {
                "GFLOP a picture": each,
                "ms a step": 1000 * BATCH * each / median,
                "pictures/s": median / each,
            }
            title = f"training step, {report} {name}, {policy}"
            yield Row(title, sides, "GFLOP/s", AIM, facts)
            keras.utils.clear_session()


def _policies():
    """{precision: its policy}, of those that this machine is measured in."""
    return {name: networks.choose_policy(name)[0] for name in networks.precisions()}


def predictions(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Prediction, pictures a second, by precision."""
    for report, name in networks.every_network():
        sides = alternate(effort, networks.by_precision(networks.prediction, report, name))
        yield Row(f"prediction, {report} {name}", sides, "pictures/s")
        keras.utils.clear_session()


def normalisation(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Training with batch normalisation by the fused kernel against Keras's own layer."""
    for report, name in networks.cases():
        layers = networks.build(report, name).layers
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
            step = functools.partial(networks.training_step, report, name, "auto")
            work = {"fused": step(fused=True), "Keras's layer": step(fused=False)}
            yield Row(f"normalisation, {report} {name}", alternate(effort, work), "pictures/s")


def shards(effort: Effort, folder: Path) -> Iterator[Row]:
    """Training from shards against training on one batch that stays in memory.

    In a first epoch, which decodes every picture, and in later ones, which find them in memory.
    """
    pictures = samples.make(folder / "samples")
    for report, name in networks.cases():
        config = networks.config_of(report, name)
        embedding = "mobilenet_v2" if config.embedding else None  # only what reading it costs
        dataset = datasets.prepare(
            pictures,
            config.image_size,
            config.cut,
            embedding,
            "random",
            split_by="folder",
            folder=folder / f"{config.image_size}-{config.cut}",
        )
        network = networks.compiled(report, name, "auto")
        step = Step(network, lambda batch: batch)
        batches = training.Batches(network, config, dataset)
        batch = step.put(batches(0))
        one_step = functools.partial(networks.train_on, step, [batch])
        one_step()
        # Enough steps to fill a turn, so that waiting for the first batch counts as in an epoch.
        count = max(4, round(effort.seconds * rate(one_step, 1) / BATCH))
        starts = itertools.count(0, count)

        def from_shards(step=step, batches=batches, count=count, starts=starts):
            start = next(starts)
            ready = datasets.ahead(lambda n: step.put(batches(n)), range(start, start + count))
            return networks.train_on(step, ready)

        cached = functools.partial(networks.train_on, step, [batch] * count)
        for epoch, cache in ("first", None), ("later", Cache(config.image_size, CACHE)):
            dataset.cache = cache
            if cache is not None:
                for _ in dataset.batches("train", BATCH):  # what the first epoch has left
                    pass
            sides = alternate(effort, {"from shards": from_shards, "one cached batch": cached})
            aim = "at least 0.97" if cache is not None else ""
            yield Row(f"training, {report} {name}, {epoch} epoch", sides, "pictures/s", aim)
        keras.utils.clear_session()
