"""The stages: what each works on, and its kills, compared with an undisturbed run (`torture`).

The processes are forked from one that has imported everything and computed nothing, which saves
the start of TensorFlow in each. "Colorizing" starts its helper processes all the same; the two runs
at once work without (`--isolate=no`).
"""

import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers

from common import cli, datasets, files, locks, photos, training
from common.commands import colorize
from common.datasets import maps
from common.networks import embeddings, frozen
from tests import drawn, tiny
from tests.training import mapped

# Audit events of Python before which a process may be killed.
OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock"}
KILLED = -signal.SIGKILL
COUNTED = ("results that differ", "files left behind")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of the work: how its trials begin, the commands at once, and what they result in.

    begin(): fills the current folder, once. commands: run in a copy of it, each in a process.
    results(): {name: bytes} in the current folder.
    """

    name: str
    begin: Callable[[], None]
    commands: tuple[Callable[[], int | None], ...]
    results: Callable[[], dict[str, bytes]]


def torture(stage: Stage, home: Path, kills: int, rng: np.random.Generator) -> dict[str, float]:
    """Trials of a stage with so many kills in all; {"kills", "restarts", ...} counted."""
    began = time.monotonic()
    start, work = home / "start", home / "work"
    work.mkdir(parents=True)
    _wait([_fork(stage.begin, work, home / "log")], home)
    shutil.copytree(work, start)  # a data set is named by its folder's path: that of each trial
    expected, seconds, operations = _undisturbed(stage, start, work, home)
    done = restarts = differing = left = trial = 0
    while done < kills:
        _copy(start, work)
        for _ in range(min(kills - done, 1 + trial % 2)):
            moments = [
                _moment(rng, seconds, operations, by_time=(trial + of) % 2 == 0)
                for of in range(len(stage.commands))
            ]
            codes = _killed(stage, work, home, moments)
            done += codes.count(KILLED)
            restarts += 1
        _wait([_fork(command, work, home / "log") for command in stage.commands], home)
        found = _results(stage, work)
        wrong = [name for name in found | expected if found.get(name) != expected.get(name)]
        hidden = [
            str(path.relative_to(work))
            for pattern in (".writing-*", locks.NAME)
            for path in work.rglob(pattern)
        ]
        if wrong or hidden:
            print(f"{stage.name}, {moments}: {wrong}, {hidden}", file=sys.stderr)
        differing, left, trial = differing + len(wrong), left + len(hidden), trial + 1
    spent = round(time.monotonic() - began)
    return dict(
        zip(
            ("kills", "restarts", *COUNTED, "seconds"),
            (done, restarts, differing, left, spent),
            strict=True,
        )
    )


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a process is killed: after some seconds, or before its file operation of this number."""

    seconds: float | None = None
    operation: int | None = None


def _moment(rng, seconds, operations, by_time):
    if by_time:
        return Moment(seconds=rng.uniform(0, seconds))
    return Moment(operation=int(rng.integers(1, operations + 1)))


def _undisturbed(stage, start, work, home):
    """(results, seconds, file operations) of one command without a kill."""
    _copy(start, work)
    began = time.monotonic()
    counts = home / "operations"
    _wait([_fork(stage.commands[0], work, home / "log", counts=counts)], home)
    return _results(stage, work), time.monotonic() - began, int(counts.read_text())


def _results(stage, work):
    os.chdir(work)
    try:
        return stage.results()
    finally:
        os.chdir(work.parent)


def _copy(start, work):
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(start, work)


def _killed(stage, work, home, moments):
    """Start the commands, kill each at its moment, and return their exit codes."""
    began = time.monotonic()
    processes = [
        _fork(command, work, home / "log", moment.operation)
        for command, moment in zip(stage.commands, moments, strict=True)
    ]
    for process, moment in sorted(
        zip(processes, moments, strict=True), key=lambda pair: pair[1].seconds or 0
    ):
        if moment.seconds is not None:
            time.sleep(max(0, began + moment.seconds - time.monotonic()))
            os.kill(process, signal.SIGKILL)  # of a child not yet waited for: never another's
    return _wait(processes, home)


def _wait(processes, home):
    """The exit codes of processes; an error, with their words, if one is not 0 or a kill's."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    if not set(codes) <= {0, KILLED}:
        raise RuntimeError(f"exit codes {codes}:\n{(home / 'log').read_text()[-3000:]}")
    return codes


def _fork(command, folder, log, operation=None, counts=None):
    """Run a command in a folder, in a process of its own; returns its number.

    operation: the file operation before which it kills itself. counts: a file for their number.
    """
    sys.stdout.flush()
    if process := os.fork():
        return process
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        count = _count_operations(operation)
        code = cli.run(lambda _: command())
        if counts:
            counts.write_text(str(count()))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_operations(last):
    """Count file operations from now on; kill this process before the one of number `last`."""
    done = 0

    def hook(event, args):
        nonlocal done
        writing = (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if event in OPERATIONS or writing:
            done += 1
            if done == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: done


# --- the stages -------------------------------------------------------------------------------

PICTURES = "photos"  # drawn


def _draw(count=60, size=48):
    drawn.folder(Path(PICTURES), count, size, ".jpg")


def _small_embedding(weights, classes, classifier_activation):
    """In place of MobileNetV2."""
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, 2, activation="relu")(picture)
    return keras.Model(picture, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def _prepare():
    small = dataclasses.replace(
        embeddings.NETWORKS["mobilenet_v2"], size=64, build=_small_embedding
    )
    embeddings.NETWORKS["mobilenet_v2"] = small
    dataset = datasets.prepare(
        PICTURES, 32, "squash", "mobilenet_v2", "random", folder="shards", shard_pictures=8
    )
    config = mapped.CONFIGS["flips"]
    network = mapped.build_model(config)
    about = {"encoder": mapped.load_encoder(network, config, "random")}
    first, _ = frozen.cut(network, ["encoder"])
    maps.store(dataset, frozen.Frozen(first, config, about), mirrored=True)


def _shards():
    return {path.name: path.read_bytes() for path in Path("shards").iterdir() if path.is_file()}


def _train():
    training.train(
        tiny.REPORT, "plain", PICTURES, run="r", precision="float32", checkpoint_seconds=0, epochs=2
    )


def _begin_training():
    _draw(40, 40)
    datasets.prepare(PICTURES, 32, "squash")


def _weights_and_losses():
    with np.load("runs/r/checkpoint.npz") as stored:
        found = {name: stored[name].tobytes() for name in stored.files if name != "progress"}
        history = json.loads(str(stored["progress"]))["history"]
    for row in history:
        row.pop("seconds")
    return found | {"history": json.dumps(history).encode()} | _models()


def _begin_exporting():
    _begin_training()
    _train()
    shutil.rmtree("models")
    for path in Path("runs/r").glob("*.h5"):
        path.unlink()


def _models():
    return {str(path): path.read_bytes() for path in sorted(Path().glob("*/**/*.h5"))}


def _begin_colorizing():
    """30 photos of several formats and sizes, and a model."""
    for seed in range(30):
        rgb = drawn.picture(seed, 120 + 8 * seed, 160)
        path = Path(PICTURES, f"{seed % 3}", f"{seed}{('.jpg', '.png', '.tif')[seed % 3]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1])
    drawn.exported("model.h5")


def _colorize(*flags):
    return colorize.main(["--in", PICTURES, "--out", "coloured", "--model", "model.h5", *flags])


def _colorize_here():
    return _colorize("--isolate=no")


def _coloured():
    return {
        str(p): files.sha256(p).encode()
        for p in photos.find(Path("coloured"))
        if p.suffix != ".csv"
    }


STAGES = (
    Stage("preparing", _draw, (_prepare,), _shards),
    Stage("training", _begin_training, (_train,), _weights_and_losses),
    Stage("exporting", _begin_exporting, (_train,), _models),
    Stage("colorizing", _begin_colorizing, (_colorize,), _coloured),
    Stage(
        "colorizing, two runs at once",
        _begin_colorizing,
        (_colorize_here, _colorize_here),
        _coloured,
    ),
)
