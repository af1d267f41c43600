"""Helper processes: what may crash, hang or run out of memory does so there, and costs one task.

A helper is a fresh Python that imports one module and answers requests until its parent closes it
or ends, however that ends. Arrays pass in shared memory, not through the pipe. What a helper sends
is data: its pickles can name no class but those that the parent allows.
"""

import contextlib
import importlib
import io
import json
import math
import mmap
import os
import pickle
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from common.cli import UserError

# What a helper's module offers: `start(argument)`, which returns this; descriptors are of files.
Handler = Callable[[Any, list[int]], tuple[Any, Sequence[int]]]

_PROGRAM = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path')\n"
    "from common import processes; processes.serve(**given)"
)
_HEADER = struct.Struct("<Q")
_LONGEST = 1 << 30  # bytes of a message
_DESCRIPTORS = 8  # with a message
_OOM_SCORE = 500  # of 1000; at 0 the system ends the process that takes most


class HelperDied(Exception):
    """A helper ended while it worked: `signal`, None if it exited; `hung`: it was out of time."""

    def __init__(self, code: int | None, hung: bool = False) -> None:
        self.hung = hung or code == -signal.SIGXCPU
        self.signal = -code if code is not None and code < 0 and not hung else None
        super().__init__(self.how)

    @property
    def lacks_memory(self) -> bool:
        """Whether that is the likely reason: the system killed it, or it gave up by itself."""
        return self.signal in (signal.SIGKILL, signal.SIGABRT)

    @property
    def how(self) -> str:
        """What happened, in words that follow a subject."""
        if self.hung:
            return "did not end"
        if self.signal == signal.SIGKILL:
            return "was killed, perhaps because memory ran out"
        if self.signal is None:
            return "ended"
        with contextlib.suppress(ValueError):  # a number without a name
            return f"crashed ({signal.Signals(self.signal).name})"
        return f"crashed (signal {self.signal})"


class Helper:
    """A running helper process.

    module: offers `start(argument)`, which is called there once and returns a `Handler`. channels:
    requests that it takes at a time, each in a thread of its own. known: classes that replies may
    hold beside Python's plain types. environment: variables that it gets besides. silent: what it
    writes to standard error is dropped. It takes no interrupt, which is its parent's affair.
    """

    def __init__(
        self,
        module: str,
        argument: Any = None,
        channels: int = 1,
        known: Collection[type] = (),
        environment: dict[str, str] | None = None,
        silent: bool = False,
    ) -> None:
        self._known = {(each.__module__, each.__qualname__): each for each in known}
        pairs = [socket.socketpair() for _ in range(channels)]
        self._sockets = [ours for ours, _ in pairs]
        self._closing = threading.Lock()
        theirs = [end.detach() for _, end in pairs]
        life, self._life = os.pipe()  # its other end closes with this process, whatever ends it
        given = {
            "path": [os.path.abspath(path) for path in sys.path],
            "module": module,
            "descriptors": theirs,
            "life": life,
        }
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, json.dumps(given)],
                pass_fds=[*theirs, life],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if silent else None,
                env={**os.environ, **(environment or {})},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for descriptor in (*theirs, life):
                os.close(descriptor)
        with contextlib.suppress(OSError):  # it has ended already, which the first request finds
            _send(self._sockets[0], argument)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(
        self,
        request: Any,
        descriptors: Sequence[int] = (),
        channel: int = 0,
        seconds: float | None = None,
    ) -> tuple[Any, list[int]]:
        """The answer to a request: a value, and descriptors of files, which the caller closes.

        seconds: after which the process is ended. Raises `HelperDied`, and what the handler raised
        if that is a `UserError`, an `OSError` or a `MemoryError`; `RuntimeError` for a defect.
        """
        try:
            _send(self._sockets[channel], request, descriptors)
            (kind, value), received = _receive(self._sockets[channel], self._known, seconds)
        except TimeoutError:
            self.close()
            raise HelperDied(None, hung=True) from None
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)  # its end of the channel closes a moment before it
            code = self._process.poll()
            self.close()
            raise HelperDied(code) from None
        except (pickle.UnpicklingError, ValueError, TypeError, struct.error):
            self.close()  # what it says is no answer: it is no longer itself
            raise HelperDied(-signal.SIGABRT) from None
        if kind == "value":
            return value, received
        if kind == "UserError":
            raise UserError(value)
        if kind == "OSError":
            raise OSError(*value)
        if kind == "MemoryError":
            raise MemoryError
        raise RuntimeError(f"in a helper process:\n{value}")

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._closing:  # its death is found by every thread that waits for an answer
            self._process.kill()
            self._process.wait()
            for each in self._sockets:
                each.close()
            if self._life >= 0:
                os.close(self._life)
                self._life = -1


# --- In the helper --------------------------------------------------------------------------------


def serve(module: str, descriptors: list[int], life: int) -> None:
    """The main function of a helper process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _volunteer()
    threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()
    channels = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    argument, _ = _receive(channels[0])
    handle = importlib.import_module(module).start(argument)
    for channel in channels[1:]:
        threading.Thread(target=_answer, args=(channel, handle), daemon=True).start()
    _answer(channels[0], handle)


def _volunteer():
    """Where memory runs out let Linux end this process, whose end is survived, and no other."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        score = max(_OOM_SCORE, int(file.read()))
        file.seek(0)
        file.write(str(score))


def _end_with_parent(life):
    os.read(life, 1)  # nothing is ever written
    os._exit(0)


def _answer(channel, handle):
    while True:
        try:
            request, received = _receive(channel)
        except EOFError:
            return
        sent: Sequence[int] = ()
        try:
            value, sent = handle(request, received)
            answer = "value", value
        except MemoryError:
            answer = "MemoryError", None
        except UserError as error:
            answer = "UserError", str(error)
        except OSError as error:
            answer = "OSError", (error.errno, error.strerror or str(error), error.filename)
        except Exception:
            answer = "defect", traceback.format_exc()
        _send(channel, answer, sent)


def limit_memory(more: int) -> None:
    """Let this process take so many bytes more than it has; without effect outside Linux.

    It is an address space that is limited, the only amount that the system holds a process to.
    """
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return
    _limit(resource.RLIMIT_AS, now + more)


def limit_processor_time(more: float) -> None:
    """Let this process work so many seconds more; it is ended by SIGXCPU then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + more))


def _limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


# --- Messages -------------------------------------------------------------------------------------


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, known):
        super().__init__(file)
        self._known = known

    def find_class(self, module, name):
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"{module}.{name} is not among the known classes")
        return self._known[module, name]


def _send(channel, message, descriptors=()):
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    socket.send_fds(channel, [_HEADER.pack(len(data))], list(descriptors))
    channel.sendall(data)


def _receive(channel, known=None, seconds=None):
    """(message, descriptors); known: of a stranger's message. TimeoutError, EOFError."""
    # Counted in ticks: while this process is stopped (Ctrl-Z, a closed laptop) no time passes.
    ticks = [math.inf if seconds is None else max(1, math.ceil(seconds))]
    _wait(channel, ticks)
    header, received, _, _ = socket.recv_fds(channel, _HEADER.size, _DESCRIPTORS)
    if not header:
        raise EOFError
    header += _exactly(channel, _HEADER.size - len(header), ticks)
    (size,) = _HEADER.unpack(header)
    if size > _LONGEST:
        raise ValueError("a message without end")
    file = io.BytesIO(_exactly(channel, size, ticks))
    return (pickle.load(file) if known is None else _Unpickler(file, known).load()), received


def _exactly(channel, size, ticks):
    data = bytearray()
    while len(data) < size:
        _wait(channel, ticks)
        part = channel.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _wait(channel, ticks):
    while True:
        poll = select.poll()
        poll.register(channel, select.POLLIN)  # anew: another thread may have closed it
        if poll.poll(1000):
            return
        ticks[0] -= 1
        if ticks[0] <= 0:
            raise TimeoutError


# --- Arrays in shared memory ----------------------------------------------------------------------


class _Memory(mmap.mmap):
    """Shared memory with the descriptor of its file, which has no name."""

    descriptor = -1

    def __del__(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)


def shared(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros in shared memory, freed when nobody holds it; MemoryError."""
    size = max(1, math.prod(shape)) * np.dtype(dtype).itemsize
    try:
        descriptor = _nameless()
        os.ftruncate(descriptor, size)
        if hasattr(os, "posix_fallocate"):  # now, not by a signal when it is written
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise MemoryError(str(error)) from None
    return _mapped(descriptor, shape, dtype)


def _nameless():
    if hasattr(os, "memfd_create"):
        return os.memfd_create("colorization")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def received(descriptor: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The array that another process shares; ValueError where its memory is smaller than that.

    dtype: "uint8" or "uint16", nothing else.
    """
    shape = tuple(map(int, shape))
    if dtype not in ("uint8", "uint16") or min(shape, default=0) < 1:
        os.close(descriptor)
        raise ValueError(f"no picture: {shape} {dtype}")
    if os.fstat(descriptor).st_size < math.prod(shape) * np.dtype(dtype).itemsize:
        os.close(descriptor)
        raise ValueError("less memory than its array needs")
    return _mapped(descriptor, shape, dtype)


def _mapped(descriptor, shape, dtype):
    try:
        memory = _Memory(descriptor, math.prod(shape) * np.dtype(dtype).itemsize)
    except OSError as error:
        os.close(descriptor)
        raise MemoryError(str(error)) from None
    memory.descriptor = descriptor
    return np.ndarray(shape, dtype, buffer=memory)


def as_shared(array: np.ndarray) -> np.ndarray:
    """The array itself if it is one of `shared` or `received`, else a copy; MemoryError."""
    if descriptor_of(array) is not None:
        return array
    copy = shared(array.shape, array.dtype)
    copy[...] = array
    return copy


def descriptor_of(array: np.ndarray) -> int | None:
    """The descriptor of an array of `shared` or `received`; None for any other, and for a view."""
    memory = array.base
    if not isinstance(memory, _Memory) or array.nbytes != len(memory):
        return None
    return memory.descriptor if array.flags.c_contiguous else None
