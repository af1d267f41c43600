"""Whether the same seed gives the same bits, by number of threads, and what DETERMINISTIC=1 costs.

    .venv/bin/python -m benchmarks.determinism [--size 64] [--only koala]

Every report's default network takes four training steps on noise, in a process of its own each
time: twice on one thread, twice on two, and twice on two with DETERMINISTIC=1. The table says
whether the weights of the two are the same bits, whether those of one and of two threads are, and
the processor's time of a step with DETERMINISTIC=1 as a multiple of that without: the median of the
later three steps of one process over that of the other, for both pairs.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import sys
import time

import keras
import numpy as np

from benchmarks.bench.networks import cases
from common import cli, training
from common.networks import determinism
from common.networks.precision import choose_jit, choose_policy, in_precision

STEPS, BATCH = 4, 8


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = cli.Parser("python -m benchmarks.determinism", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=cli.at_least(32), default=64)
    parser.add_argument("--only", action="append", help="a report")
    args = parser.parse_args(argv)
    print("| network | 1 thread | 2 threads | 2, DETERMINISTIC=1 | 1 as 2 | time |")
    print("|---|---|---|---|---|--:|")
    for report, name in cases():
        if args.only and report not in args.only:
            continue
        kinds = ((1, False), (2, False), (2, True))
        found = {
            kind: [_in_process(report, name, args.size, *kind) for _ in range(2)] for kind in kinds
        }
        same = [found[kind][0][0] == found[kind][1][0] for kind in kinds]
        same.append(found[1, False][0][0] == found[2, False][0][0])
        words = " | ".join("same" if each else "differ" for each in same)
        times = [
            slow / fast
            for (_, fast), (_, slow) in zip(found[2, False], found[2, True], strict=True)
        ]
        print(f"| {report} {name} | {words} | {min(times):.2f} to {max(times):.2f} |", flush=True)


def _in_process(*args):
    """(hash of the weights, seconds a step) of `_weights`, from a process that is forked for it."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        with os.fdopen(read) as pipe:
            found = json.loads(pipe.read())
        os.wait()
        return found
    try:
        os.write(write, json.dumps(_weights(*args)).encode())
    finally:
        os._exit(0)


def _weights(report, name, size, threads, deterministic):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if deterministic:
        determinism.enable()
    keras.utils.set_random_seed(0)
    package = importlib.import_module(report)
    config = dataclasses.replace(package.CONFIGS[name], image_size=size, batch_size=BATCH)
    network = in_precision(package.build_model(config), choose_policy("auto")[0])
    training.compile_model(package, network, config, 1000)
    choose_jit(network)
    rng, seconds = np.random.default_rng(0), []
    for _ in range(STEPS):
        x, y = (
            keras.tree.map_structure(lambda t: rng.random((BATCH, *t.shape[1:]), np.float32), side)
            for side in (network.input, network.output)
        )
        began = time.process_time()
        float(network.train_on_batch(x, y, return_dict=True)["loss"])
        seconds.append(time.process_time() - began)
    hashed = hashlib.sha256()
    for variable in network.variables:
        hashed.update(keras.ops.convert_to_numpy(variable).tobytes())
    return hashed.hexdigest(), float(np.median(seconds[1:]))


if __name__ == "__main__":
    sys.exit(cli.run(main))
