"""A folder to train in, and runs of the tiny report of tests/tiny.py."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from common import cli, training
from common.color import bins
from common.networks import h5
from common.training.run import plain
from tests import drawn, tiny

ROOT = Path(__file__).parents[2]
FLAGS = ["--data", "photos", "--precision", "float32", "--run", "r"]


def make(folder):
    """40 drawn pictures in folder/photos; returns the folder."""
    drawn.folder(folder / "photos", 40, 40)
    return folder


def untrained(path, dial=None):
    """Export the tiny network with the metadata that a training gives; dial: of one for bins."""
    config = tiny.CONFIGS["plain"]
    keras.utils.set_random_seed(1)
    network = drawn.build_model(config)
    about = {"report": "tiny", "config_name": "plain", "config": plain(config), "title": path.stem}
    about |= {"options": [], "image_size": config.image_size, "cut": config.cut}
    if dial:
        about |= {"options": ["bins"], "dial": dataclasses.asdict(dial)}
        model = h5.wrap(bins.with_head(network), config, dial.decode)
    else:
        model = h5.wrap(network, config)
    h5.export(model, path, about)


def command(*flags):
    """The training command in this process; returns its exit code."""
    return cli.run(tiny.main, [*FLAGS, *flags])


def train(config="plain", **options):
    """`training.train` in float32, its export in the run's folder alone."""
    settings = {"precision": "float32", "run": "r", "published": False} | options
    return training.train(tiny.REPORT, config, "photos", **settings)


KILLED = """
import itertools, os, sys
from common import cli
from common.training.trainer import Trainer
from tests import tiny

save, saves = Trainer.save, itertools.count(1)


def killed(trainer):
    if next(saves) == int(sys.argv[2]):
        os.kill(os.getpid(), int(sys.argv[1]))
    save(trainer)


Trainer.save = killed
sys.exit(cli.run(tiny.main, sys.argv[3:]))
"""


def killed(folder, number, save):
    """The training command, which gets a signal before its checkpoint of that number; it ended.

    With a checkpoint after each step, and one more at an epoch's end.
    """
    given = [str(int(number)), str(save), *FLAGS, "--checkpoint-seconds=0"]
    return subprocess.run(
        [sys.executable, "-c", KILLED, *given],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )


def progress(folder, run="r"):
    """What a checkpoint holds beside the variables."""
    try:
        with np.load(folder / "runs" / run / "checkpoint.npz") as stored:
            return json.loads(str(stored["progress"]))
    except FileNotFoundError:
        return {"epoch": 0, "step": 0, "history": []}


def state(folder, run="r"):
    """{number: bytes} of the variables in a checkpoint."""
    with np.load(folder / "runs" / run / "checkpoint.npz") as stored:
        return {key: stored[key].tobytes() for key in stored.files if key != "progress"}


def without_time(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


class Stop(keras.callbacks.Callback):
    """Sends its own process a signal after some steps."""

    def __init__(self, steps, number=signal.SIGTERM):
        super().__init__()
        self.steps, self.number = steps, number

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if not self.steps:
            os.kill(os.getpid(), self.number)


@contextlib.contextmanager
def current(folder):
    """The folder as the current one."""
    with contextlib.chdir(folder):
        yield folder
