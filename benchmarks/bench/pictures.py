"""Pictures: Lab, preparing photos, embeddings and maps, evaluation, export."""

import functools
import importlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import keras
import numpy as np
import skimage.color
import skimage.data

from benchmarks.bench import networks
from benchmarks.bench.networks import BATCH
from benchmarks.bench.turns import Effort, Row, alternate
from common import datasets, photos
from common.color import lab
from common.datasets import samples
from common.evaluation import evaluate
from common.exports import conversion, extras
from common.networks import embeddings, frozen, h5
from common.training.report import Report

SIZE = 256  # of the pictures where no network decides
SCORED = 256  # pictures of a round of evaluation
MEGAPIXELS = (4000, 6000)  # height and width of a photo of 24 megapixels


def conversions(effort: Effort, _folder: Path) -> Iterator[Row]:
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


def jpeg(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Preparing JPEGs of 24 megapixels, on all cores: decoded in full, or at a reduced scale."""
    data = jpeg_of_24_megapixels()
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


def jpeg_of_24_megapixels():
    """A photo of 24 megapixels with grain: without it, an enlarged photo decodes too quickly."""
    height, width = MEGAPIXELS
    photo = cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.empty((height, width, 1), np.int16)
    cv2.setRNGSeed(0)
    cv2.randn(grain, 0, 10)
    photo = cv2.add(photo, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
    return cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def embedding_rates(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Embeddings, pictures a second, by network."""
    lightness = 100 * np.random.default_rng(0).random((BATCH, SIZE, SIZE, 1), np.float32)

    def embedding(network):
        embedder = embeddings.load(network, "random")
        return lambda: len(embedder(lightness))

    networks = ("mobilenet_v2", "inception_resnet_v2")
    sides = alternate(effort, {network: embedding(network) for network in networks})
    yield Row("embedding", sides, "pictures/s")


def scores(effort: Effort, folder: Path) -> Iterator[Row]:
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


def map_rates(effort: Effort, _folder: Path) -> Iterator[Row]:
    """Maps of frozen layers, pictures a second: wombat's encoder, zaman2020's VGG16."""
    for report, name in (("wombat", "frozen"), ("vgg_autoencoder", "zaman2020")):
        config, network = networks.config_of(report, name), networks.build(report, name)
        names = frozen.frozen_among(network, Report.of(importlib.import_module(report)).pretrained)
        first, _ = frozen.cut(network, names)
        maps = frozen.Frozen(first, config, {layer: {} for layer in names})
        size = (BATCH, config.image_size, config.image_size, 1)
        lightness = 100 * np.random.default_rng(0).random(size, np.float32)
        sides = alternate(effort, {", ".join(names): lambda maps=maps, l=lightness: len(maps(l))})
        yield Row(f"maps, {report} {name}", sides, "pictures/s")
        keras.utils.clear_session()


def exports(effort: Effort, folder: Path) -> Iterator[Row]:
    """Seconds to export a trained network, and to write it as .onnx where that is installed."""
    report, name = networks.FIRST
    config = networks.config_of(report, name)
    model = h5.wrap(networks.build(report, name), config)

    def seconds(write):
        taken = []
        for _ in range(effort.turns):
            began = time.perf_counter()
            write()
            taken.append(time.perf_counter() - began)
        return taken

    sides = {".h5": seconds(lambda: h5.export(model, folder / "model.h5", {}))}
    if extras.has("onnx", "tf2onnx"):
        write = functools.partial(conversion.convert, model, folder / "model.onnx", "onnx")
        sides[".onnx"] = seconds(write)
    yield Row(f"export, {report} {name}", sides, "s")
