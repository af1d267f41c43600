"""Make tests/golden.h5 anew: only when the format of exported models changes on purpose."""

import dataclasses
import json

import h5py
import numpy as np

from common.networks import h5
from common.networks.interface import predict
from tests import drawn
from tests.networks.test_h5 import GOLDEN

if __name__ == "__main__":
    config = dataclasses.replace(drawn.Config(), image_size=16)
    drawn.exported(GOLDEN, config)
    l = np.linspace(0, 100, 16 * 16, dtype=np.float32).reshape(1, 16, 16, 1)
    ab = predict(h5.load(GOLDEN), {"l": l})
    with h5py.File(GOLDEN, "r+") as file:
        file.attrs["expected"] = json.dumps(ab[0, ::5, ::5].tolist())
