"""Keras's callbacks in the training loop, and their state in the checkpoint."""

from collections.abc import Sequence
from typing import Any

import keras

_OF_STEPS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callbacks:
    """The callbacks of a run, called as `keras.Model.fit` calls them.

    These are `on_train_begin`, `on_epoch_begin`, `on_train_batch_begin`, `on_train_batch_end` with
    the step's loss and metrics, `on_epoch_end` with the epoch's row of history.csv, and
    `on_train_end` once the run has ended; a run that a signal stopped has not. Setting
    `model.stop_training` ends the run after the step or the epoch. Validation calls none. One that
    has a method of each step is waited for in each, which costs a fast GPU some of its time.

    A callback's state is kept in the checkpoint where it has `get_state()`, which returns what JSON
    can hold, and `set_state(state)`, which is called after `on_train_begin` of a resumed run. Those
    of Keras have neither: EarlyStopping counts its patience anew in a resumed run.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        epochs: int,
        steps: int,
    ):
        self.all = list(callbacks)
        self.calls = keras.callbacks.CallbackList(
            self.all, model=model, epochs=epochs, steps=steps, verbose=0
        )

    @property
    def watch_steps(self) -> bool:
        """Whether any looks at each step; if none does, the losses can be read a few at a time."""
        return any(
            getattr(getattr(callback, name), "__func__", None)
            is not getattr(keras.callbacks.Callback, name)
            for callback in self.all
            for name in _OF_STEPS
        )

    def begin(self, states: Sequence[Any]) -> None:
        """Begin or resume a run; states: of the checkpoint."""
        self.calls.on_train_begin()
        for callback, (name, state) in zip(self.all, states, strict=False):
            if name == type(callback).__name__ and state is not None:
                callback.set_state(state)

    def states(self) -> list[Any]:
        """[class name, state or None] of each."""
        return [
            [
                type(callback).__name__,
                callback.get_state() if hasattr(callback, "get_state") else None,
            ]
            for callback in self.all
        ]
