"""Whole files of every kind, made by their own encoders: what the cases of `targets` begin with."""

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers

from benchmarks import formats
from common import config, datasets
from common.color import bins
from common.color.dial import Dial
from common.exports import export, onnx_quantized
from common.networks import h5, packing


@functools.cache
def pictures() -> dict[str, list[bytes]]:
    """Files of every format of docs/formats.md, with every metadata that each can hold."""
    found: dict[str, list[bytes]] = {}
    for kind in formats.KINDS:
        if kind.format == "HEIF" and not formats.has_heif():
            continue
        for channels in kind.channels:
            for bits in kind.bits:
                encoded = kind.encode(formats.drawing(channels, bits), channels, bits)
                files = [encoded] if isinstance(encoded, bytes) else list(encoded)
                found.setdefault(kind.format, []).extend(files)
    for name, data, _ in formats.with_metadata():
        found.setdefault(name, []).extend([data] * max(1, len(found.get(name, ())) // 4))
    return found


@functools.cache
def shards(count: int = 24, size: int = 16) -> Path:
    """A prepared folder of drawn pictures; it goes with the process."""
    home = Path(_folder().name)
    (home / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = cv2.resize(rng.integers(0, 256, (3, 3, 3), np.uint8), (size, size))
        cv2.imwrite(str(home / "photos" / f"é {number}.png"), pixels)
    datasets.prepare(home / "photos", size, "squash", folder=home / "shards", shard_pictures=8)
    return home / "shards"


@functools.cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def survey() -> tuple[dict[str, Any], dict[str, Any]]:
    """The key of a survey and the verdicts of a person."""
    pictures = [
        {"sha256": f"{number:064x}", "kind": kind, "name": f"é {number}.png"}
        for number, kind in enumerate(("recoloured", "recoloured", "original"))
    ]
    shared = {"schema": 1, "survey": "0123456789abcdef"}
    key = {
        **shared,
        "kind": "colorization survey key",
        "model": {"name": "drawn", "sha256": "0" * 64},
        "data": {"name": "drawn", "split": "test", "seed": 0, "split_sha256": "0" * 64},
        "seen": 0,
        "published": {"share": 0.25, "source": "a paper"},
        "pictures": pictures,
    }
    verdicts = {
        **shared,
        "kind": "colorization survey verdicts",
        "person": "0" * 32,
        "seed": 1,
        "verdicts": [
            {"picture": picture["sha256"], "verdict": ("real", "recoloured")[number % 2]}
            for number, picture in enumerate(pictures)
        ],
    }
    return key, verdicts


@dataclasses.dataclass(frozen=True)
class Small(config.Config):
    """Of the networks here: as small as can be."""

    image_size: int = 16
    faithful: tuple[float, float] = (1.0, 0.0)
    vivid: tuple[float, float] = (0.38, 0.7)


def network() -> keras.Model:
    """A colorizer of a few hundred parameters, in its own scaling."""
    l = keras.Input((16, 16, 1), name="l")
    x = layers.Conv2D(4, 3, 2, "same", activation="relu", name="conv1")(l)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(2, 3, padding="same", activation="tanh", name="conv2")(x)
    x = layers.UpSampling2D(name="larger")(x)
    return keras.Model({"l": l}, x, name="small")


@functools.cache
def models() -> list[bytes]:
    """Exported models, plain and packed, and those that the tests keep."""
    keras.utils.set_random_seed(0)
    plain, packed = (Path(_folder().name, name) for name in ("plain.h5", "packed.h5"))
    metadata = {"title": "small", "image_size": 16, "cut": "squash", "data": {"name": "drawn"}}
    h5.export(h5.wrap(network(), Small()), plain, metadata)
    packing.pack(plain, packed, 10)
    kept = Path(__file__).parents[2] / "tests"
    return [path.read_bytes() for path in (plain, packed, *sorted(kept.glob("*.h5")))]


@functools.cache
def onnx_models() -> list[bytes]:
    """Exported .onnx files: of float32, float16 and int8, and one with a dial."""
    home = Path(_folder().name, "onnx")
    home.mkdir()
    keras.utils.set_random_seed(0)
    about = {"title": "small", "image_size": 16, "cut": "squash"}
    h5.export(h5.wrap(network(), Small()), home / "plain.h5", about)
    dial = Dial.of(Small(), np.full(313, 1 / 313), True)
    classifier = h5.wrap(bins.with_head(network()), Small(), dial.decode)
    h5.export(classifier, home / "dial.h5", {**about, "dial": dataclasses.asdict(dial)})
    whole, half, eighth, turned = (
        home / f"{name}.onnx" for name in ("float32", "float16", "int8", "dial")
    )
    export.to_onnx(export.Source.of(home / "plain.h5"), whole)
    export.to_onnx(export.Source.of(home / "dial.h5"), turned)
    onnx_quantized.to_float16(whole, half)
    l = np.random.default_rng(0).uniform(0, 100, (1, 16, 16, 1)).astype(np.float32)
    onnx_quantized.to_int8(whole, eighth, [{"l": l}])
    return [path.read_bytes() for path in (whole, half, eighth, turned)]
