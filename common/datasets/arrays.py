"""Data sets published as arrays of small pictures, CIFAR-10 and STL-10 -> folders of PNG files.

The folders are `<split>/<class>/<number>.png`; one that exists already is used as it is.
"""

import contextlib
import os
import shutil
from pathlib import Path

import keras
import numpy as np

from common import cli, photos
from common.cli import UserError, first_line
from common.networks import downloads

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def cifar10(folder: str | Path) -> None:
    """Write the 50,000 + 10,000 pictures of 32 x 32 from `keras.datasets` into a folder.

    They come from Keras's cache, or are downloaded into it. Raises `UserError` if neither is
    possible.
    """
    print("CIFAR-10: from Keras's cache, or 163 MB to download", flush=True)
    try:
        with downloads.by_https():
            train, test = keras.datasets.cifar10.load_data()
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        raise UserError(
            f"CIFAR-10 is neither in Keras's cache nor to be downloaded ({first_line(error)}). Put "
            f"its pictures into {folder}/train/<class>/ and {folder}/test/<class>/."
        ) from None
    _write(folder, {"train": train, "test": test}, CIFAR10)


def stl10(folder: str | Path) -> None:
    """Write the 5,000 + 8,000 labelled pictures of 96 x 96 into a folder.

    They come from the unpacked archive `stl10_binary` beside that folder; without it nothing is
    written. Raises `UserError` if the archive is not whole.
    """
    source = Path(folder).with_name("stl10_binary")
    if not source.is_dir():
        return
    splits = {}
    for split in ("train", "test"):
        try:
            pictures = np.fromfile(source / f"{split}_X.bin", np.uint8).reshape(-1, 3, 96, 96)
            labels = np.fromfile(source / f"{split}_y.bin", np.uint8).astype(int) - 1
            if len(labels) != len(pictures) or not set(labels) <= set(range(len(STL10))):
                raise ValueError(f"{len(pictures)} pictures, {len(labels)} labels")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{source} is not STL-10, or not whole: {split}: {error}. Unpack "
                "stl10_binary.tar.gz anew."
            ) from None
        # Stored channel by channel, and each channel column by column.
        splits[split] = pictures.transpose(0, 3, 2, 1), labels
    _write(folder, splits, STL10)


def _write(folder, splits, classes):
    """{split: (pictures (N, H, W, 3) uint8, labels (N,))} -> folder/split/class/number.png."""
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with cli.progress(
            total=sum(len(rgb) for rgb, _ in splits.values()), desc="writing", unit="picture"
        ) as bar:
            for split, (pictures, labels) in splits.items():
                for name in classes:
                    (part / split / name).mkdir(parents=True)
                for number, (rgb, label) in enumerate(zip(pictures, np.ravel(labels), strict=True)):
                    path = part / split / classes[label] / f"{number:05d}.png"
                    path.write_bytes(photos.png(rgb))
                    bar.update()
        os.replace(part, folder)  # whole or absent
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)


MAKERS = {"cifar10": cifar10, "stl10": stl10}
