"""`Cluster`: Ray, started here or joined by its address, as an engine. The work goes by Ray Data.

A piece of the items is a row of a Ray data set, a stage the constructor of its actors. Ray Data
keeps the order, holds back where results are not taken as fast as they come, starts a worker that
died anew and repeats its piece. Nothing leaves the machine or its cluster: the dashboard and Ray's
usage statistics are off.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from common import cli
from common.cli import UserError
from common.engines import Load, Start, worker

SECONDS = 30  # in which a cluster must answer
RETRIES = 3  # of a piece whose worker died
MEMORY = 1 << 30  # bytes of pieces and results in flight, of a Ray that is started here


_JOIN = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


class Cluster:
    """The engine `ray`; address: of a running cluster, None to start Ray here.

    Ray starts, or is joined, with the first work. Close it in the end.
    """

    apart = True

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._ray: Any = None  # the module, once Ray runs
        self._handler: Any = None

    def close(self) -> None:
        """Leave the cluster, or end the one that was started here."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None
            if self._handler is not None:  # Ray sets one of its own
                signal.signal(signal.SIGTERM, self._handler)

    def run(
        self,
        load: Load,
        items: Iterable[Any],
        piece: int = 1,
        network: bool = False,
        start: Start | None = None,
    ) -> Generator[Any, None, None]:
        """As of `Engine`. Ray starts here, in the thread that calls: it ends together with it."""
        items = list(items)
        if items:
            self._join()
        return self._results(load, items, piece, network, start)

    def _results(self, load, items, piece, network, start):
        if not items:
            return
        import ray
        import ray.data

        settings = ray.data.DataContext.get_current()
        settings.execution_options.preserve_order = True
        settings.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        count, cores, gpus = self._share(network)
        rows = [
            {"piece": pickle.dumps(items[at : at + piece], pickle.HIGHEST_PROTOCOL)}
            for at in range(0, len(items), piece)
        ]
        with warnings.catch_warnings():
            # Ray Data repeats a piece without end unless told otherwise, and is told so only by an
            # argument that it will replace.
            warnings.simplefilter("ignore")
            answers = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                worker.Worker,
                fn_constructor_args=(
                    pickle.dumps((worker.surroundings(), cores)),
                    pickle.dumps(start),
                    pickle.dumps(load, pickle.HIGHEST_PROTOCOL),
                ),
                compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
                num_cpus=cores,
                num_gpus=gpus,
                max_task_retries=RETRIES,
            )
        try:
            for row in answers.iter_rows():
                kind, value = pickle.loads(row["answer"])
                if kind == "error":
                    raise value
                if kind == "defect":
                    raise RuntimeError(f"in a worker of Ray:\n{value}")
                yield from value
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"Ray's workers ended {RETRIES + 1} times at the same piece of work, or did not "
                f"begin: memory may have run out, or a machine lacks this library "
                f"({cli.one_line(lines[-1], 160)}). Run the same command again: it goes on."
            ) from error

    def _share(self, network):
        """(workers, cores of each, GPUs of each); a network has a GPU, or a machine, to itself."""
        resources = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = [int(each["CPU"]) for each in resources if each.get("CPU", 0) >= 1]
        if not cores:
            raise UserError("The Ray cluster has no processors to work with: start one with some.")
        gpus = int(sum(each.get("GPU", 0) for each in resources))
        if not network:
            return sum(cores), 1, 0
        return (gpus, 1, 1) if gpus else (len(cores), min(cores), 0)

    def _join(self):
        """Start Ray or join the cluster, once."""
        if self._ray is not None:
            return
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is in Ray's own logs
        if self._address:
            _check_answers(self._address)
        import ray

        if threading.current_thread() is threading.main_thread():
            self._handler = signal.getsignal(signal.SIGTERM)
        home = str(Path(__file__).parents[2])  # workers import this library from the same folder
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        how: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.CRITICAL,
            "runtime_env": {"env_vars": {"PYTHONPATH": path}},
        }
        if not self._address:
            how |= {"include_dashboard": False, "object_store_memory": MEMORY}
        with cli.silence():
            ray.init(self._address or "local", **how)
        self._ray = ray


def _check_answers(address):
    """`UserError` where no cluster can be joined at an address within `SECONDS`.

    Tried in a process of its own: Ray itself waits for minutes.
    """
    command = [sys.executable, "-c", _JOIN, address]
    reason = f"no answer in {SECONDS} s"
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return
    except subprocess.CalledProcessError as error:
        reason = cli.one_line((error.stderr.strip().splitlines() or [reason])[-1], 160)
    except subprocess.TimeoutExpired:
        pass
    raise UserError(
        f"The Ray cluster at {address} cannot be joined ({reason}). This machine must belong to "
        "it: `ray start --head` begins one, `ray start --address=host:port` adds a machine; "
        "without RAY_ADDRESS= Ray is started here."
    )
