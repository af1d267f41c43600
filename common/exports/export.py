"""An exported .h5 into a file for another runtime, compared with what Keras makes of the .h5."""

import argparse
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import files, photos
from common.cli import UserError
from common.color import lab
from common.exports import extras, onnx_files, onnx_quantized, outputs, tflite_files
from common.exports.onnx_network import OnnxNetwork, embedding_beside
from common.networks import embeddings, flags, h5
from common.networks.interface import predict

NUMBERS = ("float32", "float16", "int8")
TOLERANCE = 0.05  # Lab units: the most by which ab in float32 may differ from Keras's
CALIBRATION = 100  # pictures at most


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a model and of its numbers to an argparse parser."""
    flags.add_model(parser, ".h5")
    parser.add_argument(
        "--quantize", choices=NUMBERS[1:], help="smaller numbers; float32 if not given"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        help="a folder of photos from which int8 takes the ranges of its numbers",
    )


def numbers_of(args: argparse.Namespace) -> str:
    """One of `NUMBERS` of the flags of `add_model`; `UserError` where they do not fit together."""
    if args.calibrate and args.quantize != "int8":
        raise UserError("CALIBRATE= is for QUANTIZE=int8: add that, or leave CALIBRATE= out.")
    if args.quantize == "int8":
        check_calibration(args.calibrate)
    return args.quantize or "float32"


@dataclasses.dataclass(frozen=True)
class Source:
    """An exported .h5 with its metadata, and its embedding network where it needs one."""

    path: Path
    model: keras.Model
    metadata: dict[str, Any]
    embedder: embeddings.Embedder | None

    @classmethod
    def of(cls, path: Path, weights: str | Path | None = None) -> "Source":
        """weights: a file of the embedding network, if it is not in the usual folders."""
        model, about = h5.load(path), h5.metadata(path)
        embedder = None
        if any(tensor.name == "embedding" for tensor in model.inputs):
            if not about.get("embedding"):
                raise UserError(
                    f"{path} needs an embedding, and its metadata does not name the network. "
                    "Export it with its metadata."
                )
            embedder = embeddings.find(about["embedding"], weights, path.parent)
        return cls(path, model, about, embedder)

    def described(self, numbers: str) -> dict[str, Any]:
        """The metadata of a file made of it."""
        made = {"sha256": files.sha256(self.path), "numbers": numbers}
        return {**self.metadata, "export": made}

    def inputs(self, l: np.ndarray) -> dict[str, np.ndarray]:
        """The model's inputs for L* (N, S, S, 1)."""
        return {"l": l} if self.embedder is None else {"l": l, "embedding": self.embedder(l)}

    @property
    def size(self) -> int:
        """The side of the pictures that it takes."""
        (l,) = (tensor for tensor in self.model.inputs if tensor.name == "l")
        return l.shape[1] or self.metadata.get("image_size") or 256


def to_onnx(
    source: Source, target: Path, numbers: str = "float32", calibrate: Path | None = None
) -> list[Path]:
    """Write an .onnx and that of its embedding network; returns their paths.

    numbers: one of `NUMBERS`; calibrate: a folder of photos, for int8. Each file is written whole
    or not at all. `UserError` where it cannot be, and where float32 gives other ab than Keras.
    """
    extras.module("onnxruntime")
    embedding = _embedding(source, target, onnx_files.write)
    with files.replacing(target) as temporary, tempfile.TemporaryDirectory() as folder:
        whole = temporary if numbers == "float32" else Path(folder) / "float32.onnx"
        onnx_files.write(outputs.of_colorizer(source.model), whole, source.described(numbers))
        if numbers == "float16":
            onnx_quantized.to_float16(whole, temporary)
        elif numbers == "int8":
            batches = (source.inputs(l) for l in pictures(calibrate, source))
            onnx_quantized.to_int8(whole, temporary, batches)
        network = OnnxNetwork(temporary)  # as any other, with all checks
        if numbers == "float32":
            check(source, network.predict)
    return [target, *embedding]


def to_tflite(
    source: Source, target: Path, numbers: str = "float32", calibrate: Path | None = None
) -> list[Path]:
    """Write a .tflite and that of its embedding network; as `to_onnx`."""
    embedding = _embedding(source, target, tflite_files.write)
    batches = None
    if numbers == "int8":
        calibration = [source.inputs(l) for l in pictures(calibrate, source)]
        batches = functools.partial(iter, calibration)
    with files.replacing(target) as temporary:
        network = outputs.of_colorizer(source.model)
        tflite_files.write(network, temporary, source.described(numbers), numbers, batches)
        computed = tflite_files.computed(temporary)
        if numbers == "float32":
            check(source, lambda inputs: computed(inputs)["ab"])
    return [target, *embedding]


FORMATS = {".onnx": to_onnx, ".tflite": to_tflite}  # by the file's suffix


def _embedding(source, target, write):
    """[the embedding network's file beside `target`], written if it is not there; [] for none."""
    if source.embedder is None:
        return []
    beside = embedding_beside(target, source.metadata["embedding"])
    if not beside.is_file():
        metadata = {"embedding": source.embedder.metadata}
        write(outputs.of_embedder(source.embedder), beside, metadata)
    return [beside]


def check(source: Source, computed: Callable[[dict[str, np.ndarray]], np.ndarray]) -> None:
    """`UserError` where a picture's ab differ by more than `TOLERANCE` from Keras's."""
    ramp = np.linspace(0, 100, source.size, dtype=np.float32)
    l = (ramp[:, None] * ramp / 100)[None, ..., None]
    rng = np.random.default_rng(0)
    l = np.clip(l + rng.normal(0, 5, l.shape), 0, 100).astype(np.float32)
    inputs = source.inputs(l)
    off = float(np.abs(computed(inputs) - predict(source.model, inputs)).max())
    if not off <= TOLERANCE:
        raise UserError(
            f"{source.path} is not written: its ab would be off by {off:.3g} Lab units, more than "
            f"{TOLERANCE}. Another version of the packages may convert it."
        )


def check_calibration(folder: Path | None) -> None:
    """`UserError` where there is no folder of photos to calibrate int8 by."""
    if folder is None:
        raise UserError("QUANTIZE=int8 needs photos to measure ranges by: CALIBRATE=folder.")
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. CALIBRATE= is a folder of photos.")


def pictures(folder: Path | None, source: Source) -> Iterator[np.ndarray]:
    """Yield L* (1, S, S, 1) of up to `CALIBRATION` photos of a folder, spread over its list.

    `UserError` where there is no folder, or no photo in it that can be read.
    """
    check_calibration(folder)
    assert folder is not None
    found = [path for path in photos.find(folder) if photos.is_picture(path)]
    cut = source.metadata.get("cut", "squash")
    count = 0
    for path in found[:: max(1, len(found) // CALIBRATION)][:CALIBRATION]:
        try:
            with photos.read(path) as photo:
                pixels = next(iter(photo.pages())).pixels
        except photos.PhotoError:
            continue
        l = lab.grey_to_l(pixels) if pixels.ndim == 2 else lab.rgb_to_l(pixels[..., :3])
        count += 1
        yield photos.fit([l], source.size, cut, pad=100.0, shape=l.shape)[None, ..., None]
    if not count:
        raise UserError(f"There is no photo in {folder} that can be read. CALIBRATE= needs some.")
