"""Measure speed and memory: `make bench`, or `python -m benchmarks.bench --help`.

The two sides of a comparison take turns in one process, in alternating order, so that other load on
the machine affects both. A ratio is the median over the turns, given with the lowest and the
highest: trust a difference only where that span is narrow. Pictures are drawn, noise, or the sample
photos; networks are untrained and embedding weights random, which takes the same time. Nothing is
downloaded.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib
import io
import itertools
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import skimage.color
import skimage.data

from common import cli, datasets, files, photos, training
from common.color import lab
from common.commands import colorize
from common.datasets import samples
from common.evaluation import evaluate
from common.networks import embeddings, h5, provenance
from common.networks.interface import predict
from common.networks.precision import choose_jit, choose_policy, in_precision

OUT = Path("reports/bench/bench.json")
BATCH = 16  # pictures a step in place of each config's own, so that rows can be compared
SIZE = 256  # of the pictures where no network decides
PRODUCT = 4096  # side of the square matrices of the "large matrix product"
SCORED = 256  # pictures of a round of evaluation
MEGAPIXELS = (4000, 6000)  # height and width of a photo of 24 megapixels
REPORTS = ("koala", "iizuka", "vgg_autoencoder", "cs230", "feup")


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure: `turns` for each side, each of at least `seconds`."""

    turns: int = 5
    seconds: float = 8.0


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison of two sides, or figures of one: `sides` is {what: a number a turn}, in `unit`.

    aim: the figure or ratio to reach, in words.
    """

    name: str
    sides: dict[str, list[float]]
    unit: str
    aim: str = ""

    @property
    def ratios(self) -> list[float]:
        """First side over second, turn by turn; [] where there is only one side."""
        first, *second = self.sides.values()
        return [a / b for a, b in zip(first, second[0], strict=True)] if second else []


def cases() -> Iterator[tuple[str, str]]:
    """Yield (report, config name) to measure: the default config of every report."""
    for report in REPORTS:
        if importlib.util.find_spec(report):
            yield report, next(iter(importlib.import_module(report).CONFIGS))


# --- taking turns ----------------------------------------------------------------------------


def alternate(effort: Effort, sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """{what: work} -> {what: [units a second, a number a turn]}; work() returns its units."""
    for work in sides.values():
        work()  # compiles, allocates, fills caches
    rates: dict[str, list[float]] = {what: [] for what in sides}
    for turn in range(effort.turns):
        for what in list(sides)[:: -1 if turn % 2 else 1]:
            rates[what].append(_rate(sides[what], effort.seconds))
    return rates


def _rate(work, seconds):
    done, start = 0, time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed


def _by_precision(make, report, name):
    """{"auto": make("auto"), "float32": make("float32")}, or one side where they are the same."""
    policy, why = choose_policy("auto")
    print(f"auto is {policy}: {why}", file=sys.stderr)
    names = ("float32",) if policy == "float32" else ("auto", "float32")
    return {precision: make(report, name, precision) for precision in names}


# --- networks at work ------------------------------------------------------------------------


def _config(report, name):
    config = importlib.import_module(report).CONFIGS[name]
    return dataclasses.replace(config, batch_size=BATCH)


def _network(report, name, precision, fused=None):
    """A report's network, compiled as its train.py does it."""
    config = _config(report, name)
    network = importlib.import_module(report).build_model(config)
    network = in_precision(network, choose_policy(precision)[0], fused)
    training.compile_model(importlib.import_module(report), network, config, 1000)
    return choose_jit(network)


def _noise(tensors):
    """A batch of noise in the shape of symbolic tensors, one or a structure of them."""
    rng = np.random.default_rng(0)
    return keras.tree.map_structure(
        lambda tensor: rng.random((BATCH, *tensor.shape[1:]), np.float32), tensors
    )


def _training_step(report, name, precision, fused=None):
    """A function that trains on one batch, always the same, and returns its pictures."""
    network = _network(report, name, precision, fused)
    x, y = _noise(network.input), _noise(network.output)
    return lambda: _train(network, [(x, y)])


def _train(network, batches):
    pictures = 0
    for x, y in batches:
        float(network.train_on_batch(x, y, return_dict=True)["loss"])  # waits for the step's end
        pictures += BATCH
    return pictures


def _prediction(report, name, precision):
    """A function that predicts one batch with the model as it is exported."""
    config = _config(report, name)
    model = h5.wrap(importlib.import_module(report).build_model(config), config)
    policy, _ = choose_policy(precision)
    if policy != "float32":
        model = choose_jit(in_precision(model, policy))
    inputs = _noise(model.input)
    inputs["l"] = 100 * inputs["l"]
    return lambda: len(predict(model, inputs))


def operations(model: keras.Model, trained: bool = False) -> int:
    """Additions and multiplications of one picture's forward pass in convolutions and products.

    trained: count the trainable layers alone.
    """
    total = 0
    for layer in model.layers:
        if trained and not layer.trainable:
            continue
        if hasattr(layer, "layers"):
            total += operations(layer, trained)
        for weight in layer.weights if not hasattr(layer, "layers") else ():
            if weight.name.endswith("kernel"):
                # Each weight is used once for each position: of the input where the convolution
                # is transposed, else of the output.
                transposed = "Transpose" in type(layer).__name__
                positions = (layer.input if transposed else layer.output).shape[1:-1]
                total += 2 * int(np.prod(weight.shape)) * int(np.prod(positions))
    return total


# --- the benchmarks --------------------------------------------------------------------------


def bench_train(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Training, pictures a second, by precision."""
    for report, name in cases():
        sides = alternate(effort, _by_precision(_training_step, report, name))
        yield Row(f"training, {report} {name}", sides, "pictures/s", "at least 5 with AMX")


def bench_predict(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Prediction, pictures a second, by precision."""
    for report, name in cases():
        sides = alternate(effort, _by_precision(_prediction, report, name))
        yield Row(f"prediction, {report} {name}", sides, "pictures/s", "at least 7 with AMX")


def bench_normalisation(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Training with batch normalisation by the fused kernel against Keras's own layer."""
    for report, name in cases():
        network = importlib.import_module(report).build_model(_config(report, name))
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers):
            sides = {
                "fused": _training_step(report, name, "auto", fused=True),
                "Keras's layer": _training_step(report, name, "auto", fused=False),
            }
            yield Row(f"normalisation, {report} {name}", alternate(effort, sides), "pictures/s")


def bench_shards(effort: Effort, folder: Path) -> Iterator[Row]:
    """Training from shards against training on one batch that stays in memory."""
    pictures = samples.make(folder / "samples")
    for report, name in cases():
        config = _config(report, name)
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
        network = _network(report, name, "auto")
        batches = training.Batches(network, config, dataset)
        batch = batches(0)
        one_step = functools.partial(_train, network, [batch])
        one_step()
        # Enough steps to fill a turn, so that waiting for the first batch counts as in an epoch.
        steps = max(4, round(effort.seconds * _rate(one_step, 1) / BATCH))
        starts = itertools.count(0, steps)

        def from_shards(network=network, batches=batches, steps=steps, starts=starts):
            start = next(starts)
            return _train(network, datasets.ahead(batches, range(start, start + steps)))

        cached = functools.partial(_train, network, [batch] * steps)
        sides = alternate(effort, {"from shards": from_shards, "one cached batch": cached})
        yield Row(f"training, {report} {name}", sides, "pictures/s", "at least 0.97")


def bench_arithmetic(effort: Effort, _folder: Path) -> Iterator[Row]:
    """The training step's rate of arithmetic against that of a large bfloat16 product."""
    matrix = keras.ops.cast(np.random.default_rng(0).random((PRODUCT, PRODUCT)), "bfloat16")

    def product():
        result = keras.ops.matmul(matrix, matrix)
        float(keras.ops.convert_to_numpy(keras.ops.cast(result[0, 0], "float32")))  # waits for it
        return 2 * PRODUCT**3 / 1e9

    for report, name in cases():
        # The backward pass takes twice the operations of the forward pass, for the gradients of
        # the inputs and of the weights; a frozen encoder has none.
        network = _network(report, name, "auto")
        each = (operations(network) + 2 * operations(network, trained=True)) / 1e9
        step = _training_step(report, name, "auto")
        sides = {
            f"training, {report} {name}, auto": lambda step=step, each=each: step() * each,
            f"product of two {PRODUCT} x {PRODUCT} bfloat16 matrices": product,
        }
        yield Row("arithmetic", alternate(effort, sides), "GFLOP/s", "at least 1 with AMX")


def bench_lab(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Conversion of 8-bit pictures on one core, against scikit-image."""
    rgb = cv2.resize(skimage.data.chelsea(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    colours = lab.rgb_to_lab(rgb)

    def times(function, argument, count=20):
        def work():
            for _ in range(count):
                function(argument)
            return count

        return work

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield Row(
        "sRGB to Lab, one core",
        alternate(
            effort,
            {
                "common.color.lab": times(lab.rgb_to_lab, rgb),
                "scikit-image": times(skimage.color.rgb2lab, rgb),
            },
        ),
        "pictures/s",
        "at least 1000 pictures/s",
    )
    yield Row(
        "Lab to sRGB, one core",
        alternate(
            effort,
            {
                "common.color.lab": times(lab.lab_to_rgb, colours),
                "scikit-image": times(skimage.color.lab2rgb, colours),
            },
        ),
        "pictures/s",
    )
    yield Row(
        "into the gamut, one core",
        alternate(effort, {"common.color.lab": times(lab.into_gamut, colours)}),
        "pictures/s",
    )
    cv2.setNumThreads(threads)


def bench_jpeg(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Preparing JPEGs of 24 megapixels, on all cores: decoded in full, or at a reduced scale."""
    data = _jpeg()
    cores = os.cpu_count()

    def full(data):
        pixels = photos.Photo(io.BytesIO(data), photos.MAX_MEGAPIXELS).page(0).pixels
        return photos.fit(pixels, SIZE, "squash")

    def on_all_cores(function):
        return lambda: sum(1 for _ in datasets.ahead(function, [data] * cores, workers=cores))

    sides = alternate(
        effort,
        {
            "reduced scale": on_all_cores(lambda data: photos.decode(data, SIZE, "squash")),
            "decoded in full": on_all_cores(full),
        },
    )
    yield Row(f"24-megapixel JPEG of {len(data) / 1e6:.0f} MB to {SIZE}²", sides, "pictures/s")


def _jpeg():
    """A photo of 24 megapixels with grain: without it, an enlarged photo decodes too quickly."""
    height, width = MEGAPIXELS
    photo = cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.empty((height, width, 1), np.int16)
    cv2.setRNGSeed(0)
    cv2.randn(grain, 0, 10)
    photo = cv2.add(photo, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
    return cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def bench_embedding(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Embeddings, pictures a second, by network."""
    lightness = 100 * np.random.default_rng(0).random((BATCH, SIZE, SIZE, 1), np.float32)

    def embedding(network):
        embedder = embeddings.load(network, "random")
        return lambda: len(embedder(lightness))

    networks = ("mobilenet_v2", "inception_resnet_v2")
    sides = alternate(effort, {network: embedding(network) for network in networks})
    yield Row("embedding", sides, "pictures/s")


def bench_evaluate(effort: Effort, folder: Path) -> Iterator[Row]:
    """Evaluation: all metrics that need no network, for a model and the baselines."""
    dataset = datasets.prepare(
        samples.make(folder / "samples"),
        SIZE,
        "squash",
        "mobilenet_v2",
        "random",
        split_by="folder",
        folder=folder / "shards",
    )
    l = keras.Input((SIZE, SIZE, 1), name="l")  # a model that takes next to no time
    h5.export(
        keras.Model({"l": l}, keras.layers.Conv2D(2, 1, name="ab")(l)),
        folder / "model.h5",
        {"image_size": SIZE, "cut": "squash"},
    )
    pictures = min(SCORED, dataset.count("train"))

    def score():
        evaluate.evaluate(
            [folder / "model.h5"], dataset, "train", None, evaluate.Options(limit=pictures)
        )
        return pictures

    once = evaluate.Options(limit=1)
    rows = len(evaluate.evaluate([folder / "model.h5"], dataset, "train", None, once).rows)
    yield Row(
        f"evaluation, {rows} rows",
        alternate(effort, {"all but networks": score}),
        "pictures/s",
        "at least 16.7: 1,000 pictures in a minute",
    )


# --- memory ----------------------------------------------------------------------------------


def bench_memory(_effort: Effort, folder: Path) -> Iterator[Row]:
    """Peak memory, each case in a process of its own."""
    yield _peak("Keras and its backend alone", _nothing)
    for report, name in cases():
        for precision in ("float32", "auto"):
            yield _peak(
                f"training, {report} {name}, {precision}",
                _three,
                _training_step,
                report,
                name,
                precision,
            )
        yield _peak(
            f"prediction, {report} {name}, float32", _three, _prediction, report, name, "float32"
        )
    sources = folder / "photos"
    sources.mkdir()
    data = _jpeg()
    for number in range(8):  # a different last byte: equal files would stay in one split
        (sources / f"{number}.jpg").write_bytes(data + bytes([number]))
    yield _peak(
        f"preparing 24-megapixel JPEGs on {os.cpu_count()} cores",
        _prepare,
        sources,
        folder / "prepared",
    )
    for report, name in itertools.islice(cases(), 1):
        _export(report, name, folder / "model.h5")
        yield _peak(
            f"colouring a 24-megapixel JPEG, {report} {name}",
            colorize.main,
            [
                f"--in={sources / '0.jpg'}",
                f"--out={folder / 'coloured'}",
                f"--model={folder / 'model.h5'}",
                "--isolate=no",  # all in the one process that is measured
            ],
            aim="less than 1500 MB",
        )


def _export(report, name, path):
    """Export an untrained model with the metadata that the command `colorize` needs."""
    config = _config(report, name)
    embedding = embeddings.load("mobilenet_v2", "random").metadata if config.embedding else None
    model = h5.wrap(importlib.import_module(report).build_model(config), config)
    h5.export(
        model,
        path,
        {
            "report": report,
            "config_name": name,
            "config": dataclasses.asdict(config),
            "title": report,
            "image_size": config.image_size,
            "cut": config.cut,
            "embedding": embedding,
        },
    )


def _peak(name, function, *args, aim=""):
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


BENCHMARKS = {
    "train": bench_train,
    "predict": bench_predict,
    "normalisation": bench_normalisation,
    "shards": bench_shards,
    "arithmetic": bench_arithmetic,
    "lab": bench_lab,
    "jpeg": bench_jpeg,
    "embedding": bench_embedding,
    "evaluate": bench_evaluate,
    "memory": bench_memory,
}


# --- results ---------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The facts that the figures depend on: processor, cores, memory, versions, load, commit."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    lines = [line.partition(":") for line in text.splitlines()]
    processor = {key.strip(): value.strip() for key, _, value in lines}
    known = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    flags = processor.get("flags", "").split()
    policy, why = choose_policy("auto")
    return {
        "processor": processor.get("model name", platform.processor()),
        "family_model_stepping": [processor.get(k) for k in ("cpu family", "model", "stepping")],
        "flags": [flag for flag in known if flag in flags],
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "auto": f"{policy} ({why})",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": provenance.versions()
        | {"opencv": cv2.__version__, "scikit-image": skimage.__version__},
        "commit": provenance.commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| | first | second | ratio (lowest to highest) | aim |", "|---|--:|--:|--:|---|"]
    for row in rows:
        cells = [
            f"{what} {_short(statistics.median(numbers))} {row.unit}"
            for what, numbers in row.sides.items()
        ]
        ratio = ""
        if row.ratios:
            low, high = min(row.ratios), max(row.ratios)
            ratio = f"{statistics.median(row.ratios):.2f} ({low:.2f} to {high:.2f})"
        cells = [*cells, ""][:2]
        lines.append(f"| {row.name} | {cells[0]} | {cells[1]} | {ratio} | {row.aim} |")
    return "\n".join(lines)


def _short(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def main(argv: list[str] | None = None) -> None:
    """The command `python -m benchmarks.bench`."""
    parser = cli.Parser("python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="short turns, to show that it works: the figures are rough",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BENCHMARKS),
        help="this benchmark alone; may be given again",
    )
    args = parser.parse_args(argv)
    effort = Effort(turns=2, seconds=0.5) if args.quick else Effort()
    about, rows = machine(), []
    for name in args.only or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            benchmark = BENCHMARKS[name](effort, Path(folder))
            while True:
                with contextlib.redirect_stdout(sys.stderr):  # standard output is the table's
                    row = next(benchmark, None)
                if row is None:
                    break
                rows.append(row)
                print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
        keras.utils.clear_session()
    files.write_json(
        OUT,
        {
            "machine": about,
            "quick": args.quick,
            "effort": dataclasses.asdict(effort),
            "rows": [dataclasses.asdict(row) | {"ratios": row.ratios} for row in rows],
        },
    )
    print(table(rows))
    print(
        f"\n{about['processor']}, {about['cores']} cores, {', '.join(about['flags'])}; "
        f"auto is {about['auto']}. Written to {OUT}."
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
