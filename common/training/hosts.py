"""The hosts that train one network together: who came, what they agree on, and who is gone.

Weights and gradients pass between hosts through JAX. Beside that, each host keeps one connection to
host 0 for what JAX does not do: a line for a host that does not come or is started otherwise, for
one that fails or dies, and agreement on when to stop. Messages are lines of JSON. Nothing is
encrypted or authenticated, as in JAX itself: the hosts' network must be a trusted one.
"""

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from common.cli import UserError, first_line, one_line

TIMEOUT = 10.0  # minutes that a host waits for the others to come
BEAT, SILENCE = 5.0, 60.0  # seconds between two signs of life; after which a host counts as gone
RETRY = 0.5  # seconds between two tries to reach host 0
HELLO = 10.0  # seconds that a connection has to say which host it is
AGAIN = "Start the same command again on every host: it goes on from the last checkpoint."


class Hosts:
    """The hosts of a run, as one of them sees them; `ALONE` where there is only one.

    id: this host's number, from 0. port: on host 0, free for JAX, the same on every host. `lost` is
    called with a line, in a thread, when another host is gone or reports an error; by default the
    line is printed and the process ends with code 2, since the main thread may wait in JAX for a
    host that will never answer.
    """

    def __init__(
        self,
        id: int = 0,
        count: int = 1,
        links: "Sequence[_Link]" = (),
        port: int = 0,
        lost: Callable[[str], None] | None = None,
    ):
        self.id, self.count, self.port, self._links = id, count, port, links
        self._tell_lost = lost
        self.open = bool(links)  # until `close`
        for link in self._links:
            threading.Thread(target=self._listen, args=(link,), daemon=True).start()
        if links:
            threading.Thread(target=self._beat, daemon=True).start()

    @property
    def first(self) -> bool:
        """Whether this is host 0, which writes the checkpoint, the history and the export."""
        return self.id == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other host."""
        return self.count == 1

    def exchange(self, value: Any = None) -> list[Any]:
        """What every host passes, in their order; waits for all. Values are what JSON can hold."""
        if self.alone:
            return [value]
        if not self.first:
            self._links[0].send("value", value)
            return self._links[0].receive()
        values = [json.loads(json.dumps(value)), *(link.receive() for link in self._links)]
        for link in self._links:
            link.send("value", values)
        return values

    def of_first(self, value: Any = None) -> Any:
        """What host 0 passes; waits for all."""
        return self.exchange(value)[0]

    def require_same(self, facts: dict[str, Any]) -> None:
        """`UserError` on every host where one has other facts than host 0; it names the first."""
        known, *others = self.exchange(facts)
        for number, theirs in enumerate(others, start=1):
            for key in sorted(known.keys() | theirs.keys()):
                if known.get(key) != theirs.get(key):
                    self.close()  # every host finds the same difference, and says it itself
                    raise UserError(
                        f"Host {number} is started otherwise than host 0: {key} is "
                        f"{one_line(theirs.get(key), 80)} there, {one_line(known.get(key), 80)} "
                        "on host 0. Start the same command on every host, but for HOST_ID=."
                    )

    def close(self, error: str | None = None) -> None:
        """Leave the others; with an error, they end too, and say it."""
        self.open = False
        for link in self._links:
            with contextlib.suppress(OSError):
                link.send("end" if error is None else "error", error)

    def _listen(self, link):
        """Take in what one host sends, until it ends."""
        try:
            for kind, value in link.messages():
                if kind == "value":
                    link.values.put(value)
                elif kind == "error":
                    relayed = str(value).startswith("Host ")
                    return self._lost(one_line(value if relayed else f"Host {link.id}: {value}"))
                elif kind == "end":
                    return None
            reason = "has ended"
        except (OSError, ValueError) as error:
            reason = f"does not answer ({first_line(error)})"
        return self._lost(f"Host {link.id} {reason}. {AGAIN}")

    def _lost(self, line):
        """A host is gone: the others learn it from host 0."""
        if not self.open:
            return
        self.close(line)
        (self._tell_lost or _end)(line)
        for each in self._links:
            each.values.put(UserError(line))

    def _beat(self):
        while self.open:
            for link in self._links:
                with contextlib.suppress(OSError):  # whoever listens to it learns that
                    link.send("alive")
            time.sleep(BEAT)


ALONE = Hosts()


class _Link:
    """A connection to the host `id`."""

    def __init__(self, connection: socket.socket, id: int):
        self.id, self.values = id, queue.SimpleQueue[Any]()
        self._connection, self._sending = connection, threading.Lock()
        self._file = connection.makefile("r", encoding="utf-8")

    def send(self, kind: str, value: Any = None) -> None:
        with self._sending:
            self._connection.sendall(json.dumps([kind, value]).encode() + b"\n")

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Yield (kind, value) of each message."""
        self._connection.settimeout(SILENCE)
        for line in self._file:
            yield _message(line)

    def message(self, seconds: float) -> tuple[str, Any]:
        """The next message; OSError or ValueError where none comes."""
        self._connection.settimeout(max(seconds, 0.1))
        return _message(self._file.readline())

    def receive(self) -> Any:
        """The next value that the host passes, of a connection that is listened to."""
        value = self.values.get()
        if isinstance(value, UserError):
            raise value
        return value

    def close(self) -> None:
        self._file.close()
        self._connection.close()


def _message(line):
    kind, value = json.loads(line)
    return kind, value


def meet(
    coordinator: str,
    count: int,
    id: int,
    minutes: float = TIMEOUT,
    lost: Callable[[str], None] | None = None,
) -> Hosts:
    """The hosts, once all have come; `UserError` after so many minutes, or for one too many.

    coordinator: "host:port", where host 0 listens and the others reach it.
    """
    host, port = _address(coordinator)
    deadline = time.monotonic() + 60 * minutes
    if id:
        return _come(host, port, count, id, deadline, minutes, lost)
    return _gather(coordinator, port, count, deadline, minutes, lost)


def _address(coordinator):
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"COORDINATOR={coordinator} is no address. Give host 0's name and a free port there, "
            "as COORDINATOR=gpu0.example.org:9871."
        )
    return host.strip("[]"), int(port)


def _gather(coordinator, port, count, deadline, minutes, lost):
    """Host 0: wait for the others."""
    links: dict[int, _Link] = {}
    with _server(coordinator, port) as server:
        while len(links) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = [str(each) for each in range(1, count) if each not in links]
                error = (
                    f"Host {' and '.join(missing)} did not come to {coordinator} within "
                    f"{minutes:g} minutes. Start the same command there with HOST_ID={missing[0]}; "
                    "TIMEOUT= is how many minutes are waited."
                )
                for link in links.values():
                    _tell(link, error)
                raise UserError(error) from None
            link = _Link(connection, 0)
            try:
                kind, hello = link.message(HELLO)
                link.id, theirs = int(hello["id"]), hello["count"]
                if kind != "hello":
                    raise ValueError(kind)
            except (OSError, ValueError, TypeError, KeyError):  # no host of ours
                link.close()
                continue
            if theirs != count:
                _tell(link, f"HOSTS={theirs}, but host 0 was started with HOSTS={count}.")
            elif link.id in links:
                _tell(link, f"HOST_ID={link.id} is there already. Every host needs its own.")
            else:
                links[link.id] = link
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    ordered = [links[each] for each in sorted(links)]
    for link in ordered:
        link.send("welcome", port)
    return Hosts(0, count, ordered, port, lost)


def _server(coordinator, port):
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"Host 0 cannot listen at COORDINATOR={coordinator} ({first_line(error)}). Take "
            "another port, on every host."
        ) from None


def _tell(link, error):
    """Say to a host why it cannot take part."""
    with contextlib.suppress(OSError):
        link.send("error", error)
    link.close()


def _come(host, port, count, id, deadline, minutes, lost):
    """Another host: reach host 0, and wait until all are there."""
    connection = None
    while connection is None:
        try:
            connection = socket.create_connection((host, port), timeout=5)
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Host 0 does not answer at {host}:{port} within {minutes:g} minutes "
                    f"({first_line(error)}). Start the same command there with HOST_ID=0; TIMEOUT= "
                    "is how many minutes are waited."
                ) from None
            time.sleep(RETRY)
    link = _Link(connection, 0)
    try:
        link.send("hello", {"id": id, "count": count})
        kind, value = link.message(deadline - time.monotonic() + HELLO)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"What listens at {host}:{port} does not answer as host 0 does ({first_line(error)})."
        ) from None
    if kind == "error":
        raise UserError(one_line(value))
    return Hosts(id, count, [link], int(value), lost)


def _end(line: str) -> NoReturn:
    """Print the line and end the process, whatever its main thread waits for."""
    sys.stdout.flush()
    print(f"\nerror: {line}", file=sys.stderr, flush=True)
    os._exit(2)
