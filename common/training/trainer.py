"""The training loop of a network on a data set, in the folder of a run."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from common import cli, datasets, locks
from common.cli import UserError
from common.color.dial import Dial
from common.config import Config
from common.networks.precision import choose_jit
from common.training import checkpoint, logs
from common.training.batches import Batches
from common.training.callbacks import Callbacks
from common.training.devices import ONE, Devices
from common.training.options import CHECKPOINT_SECONDS
from common.training.step import Step
from common.training.validation import Validation

GRID = 8  # pictures in grid.png
AT_ONCE = 32  # steps at most whose losses are read together


class Trainer:
    """A network in training. The config gives how many `steps` of how many `epochs`.

    compile_model(model, config, steps) gives the network its optimizer and loss. thawed: the
    layers that train from the epoch `config.unfreeze_after` on, at `config.unfrozen_rate`. dial:
    decodes the logits of a network that classifies ab, which needs one. lock: of the folder,
    checked before each checkpoint. devices: what trains; of several hosts, host 0 reads and writes
    the folder and validates, and the others wait meanwhile.
    """

    def __init__(
        self,
        model: keras.Model,
        config: Config,
        batches: Batches,
        folder: Path,
        compile_model: Callable[[keras.Model, Config, int], None],
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        thawed: Sequence[str] = (),
        dial: Dial | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        lock: locks.Lock | None = None,
        devices: Devices = ONE,
    ):
        if config.steps is None:
            raise ValueError(
                "Trainer needs a number of steps an epoch. Received: config.steps=None."
            )
        self.model, self.config, self.batches, self.folder = model, config, batches, folder
        self.steps = config.steps
        self.dataset = batches.dataset
        self.compile_model, self.thawed, self.dial = compile_model, thawed, dial
        self.lock, self.devices, self.hosts = lock, devices, devices.hosts
        self.checkpoint, self.checkpoint_seconds = folder / "checkpoint.npz", checkpoint_seconds
        self.progress = checkpoint.Progress()
        self.validation = Validation(model, batches, dial)
        self.callbacks = Callbacks(callbacks, model, config.epochs, self.steps)
        self.asked: int | None = None  # the signal that asked this host to stop
        self.stopped_by: int | None = None  # the one by which all hosts stop
        self._compile(config.learning_rate, config.unfreeze_after or config.epochs)
        if not self.dataset.count("validation"):
            raise UserError(
                f"{self.dataset.folder} has no validation pictures. Use more pictures, or "
                "another SPLIT_BY."
            )

    def _compile(self, learning_rate, epochs):
        """Give the network its optimizer and loss for a phase of so many epochs."""
        config = dataclasses.replace(self.config, learning_rate=learning_rate)

        def compile_model(model):
            self.compile_model(model, config, self.steps * epochs)

        compile_model(self.model)
        choose_jit(self.model)
        prepare = self.batches.prepared if self.batches.inside else lambda batch: batch
        self.step = Step(self.model, prepare, self.devices, compile_model)

    def _unfreeze(self):
        """Begin the last phase: the pretrained layers train too."""
        for name in self.thawed:
            self.model.get_layer(name).trainable = True
        epochs = max(1, self.config.epochs - (self.config.unfreeze_after or 0))
        self._compile(self.config.unfrozen_rate, epochs)

    def resume(self) -> bool:
        """Continue from the checkpoint; False without one, `UserError` if none is sound.

        Other hosts get the progress from host 0 here, and the variables with the first step.
        """

        def prepare(progress):
            if progress.unfrozen:
                self._unfreeze()

        progress = None
        if self.hosts.first:
            progress = checkpoint.load(self.checkpoint, self.model, prepare)
        if not self.hosts.alone:
            known = self.hosts.of_first(progress and dataclasses.asdict(progress))
            if known and not self.hosts.first:
                progress = checkpoint.Progress(**known)
                prepare(progress)
        if progress:
            self.progress = progress
        return progress is not None

    def save(self) -> None:
        """Write the checkpoint."""
        if not self.hosts.first:
            return
        if self.lock:
            self.lock.check()
        self.step.settle()
        self.progress.callbacks = self.callbacks.states()
        checkpoint.save(self.checkpoint, self.model, self.progress)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or a callback ended a run of so many epochs."""
        ended = self.progress.ended is not None and self.config.epochs <= self.progress.ended
        return ended or self.progress.epoch >= self.config.epochs

    def fit(self) -> bool:
        """Train to the last epoch; False if a signal stopped it, with the checkpoint written."""
        epochs, steps, progress = self.config.epochs, self.steps, self.progress
        with _signals(self._stop), contextlib.closing(logs.TensorBoard(self.folder)) as board:
            if not self.finished:
                self._measure_baseline()
                self.model.stop_training = False
                progress.ended = None
                self.callbacks.begin(progress.callbacks)
            trains = not self.finished
            with cli.progress(
                total=epochs * steps, unit="step", initial=progress.epoch * steps + progress.step
            ) as bar:
                while not self.finished and not self.stopped_by:
                    bar.set_description(f"epoch {progress.epoch + 1}/{epochs}", refresh=False)
                    self._train_epoch(bar)
                    if not self.finished and not self.stopped_by:
                        self._finish_epoch(bar, board)
            if trains and not self.stopped_by:
                self.callbacks.calls.on_train_end()
                if self.callbacks.all:  # which may have set other weights
                    self.save()
        if self.stopped_by:
            print(
                f"stopped in epoch {progress.epoch + 1} after step {progress.step} of {steps}; the "
                "same command goes on from there",
                flush=True,
            )
        return not self.stopped_by

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The network has the moving average of its weights meanwhile, if the optimizer keeps one.

        That is what is validated and exported; training goes on from the weights themselves.
        """
        optimizer, variables = self.model.optimizer, self.model.trainable_variables
        if not optimizer.use_ema or not int(optimizer.iterations):  # nothing is averaged yet
            yield
            return
        weights = [keras.ops.convert_to_numpy(variable) for variable in variables]
        optimizer.finalize_variable_values(variables)
        for variable in variables:
            # Else, on JAX, it shares its array with the optimizer, and Keras's prediction, which
            # gives up the arrays that it gets, would take the optimizer's away.
            variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
        try:
            yield
        finally:
            for variable, value in zip(variables, weights, strict=True):
                variable.assign(value)

    def _stop(self, number, _frame):
        self.asked = number
        if self.hosts.alone:
            self.stopped_by = number

    def _agreed(self, value=None):
        """What host 0 passes. All hosts stop, or end the run, if one was asked to."""
        if self.hosts.alone:
            return value
        each = self.hosts.exchange([self.asked, bool(self.model.stop_training), value])
        self.stopped_by = max((asked for asked, *_ in each if asked), default=None)
        self.model.stop_training = any(ends for _, ends, _ in each)
        return each[0][-1]

    def _validate(self, predict):
        """The scores of the validation split; {} once stopped."""
        scores = {}
        if self.hosts.first:
            scores = self.validation(predict, stopped=lambda: self.asked is not None)
        return self._agreed(scores)

    def _measure_baseline(self):
        self.baseline = self._validate(self.validation.mean_colour)
        if self.baseline and self.hosts.first:
            print(
                f"mean colour on {self.dataset.count('validation')} validation pictures: "
                f"PSNR {_decibels(self.baseline)}",
                flush=True,
            )

    def _train_epoch(self, bar):
        """Train the rest of the current epoch; a checkpoint every few minutes and at its end."""
        progress = self.progress
        if progress.step == 0:
            progress.sums, progress.seconds = {}, 0.0
        after = self.config.unfreeze_after
        if after is not None and progress.epoch >= after and not progress.unfrozen:
            bar.write(f"epoch {progress.epoch + 1}: {', '.join(self.thawed)} train from here on")
            progress.unfrozen = True
            self._unfreeze()
        self.callbacks.calls.on_epoch_begin(progress.epoch)
        started = saved = time.monotonic()
        for _ in self._steps(bar):
            if self.model.stop_training:
                progress.ended = self.config.epochs
            now = time.monotonic()
            if now - saved >= self.checkpoint_seconds or self.stopped_by:
                progress.seconds, started = progress.seconds + now - started, now
                self.save()
                saved = time.monotonic()
            if self.stopped_by:
                return
            if self.model.stop_training:
                break
        progress.seconds += time.monotonic() - started
        self.save()

    def _steps(self, bar):
        """Train the rest of the epoch; yields whenever the steps' losses have been read.

        That is about once a second, since whoever reads them waits for the device, or as often as
        there are checkpoints; after every step if a callback looks at each, and at once when a
        signal asks to stop.
        """
        calls, watched = self.callbacks.calls, self.callbacks.watch_steps
        each = any(self.hosts.exchange(watched))  # all hosts read the losses of the same steps
        first, step, waiting, at_once = self.progress.epoch * self.steps, self.step, [], 1
        numbers = range(self.progress.step, self.steps)
        source = self.batches.stored if self.batches.inside else self.batches
        batches = datasets.ahead(lambda number: step.put(source(first + number)), numbers)
        began = time.monotonic()
        for number, batch in zip(numbers, batches, strict=True):
            if watched:
                calls.on_train_batch_begin(number)
            waiting.append(step(batch))
            if each or self.stopped_by or len(waiting) >= at_once or number == numbers[-1]:
                values = step.read(waiting)
                self._add(values, bar)
                if watched:
                    step.settle()
                    calls.on_train_batch_end(number, _ours(values[-1]))
                now = time.monotonic()
                every = min(1.0, self.checkpoint_seconds)  # seconds between two readings
                steps = int(len(waiting) * every / max(now - began, 1e-3))
                at_once = self._agreed(max(1, min(AT_ONCE, steps)))
                began, waiting = now, []
                yield

    def _add(self, steps, bar):
        """Count steps and sum their values; `UserError` for a loss that is not finite."""
        progress = self.progress
        for values in map(_ours, steps):
            if not np.isfinite(values["loss"]):
                raise UserError(
                    f"The loss is {values['loss']} in epoch {progress.epoch + 1}, step "
                    f"{progress.step + 1}. The last checkpoint is kept. Try a lower learning "
                    "rate, or PRECISION=float32."
                )
            progress.step += 1
            progress.sums = {
                key: progress.sums.get(key, 0.0) + value for key, value in values.items()
            }
        bar.set_postfix_str(f"loss {progress.sums['loss'] / progress.step:.5f}", refresh=False)
        bar.update(len(steps))

    def _finish_epoch(self, bar, board):
        """Validate, add the epoch to the history, and draw the curves and the grid."""
        progress, steps = self.progress, self.steps
        self.step.settle()
        with self.averaged():
            scores = self._validate(self.validation.predict)
        if not scores:
            return  # stopped: the checkpoint stands at the epoch's last step
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        means = {key: total / steps for key, total in progress.sums.items()}
        row = {
            "epoch": progress.epoch + 1,
            **means,
            **{f"val_{key}": value for key, value in scores.items()},
            "mean_colour_psnr_rgb": self.baseline["psnr_rgb"],
            "mean_colour_mse_ab": self.baseline["mse_ab"],
            "learning_rate": float(rate),
            "steps": steps * (progress.epoch + 1),
            "seconds": round(progress.seconds, 1),
        }
        progress.history.append(row)
        if self.hosts.first:
            bar.write(
                f"epoch {progress.epoch + 1}: loss {means['loss']:.5f}, validation loss "
                f"{scores['loss']:.5f}, PSNR {_decibels(scores)} "
                f"(mean colour {_decibels(self.baseline)})"
            )
        self.callbacks.calls.on_epoch_end(progress.epoch, dict(row))
        self._agreed()
        if self.model.stop_training:
            progress.ended = self.config.epochs
        progress.epoch, progress.step = progress.epoch + 1, 0
        if not self.hosts.first:
            return
        self.save()
        logs.write_history(self.folder, progress.history)
        board.write(row)
        logs.draw_curves(self.folder / "curves.png", progress.history)
        self._draw_grid()

    def _draw_grid(self):
        count = self.dataset.count("validation")
        positions = np.unique(np.linspace(0, count - 1, min(GRID, count)).astype(int))
        batch = self.batches.read("validation", positions)
        with self.averaged():
            ab, _ = self.validation.predict(batch)
        logs.draw_grid(self.folder / "grid.png", batch["rgb"], ab)


@contextlib.contextmanager
def _signals(stop):
    """SIGINT and SIGTERM call stop(number, frame) meanwhile; outside the main thread they do not.

    Python takes signals in its main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ours(values):
    """{Keras's name of a metric of ab, with or without other outputs: x} -> {our name: x}."""
    return {
        name if name == "ab_loss" else name.removeprefix("ab_"): value
        for name, value in values.items()
    }


def _decibels(scores):
    """The PSNR as text; pictures that are all grey have none."""
    psnr = scores["psnr_rgb"]
    return "undefined" if psnr is None else f"{psnr:.2f} dB"
