"""Hosts that meet, agree, differ, stay away and vanish, as threads of one process."""

import concurrent.futures
import signal
import socket
import threading
import time
import types

import pytest

from common.cli import UserError
from common.training import hosts
from common.training.trainer import Trainer
from tests import ports


def free():
    """host:port of this machine where nothing listens."""
    return f"localhost:{ports.free()}"


def met(count, lost=None):
    """That many hosts that have met."""
    address = free()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        coming = [
            pool.submit(hosts.meet, address, count, id, 0.5, lost) for id in reversed(range(count))
        ]
    return [each.result() for each in reversed(coming)]


def together(function, everyone):
    """The result, or the `UserError`, of a function of each host, all at once."""

    def of(host):
        try:
            return function(host)
        except UserError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(len(everyone)) as pool:
        return list(pool.map(of, everyone))


def test_what_each_host_passes_reaches_all_in_their_order():
    everyone = met(3)
    for turn in range(3):
        values = together(lambda host, turn=turn: host.exchange([host.id, turn]), everyone)
        assert values == [[[0, turn], [1, turn], [2, turn]]] * 3
    assert together(lambda host: host.of_first(host.id), everyone) == [0, 0, 0]
    assert [host.first for host in everyone] == [True, False, False]
    assert len({host.port for host in everyone}) == 1
    together(lambda host: host.close(), everyone)


def test_one_host_needs_no_other():
    assert hosts.ALONE.exchange("x") == ["x"] and hosts.ALONE.of_first(7) == 7
    assert hosts.ALONE.first and hosts.ALONE.alone and not hosts.ALONE.open


def test_another_seed_is_named_on_every_host():
    everyone = met(2)
    lines = together(lambda host: host.require_same({"seed": host.id, "batch": 4}), everyone)
    assert lines[0] == lines[1]
    assert lines[0].startswith(
        "Host 1 is started otherwise than host 0: seed is 1 there, 0 on host 0."
    )


def test_a_host_that_does_not_come():
    address = free()
    with pytest.raises(UserError, match=r"Host 1 and 2 did not come to .* within 0.002 minutes"):
        hosts.meet(address, 3, 0, 0.002)
    with pytest.raises(UserError, match=r"Host 0 does not answer at .* within 0.002 minutes"):
        hosts.meet(address, 3, 1, 0.002)


def test_a_host_learns_that_another_does_not_come(monkeypatch):
    address, passed, message = free(), [], hosts._Link.message

    def heard(link, seconds):
        said = message(link, seconds)
        if said[0] == "hello":  # of host 2; then an hour passes
            passed.append(3600)
        return said

    clock = types.SimpleNamespace(
        monotonic=lambda: time.monotonic() + sum(passed), sleep=time.sleep
    )
    monkeypatch.setattr(hosts, "time", clock)
    monkeypatch.setattr(hosts._Link, "message", heard)
    lines = together(lambda id: hosts.meet(address, 3, id, 0.5), [0, 2])
    assert lines[0] == lines[1] and lines[0].startswith("Host 1 did not come")


def test_a_number_given_twice_and_another_count_are_refused():
    address = free()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(hosts.meet, address, 3, 0, 0.5)
        second = pool.submit(hosts.meet, address, 3, 2, 0.5)
        with pytest.raises(UserError, match=r"HOSTS=4, but host 0 was started with HOSTS=3"):
            hosts.meet(address, 4, 1, 0.5)
        with socket.create_connection(("localhost", int(address.split(":")[1]))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n")  # is passed over
        third = pool.submit(hosts.meet, address, 3, 1, 0.5)
        for each in (first, second, third):
            each.result().close()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        address = free()
        first, *ones = [pool.submit(hosts.meet, address, 3, id, 0.5) for id in (0, 1, 1)]
        refused = next(concurrent.futures.as_completed(ones))
        assert "HOST_ID=1 is there already" in str(refused.exception())
        hosts.meet(address, 3, 2, 0.5).close()
        for each in {first, *ones} - {refused}:
            each.result().close()


@pytest.mark.parametrize("address", ["here", "here:", "here:x", ":80", "here:99999"])
def test_what_is_no_address(address):
    with pytest.raises(UserError, match="is no address"):
        hosts.meet(address, 2, 1)


def test_a_port_in_use():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match="cannot listen"):
            hosts.meet(f"localhost:{port}", 2, 0)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_host_that_vanishes_is_missed_by_all(gone):
    lines, heard = [], threading.Semaphore(0)

    def lost(line):
        lines.append(line)
        heard.release()

    everyone = met(3, lost)
    everyone[gone].open = False  # it is not to miss the others
    for link in everyone[gone]._links:
        link._connection.shutdown(socket.SHUT_RDWR)  # as the system does for a killed process
    for _ in range(2):
        assert heard.acquire(timeout=10)
    assert all(line.startswith(f"Host {gone} has ended. Start the same") for line in lines)


def test_the_reason_of_a_failure_reaches_the_others():
    lines, heard = [], threading.Semaphore(0)

    def lost(line):
        lines.append(line)
        heard.release()

    everyone = met(3, lost)
    everyone[2].close("The shard is corrupt.")
    for _ in range(2):
        assert heard.acquire(timeout=10)
    assert lines == ["Host 2: The shard is corrupt."] * 2
    together(lambda host: host.close(), everyone)


def test_a_signal_on_one_host_stops_all_at_the_same_step():
    """As `Trainer` agrees on it when losses are read; what host 0 passes is everyone's."""

    def trains(host):
        trainer = types.SimpleNamespace(
            hosts=host,
            asked=None,
            stopped_by=None,
            model=types.SimpleNamespace(stop_training=False),
        )
        for step in range(1, 10):
            if (host.id, step) == (1, 3):
                Trainer._stop(trainer, signal.SIGTERM, None)
            assert Trainer._agreed(trainer, [host.id, step]) == [0, step]
            if trainer.stopped_by:
                return step, trainer.stopped_by
        return None

    everyone = met(3)
    assert together(trains, everyone) == [(3, signal.SIGTERM)] * 3
    together(lambda host: host.close(), everyone)
