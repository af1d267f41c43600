"""The devices of a run: which they are, and what each host reads of a batch.

A run on several devices is the run on one: the same batches, rates, losses and checkpoints, which
any number of devices continues. Each batch is divided equally among the devices, which all have the
same weights; `common.training.parallel` is the step. On JAX the devices may be those of several
hosts (`common.training.hosts`), of which host 0 validates, prints and writes.
"""

import atexit
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from common.cli import UserError, first_line
from common.training.hosts import ALONE, TIMEOUT, Hosts, meet

WAIT = 5.0  # seconds in which an error of JAX may turn out to be a host that is gone


@dataclasses.dataclass(frozen=True)
class Devices:
    """What trains: devices of this host, in the backend's own terms, and as many of each other."""

    local: Sequence[Any] = (None,)  # None: the backend's default
    hosts: Hosts = ALONE

    @property
    def count(self) -> int:
        """All devices of all hosts."""
        return len(self.local) * self.hosts.count

    def check(self, batch_size: int) -> None:
        """`UserError` for a batch that cannot be divided into equal parts."""
        rest = batch_size % self.count
        if rest:
            near = [size for size in (batch_size - rest, batch_size - rest + self.count) if size]
            raise UserError(
                f"A batch of {batch_size} pictures cannot be divided equally among {self.count} "
                f"devices. Take BATCH={' or BATCH='.join(map(str, near))}, or other DEVICES=."
            )

    def share(self, batch_size: int) -> slice:
        """Which pictures of a batch this host reads."""
        size = batch_size // self.hosts.count
        return slice(self.hosts.id * size, (self.hosts.id + 1) * size)

    def release(self) -> None:
        """Training has ended: the other hosts may go, and this one goes on by itself."""
        if self.hosts.open:
            import jax

            self.hosts.exchange()
            jax.distributed.shutdown()
            self.hosts.close()


ONE = Devices()


def check(
    devices: str | int | None, coordinator: str | None, hosts: int | None, host_id: int | None
) -> None:
    """`UserError` for options that do not go together."""
    backend = keras.backend.backend()
    if devices is not None and not str(devices).isdigit() and devices != "all":
        raise UserError(f"DEVICES={devices}: give a number, or all.")
    if devices is not None and str(devices) == "0":
        raise UserError("DEVICES=0: at least one device trains.")
    if devices is not None and backend not in ("jax", "tensorflow"):
        raise UserError(f"DEVICES= is for TensorFlow and JAX, and the backend is {backend}.")
    given = {"COORDINATOR": coordinator, "HOSTS": hosts, "HOST_ID": host_id}
    missing = [f"{name}=" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return
    if missing:
        raise UserError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: several "
            "hosts need COORDINATOR=host:port of host 0, HOSTS= how many there are, and HOST_ID= "
            "from 0 on, another on each."
        )
    assert hosts is not None and host_id is not None
    if hosts < 2:
        raise UserError(f"HOSTS={hosts}: several are at least 2. Leave it out for one.")
    if not 0 <= host_id < hosts:
        raise UserError(f"HOST_ID={host_id}: of {hosts} hosts, give one from 0 to {hosts - 1}.")
    if backend != "jax":
        raise UserError(
            f"HOSTS= is for JAX, and the backend is {backend}: set KERAS_BACKEND=jax on every host."
        )


@contextlib.contextmanager
def opened(
    devices: str | int | None = None,
    coordinator: str | None = None,
    hosts: int | None = None,
    host_id: int | None = None,
    minutes: float = TIMEOUT,
) -> Iterator[Devices]:
    """The devices that options ask for (`check`); several hosts wait here for each other.

    devices: how many of each host, "all", or None: one, or with several hosts all. To be called
    before JAX computes anything, with Keras's seed set. An error within the context ends the other
    hosts too, as theirs end this one (`Hosts`). `UserError` where there are not so many devices, or
    where the hosts do not come or differ.
    """
    check(devices, coordinator, hosts, host_id)
    if coordinator is None or hosts is None or host_id is None:
        yield ONE if devices in (None, 1, "1") else Devices(_chosen(devices))
        return
    met = meet(coordinator, hosts, host_id, minutes)
    try:
        print(f"host {met.id} of {met.count}: all are here", flush=True)
        _start(coordinator, met)
        chosen = _chosen(devices or "all")
        met.require_same({"devices": len(chosen)})
        trained_on = Devices(chosen, met)
        yield trained_on
        trained_on.release()
    except UserError as error:
        _leave(met, str(error))
        raise
    except BaseException as error:
        if isinstance(error, Exception):
            time.sleep(WAIT)  # meanwhile a lost connection ends this process, with a line
        _leave(met, "stopped" if isinstance(error, KeyboardInterrupt) else first_line(error))
        raise


def _start(coordinator, hosts):
    """Start JAX's own connections between hosts."""
    import jax

    with contextlib.suppress(AttributeError):  # where it is not, gloo is all there is
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address = f"{coordinator.rpartition(':')[0]}:{hosts.port}"
    try:
        keras.distribution.initialize(address, hosts.count, hosts.id)
    except RuntimeError as error:
        raise UserError(
            f"JAX cannot join other hosts now ({first_line(error)}). Several hosts train once in a "
            "process, before anything else that uses JAX."
        ) from error


def _chosen(wanted):
    """The first so many devices of this host."""
    found = _found()
    if wanted == "all":
        return found
    if int(wanted) > len(found):
        raise UserError(
            f"DEVICES={wanted}: this machine has {len(found)} that {keras.backend.backend()} can "
            "use. Take DEVICES=all."
        )
    return found[: int(wanted)]


def _found():
    """The devices of this host that train: its GPUs, else what the backend has."""
    if keras.backend.backend() == "jax":
        import jax

        return tuple(jax.local_devices())
    import tensorflow as tf

    names = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tuple(device.name for device in names)


def _leave(hosts, error):
    """End the other hosts. At this process's exit JAX would wait for them: it ends without."""
    if hosts.open:
        hosts.close(error)
        atexit.register(_exit)


def _exit():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)
