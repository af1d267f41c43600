"""A helper process for tests: it answers, fails or dies as it is asked to."""

import ctypes
import os
import signal
import time

import numpy as np

from common import processes
from common.cli import UserError


def start(argument):
    kept = []

    def handle(request, descriptors):
        name, *given = request
        kept.clear()
        if name == "echo":
            return (argument, *given), ()
        if name == "double":
            pixels = processes.received(descriptors[0], *given)
            kept.append(processes.as_shared(pixels * 2))
            return (pixels.shape, pixels.dtype.name), [processes.descriptor_of(kept[0])]
        return CALLS[name](*given), ()

    return handle


def _raise(error):
    raise error


def _crash():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def _limited(limit, size):
    processes.limit_memory(limit)
    return np.ones(size, np.uint8).size


CALLS = {
    "pid": os.getpid,
    "crash": _crash,
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sleep": time.sleep,
    "spin": lambda: (processes.limit_processor_time(0), [None for _ in iter(int, 1)]),
    "class": lambda: UserError,
    "limited": _limited,
    "user error": lambda: _raise(UserError("a mistake")),
    "system error": lambda: _raise(OSError(28, "no space", "there")),
    "no memory": lambda: _raise(MemoryError()),
    "defect": lambda: _raise(KeyError("lost")),
}
