"""Smaller .h5 files: weights rounded to fewer bits of mantissa, and compressed.

HDF5 stores the bytes of equal significance together (shuffle) and compresses them (gzip): rounded
bits cost nothing, and every reader of HDF5 opens the file as before.
"""

import json
from pathlib import Path

import h5py
import numpy as np

from common.networks import h5

BITS = 23  # of float32's mantissa
LEVEL = 9  # of gzip


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 values to the nearest with `bits` bits of mantissa, ties to even; same shape.

    The relative error is at most 2 ** -(bits + 1). ValueError for other dtypes or bits.
    """
    if values.dtype != np.float32 or not 0 < bits <= BITS:
        raise ValueError(
            f"rounded() takes float32 and 1 to {BITS} bits, the mantissa of float32. Received: "
            f"{values.dtype} and {bits}. Convert the values first."
        )
    dropped = np.uint32(BITS - bits)
    words = np.ascontiguousarray(values).view(np.uint32)
    if dropped:
        last = (words >> dropped) & np.uint32(1)
        words = words + (np.uint32(1 << (int(dropped) - 1)) - np.uint32(1) + last)
        words = words >> dropped << dropped
    return words.view(np.float32).reshape(values.shape)


def pack(source: str | Path, target: str | Path, bits: int) -> None:
    """Write an .h5 of Keras anew, rounded and compressed, whole or not at all.

    An exported model's metadata say then how many bits of mantissa its weights have. `UserError`
    for a source that is no HDF5 file.
    """
    about = h5.metadata(source)
    with h5py.File(source, "r") as old, h5.InMemory() as new:
        attributes = dict(old.attrs)
        if "model_config" in attributes:
            attributes["model_config"] = h5.for_older(attributes["model_config"])
        if about:
            attributes[h5.ATTRIBUTE] = json.dumps({**about, "mantissa_bits": bits})
        new.attrs.update(attributes)
        old.visititems(lambda name, item: _copy(new, name, item, bits))
        new.write_to(target)


def _copy(file, name, item, bits):
    """Copy a group, or an array: rounded if of float32, and compressed."""
    if isinstance(item, h5py.Group):
        file.require_group(name).attrs.update(item.attrs)
        return
    values, options = item[()], {}
    if item.dtype == np.float32:
        values = rounded(values, bits)
    if item.ndim:
        # One chunk: each begins its table of codes anew.
        options = {"chunks": item.shape, "shuffle": True}
        options |= {"compression": "gzip", "compression_opts": LEVEL}
    file.create_dataset(name, data=values, **options).attrs.update(item.attrs)
