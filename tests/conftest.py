"""What every test shares: a quiet, headless process, and the reason to skip `imagenet` tests."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # results must not depend on a GPU

import pytest  # noqa: E402


def pytest_collection_modifyitems(items):
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    if any(cache.glob("*tf_dim_ordering_tf_kernels*.h5")):
        return
    skip = pytest.mark.skip(reason=f"needs ImageNet weights in {cache}")
    for item in items:
        if item.get_closest_marker("imagenet"):
            item.add_marker(skip)
