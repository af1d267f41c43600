"""Peak memory, each case in a process of its own."""

import concurrent.futures
import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from benchmarks.bench import networks
from benchmarks.bench.pictures import SIZE, jpeg_of_24_megapixels
from benchmarks.bench.starting import runtimes
from benchmarks.bench.turns import Effort, Row
from common import datasets
from common.commands import colorize
from common.networks import embeddings, h5


def peaks(_effort: Effort, folder: Path) -> Iterator[Row]:
    """Training and prediction of every network, preparing, and colouring a large photo."""
    yield _peak("Keras and its backend alone", _nothing)
    for report, name in networks.every_network():
        for precision in networks.precisions():
            title = f"training, {report} {name}, {precision}"
            yield _peak(title, _three, networks.training_step, report, name, precision)
        title = f"prediction, {report} {name}, float32"
        yield _peak(title, _three, networks.prediction, report, name, "float32")
    sources = folder / "photos"
    sources.mkdir()
    data = jpeg_of_24_megapixels()
    for number in range(8):  # a different last byte: equal files would stay in one split
        (sources / f"{number}.jpg").write_bytes(data + bytes([number]))
    title = f"preparing 24-megapixel JPEGs on {os.cpu_count()} cores"
    yield _peak(title, _prepare, sources, folder / "prepared")
    report, name = networks.FIRST
    export(report, name, folder / "model.h5")
    title = f"colouring a 24-megapixel JPEG, {report} {name}"
    for runtime in runtimes():
        command = [
            f"--in={sources / '0.jpg'}",
            f"--out={folder / runtime}",
            f"--model={folder / 'model.h5'}",
            f"--runtime={runtime}",
            "--isolate=no",  # all in the one process that is measured
        ]
        if runtime == "onnx":
            yield _peak(f"{title}, the first time, which writes the .onnx", colorize.main, command)
            (folder / runtime).rename(folder / "first")
        yield _peak(f"{title}, {runtime}", colorize.main, command, aim="less than 1500 MB")


def export(report: str, name: str, path: Path) -> None:
    """Export an untrained model with the metadata that the command `colorize` needs."""
    config = networks.config_of(report, name)
    embedding = embeddings.load("mobilenet_v2", "random").metadata if config.embedding else None
    model = h5.wrap(importlib.import_module(report).build_model(config), config)
    about = {
        "report": report,
        "config_name": name,
        "config": dataclasses.asdict(config),
        "title": report,
        "image_size": config.image_size,
        "cut": config.cut,
        "embedding": embedding,
    }
    h5.export(model, path, about)


def _peak(name: str, function: Callable[..., Any], *args: Any, aim: str = "") -> Row:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return Row(name, {"peak": [pool.submit(_measured, function, *args).result()]}, "MB", aim)


def _measured(function, *args):
    """Call the function and return this process's highest resident size so far, in MB."""
    with contextlib.redirect_stdout(sys.stderr):
        if function(*args):
            raise RuntimeError(f"{function.__module__} failed, see above.")
    try:  # getrusage would count what this process's parent had when it was forked
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def _nothing():
    keras.ops.zeros(1)


def _three(make, *args):
    work = make(*args)
    for _ in range(3):
        work()


def _prepare(sources, folder):
    datasets.prepare(sources, SIZE, "squash", folder=folder)
