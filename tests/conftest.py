"""What every test shares: a quiet, headless process, and the reasons to skip marked tests.

pytest-xdist starts a worker a core; each worker, and each process that a test starts, then
computes in one thread, since threads of several processes on the same cores only wait for one
another.
"""

import contextlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("RUNTIME", "keras")  # else every model a test colours by is converted
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import it by themselves
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # results must not depend on a GPU

# JAX compiles what the tests run a few times only: the compiler's time is nearly all of it.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
).strip()

if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # read by NumPy and TensorFlow at their import

import cv2  # noqa: E402
import hypothesis  # noqa: E402
import pytest  # noqa: E402
from selenium.common.exceptions import WebDriverException  # noqa: E402

from common import cli  # noqa: E402
from common.networks import model_names  # noqa: E402
from tests import chromium  # noqa: E402

if "PYTEST_XDIST_WORKER" in os.environ:
    cv2.setNumThreads(1)


# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile(
    "project",
    derandomize=True,
    max_examples=50,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("project")


def pytest_collection_modifyitems(items):
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    missing = {}
    if not any(cache.glob("*tf_dim_ordering_tf_kernels*.h5")):
        missing["imagenet"] = f"needs ImageNet weights in {cache}"
    if programs := chromium.missing():
        missing["browser"] = f"needs {' and '.join(programs)}"
    # TensorFlow asks the processor, not oneDNN, whether oneDNN has bfloat16, and then aborts. A
    # processor that has none is no such case: TensorFlow takes kernels of its own there.
    if cap := os.environ.get("ONEDNN_MAX_CPU_ISA"):
        missing["bfloat16"] = f"ONEDNN_MAX_CPU_ISA={cap} may exclude bfloat16"
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    """No models come with the library, so that only those that the test makes are found."""
    monkeypatch.setattr(model_names, "shipped", lambda: tmp_path / "shipped")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A `chromium.Browser`; the test is skipped where it does not start."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium.started(tmp_path_factory.mktemp("chromium")))
        except WebDriverException as error:
            pytest.skip(f"Chromium does not start: {cli.first_line(error)}")
        yield browser
