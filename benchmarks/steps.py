"""What a training step's time goes to, from shards on: `python -m benchmarks.steps REPORT`.

Milliseconds of processor time a batch, of all threads, which other work on the machine changes
little, medians of some turns: reading the pictures, decoded or from memory; views, faults and Lab
by NumPy, in threads beside the step; the same compiled into the step; and a step, with one batch in
memory, in the first epoch and in later ones. Last the rates beside that of one batch in memory, by
processor time and by the clock, which on a machine that is not idle says nothing.
"""

import argparse
import dataclasses
import importlib
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from common import cli, datasets, training
from common.color import bins
from common.datasets import maps, samples
from common.datasets.cache import Cache
from common.networks import frozen
from common.networks.interface import classifies
from common.networks.precision import choose_jit, choose_policy, in_precision
from common.training import losses
from common.training.step import Step

CACHE = 1 << 30  # bytes: all sample pictures of any size
ONE_BATCH = "a step, one batch in memory"
EPOCHS = ("a step, first epoch", "a step, later epochs")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = cli.Parser("python -m benchmarks.steps", description=__doc__.splitlines()[0])
    parser.add_argument("report")
    parser.add_argument("--config", help="by default the report's first")
    parser.add_argument("--size", type=cli.at_least(32, int), help="pixels a side")
    parser.add_argument("--batch", type=cli.at_least(1, int), default=16)
    parser.add_argument("--steps", type=cli.at_least(1, int), default=8, help="in a turn")
    parser.add_argument("--turns", type=cli.at_least(1, int), default=5)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        sides = _sides(options, Path(folder))
        for work in sides.values():
            work()  # compiles, fills caches
        taken: dict[str, list[np.ndarray]] = {what: [] for what in sides}
        for turn in range(options.turns):
            for what in list(sides)[:: -1 if turn % 2 else 1]:
                taken[what].append(_milliseconds(sides[what]) / options.steps)
    for what, values in taken.items():
        print(f"{_median([each[0] for each in values])}  {what}")
    for what in EPOCHS:
        ratios = np.divide(taken[ONE_BATCH], taken[what])
        for kind, column in zip(("processor time", "the clock"), ratios.T, strict=True):
            print(f"{_median(column)}  rate of {what}, over one batch in memory, by {kind}")


def _median(values):
    return f"{statistics.median(values):9.2f} ({min(values):.2f} to {max(values):.2f})"


def _milliseconds(work):
    """Of processor time, of all threads, and by the clock."""
    start = time.process_time(), time.perf_counter()
    work()
    return 1000 * (np.array([time.process_time(), time.perf_counter()]) - start)


def _sides(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[], object]]:
    """{what: a function that does it for so many batches}."""
    report = training.Report.of(importlib.import_module(options.report))
    _, config = report.config(options.config)
    config = dataclasses.replace(
        config, batch_size=options.batch, image_size=options.size or config.image_size
    )
    dataset = datasets.prepare(
        samples.make(folder / "samples"),
        config.image_size,
        config.cut,
        "mobilenet_v2" if config.embedding else None,
        "random",
        split_by="folder",
        folder=folder / "shards",
    )
    cache = Cache(config.image_size, CACHE)
    network = in_precision(report.build_model(config), choose_policy("auto")[0])
    prior = np.full(len(bins.CENTRES), 1 / len(bins.CENTRES)) if classifies(network) else None
    loss = losses.of_ab(config, classifies(network), prior)
    stored_maps = None
    names = frozen.frozen_among(network, report.pretrained) if config.maps else []
    if names:
        first, network = frozen.cut(network, names)
        extractor = frozen.Frozen(first, config, {name: {} for name in names})
        stored_maps = maps.store(dataset, extractor, mirrored="flip" in config.augment)
    training.compile_model(report, network, config, 1000, loss=loss)
    step = Step(choose_jit(network), lambda batch: batch)
    batches = training.Batches(network, config, dataset, inside=True, maps=stored_maps)
    cached, stored = step.put(batches(0)), step.put(batches.stored(0))
    inside, turns = _compiled(batches.prepared), itertools.count()

    def reading(read, kept):
        def work():
            dataset.cache = kept
            for number in range(options.steps):
                read(number)

        return work

    def epoch(kept):
        def work():
            dataset.cache = kept
            first = options.steps * next(turns)
            numbers = range(first, first + options.steps)
            return train(datasets.ahead(lambda number: step.put(batches(number)), numbers))

        return work

    def train(each):
        values = step.read([step(batch) for batch in each])
        step.settle()
        return values

    dataset.cache = cache
    for _ in dataset.batches("train", options.batch):  # all that the later epochs will ask for
        pass
    return {
        "reading, decoded": reading(batches.stored, None),
        "reading, from memory": reading(batches.stored, cache),
        "reading from memory, views and Lab by NumPy": reading(batches, cache),
        "views and Lab, compiled": lambda: [inside(stored) for _ in range(options.steps)],
        ONE_BATCH: lambda: train([cached] * options.steps),
        EPOCHS[0]: epoch(None),
        EPOCHS[1]: epoch(cache),
    }


def _compiled(function):
    """The function of tensors as the backend compiles a step, without XLA on TensorFlow's CPU."""
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(function)
        return lambda batch: jax.block_until_ready(compiled(batch))
    import tensorflow as tf

    return tf.function(function, jit_compile=bool(tf.config.list_physical_devices("GPU")))


if __name__ == "__main__":
    sys.exit(cli.run(main))
