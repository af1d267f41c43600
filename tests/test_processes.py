"""Helper processes: what they answer, and how their death is known."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from common import processes
from common.cli import UserError
from common.processes import Helper, HelperDied

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def lasting():
    helper = Helper("tests.answering", {"a": 1}, channels=2)
    yield helper
    helper.close()


@pytest.fixture
def mortal():
    helper = Helper("tests.answering")
    yield helper
    helper.close()


def test_values_come_back(lasting):
    assert lasting.ask(("echo", "ü", [1.5, None])) == (({"a": 1}, "ü", [1.5, None]), [])
    assert lasting.ask(("pid",), channel=1) == lasting.ask(("pid",))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_arrays_pass_in_shared_memory(lasting, dtype):
    array = processes.shared((3, 5, 2), dtype)
    array[...] = np.arange(30).reshape(3, 5, 2)
    ((shape, name), descriptors) = lasting.ask(
        ("double", array.shape, dtype), [processes.descriptor_of(array)]
    )
    result = processes.received(descriptors[0], shape, name)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, 2 * np.arange(30).reshape(3, 5, 2))


def test_less_memory_than_its_array_needs_is_refused():
    for shape, dtype in (((4, 5), "uint8"), ((2, 2), "float64"), ((0, 5), "uint8")):
        memory = processes.shared((3, 5), "uint8")
        with pytest.raises(ValueError, match="less memory|no picture"):
            processes.received(os.dup(processes.descriptor_of(memory)), shape, dtype)


def test_errors_come_back(lasting):
    with pytest.raises(UserError, match="a mistake"):
        lasting.ask(("user error",))
    with pytest.raises(OSError, match="no space") as caught:
        lasting.ask(("system error",))
    assert (caught.value.errno, caught.value.filename) == (28, "there")
    with pytest.raises(MemoryError):
        lasting.ask(("no memory",))
    with pytest.raises(RuntimeError, match="KeyError: 'lost'"):
        lasting.ask(("defect",))
    assert lasting.alive


def test_an_interrupt_is_its_parents_affair(lasting):
    os.kill(lasting.ask(("pid",))[0], signal.SIGINT)
    assert lasting.ask(("echo", 1))[0] == ({"a": 1}, 1)


@pytest.mark.parametrize(
    ("request_", "words", "lacks_memory"),
    [
        (("crash",), "crashed .SIGSEGV.", False),
        (("kill",), "was killed, perhaps because memory ran out", True),
        (("exit",), "ended", False),
        (("sleep", 600), "did not end", False),
        (("spin",), "did not end", False),
        (("class",), "crashed", True),  # a class that is not among the known ones
    ],
    ids=["crash", "kill", "exit", "sleep", "spin", "class"],
)
def test_its_death_is_known(mortal, request_, words, lacks_memory):
    with pytest.raises(HelperDied, match=words) as caught:
        mortal.ask(request_, seconds=1 if request_[0] == "sleep" else 60)
    assert caught.value.lacks_memory is lacks_memory and not mortal.alive
    with pytest.raises(HelperDied):
        mortal.ask(("pid",))


def test_several_threads_that_find_its_death_close_each_descriptor_once(mortal, monkeypatch):
    closed, close = [], os.close

    def slow(descriptor):
        closed.append(descriptor)
        time.sleep(0.05)  # in which the other threads run
        close(descriptor)

    monkeypatch.setattr(processes.os, "close", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: mortal.close(), range(4)))
    assert len(closed) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limit of memory")
def test_its_memory_is_limited(mortal):
    assert mortal.ask(("limited", 200 << 20, 100 << 20))[0] == 100 << 20
    with pytest.raises(MemoryError):
        mortal.ask(("limited", 200 << 20, 300 << 20))
    assert mortal.alive


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="is Linux's")
def test_where_memory_runs_out_it_goes_before_its_parent(lasting):
    pid, _ = lasting.ask(("pid",))
    theirs, ours = (Path("/proc", str(each), "oom_score_adj") for each in (pid, "self"))
    assert int(theirs.read_text()) >= max(500, int(ours.read_text()))


def test_it_ends_with_its_parent():
    program = (
        "import time; from common.processes import Helper\n"
        "print(Helper('tests.answering').ask(('pid',))[0], flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    helper = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while _runs(helper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(helper)


def _runs(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
        return state.split()[0] != "Z"  # an orphan's end may be noticed by nobody
    except OSError:
        return False
