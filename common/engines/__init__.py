"""Where work is done that falls into independent pieces: in this process, or by Ray's workers.

worker     what runs in a worker of Ray
cluster    Ray started here or joined by its address, and its workers

A part of a stage that can be shared out is a `Stage`: it turns items into results, one for each, in
order. The local engine lets one stage pass over all items, reading ahead as it likes; Ray's gives
pieces of them to stages in other processes. A result depends on its item alone, so that both are
the same, byte for byte.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

from common.cli import UserError

ENGINES = ("local", "ray")

Stage = Callable[[Iterable[Any]], Iterator[Any]]
# Called once in each process that works, with the number of cores to work with.
Load = Callable[[int], Stage]
Start = Callable[[], object]


class Engine(Protocol):
    """`run(load, items, piece)` yields the result of each item, in order.

    apart: whether the work is done in other processes, which get `load`, the items and give the
    results as pickles.
    """

    apart: bool

    def run(
        self,
        load: Load,
        items: Iterable[Any],
        piece: int = 1,
        network: bool = False,
        start: Start | None = None,
    ) -> Generator[Any, None, None]:
        """Yield the result of each item, in order; what the stage raises is raised here.

        piece: items that are one task, and lost together with a worker that dies. network: the
        stage holds a network, which takes a whole machine or a GPU. start: called in another
        process before `load` is unpickled there.
        """


@dataclasses.dataclass(frozen=True)
class Local:
    """The engine of this process."""

    apart = False

    def run(
        self,
        load: Load,
        items: Iterable[Any],
        piece: int = 1,
        network: bool = False,
        start: Start | None = None,
    ) -> Generator[Any, None, None]:
        """As of `Engine`: one stage passes over all items."""
        yield from load(cores())(items)


LOCAL = Local()


def cores() -> int:
    """The processors of this machine."""
    return os.cpu_count() or 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --engine and --ray-address, the arguments of `started`."""
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="what shares the work out: this process, or Ray's workers, here or on a cluster; the "
        "results are the same",
    )
    parser.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="the Ray cluster that this machine belongs to, or auto for the one that runs here; "
        "without it, and without the variable RAY_ADDRESS, Ray is started here and ended again",
    )


@contextlib.contextmanager
def started(name: str = ENGINES[0], address: str | None = None) -> Iterator[Engine]:
    """Yield the engine of a name in `ENGINES`; Ray starts with the first work and is then ended.

    address: of a running Ray cluster, host:port or auto. `UserError` where Ray is not installed,
    and at the first work where the cluster does not answer.
    """
    if name != "ray":
        if address:
            raise UserError("RAY_ADDRESS= is the address of a Ray cluster: add ENGINE=ray.")
        yield LOCAL
        return
    if importlib.util.find_spec("ray") is None:
        raise UserError("ENGINE=ray needs Ray, which is not installed: `make setup RAY=1`.")
    from common.engines.cluster import Cluster  # with what only Ray's engine needs

    with contextlib.closing(Cluster(address or os.environ.get("RAY_ADDRESS"))) as cluster:
        yield cluster
