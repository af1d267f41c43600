"""Keras's callbacks in a run: when they are called, and their state in the checkpoint."""

import json

import keras
import pytest

from tests.training import home as runs

STEPS = {"steps": 3, "epochs": 2}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return runs.make(tmp_path)


class Log(keras.callbacks.Callback):
    """Notes its calls; counts steps, and keeps the count in the checkpoint."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.calls, self.count, self.stop_at = [], 0, stop_at

    def on_train_begin(self, logs=None):
        self.calls.append("begin")
        self.count = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"step {batch}")

    def on_train_batch_end(self, batch, logs=None):
        assert logs["loss"] > 0
        self.count += 1
        if self.count == self.stop_at:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}")
        assert logs["epoch"] == epoch + 1 and {"loss", "val_loss", "val_psnr_rgb"} <= logs.keys()

    def on_train_end(self, logs=None):
        self.calls.append("over")

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def test_they_are_called_as_keras_calls_them(home):
    log = Log()
    runs.train(callbacks=(log,), **STEPS)
    epochs = [f"epoch {n},step 0,step 1,step 2,end {n}" for n in range(2)]
    assert ",".join(log.calls) == ",".join(["begin", *epochs, "over"])


def test_their_state_is_in_the_checkpoint(home):
    runs.train(callbacks=(first := Log(), runs.Stop(4)), **STEPS)
    assert first.calls[-1] != "over" and runs.progress(home)["step"] == 1
    runs.train(callbacks=(second := Log(),), **STEPS)
    assert second.calls[:3] == ["begin", "epoch 1", "step 1"] and second.count == 6


def test_a_callback_may_end_the_run(home, capsys):
    """After the step, with the export; a larger number of epochs extends it."""
    run = runs.train(callbacks=(Log(stop_at=4),), **STEPS)
    assert len(run.history) == 1 and runs.progress(home)["step"] == 1 and run.model.exists()
    assert not runs.train(**STEPS).trained
    assert len(runs.train(steps=3, epochs=3).history) == 3


def test_early_stopping_ends_it_after_an_epoch_and_restores_the_best(home):
    best = keras.callbacks.EarlyStopping(
        "val_loss", min_delta=1e9, patience=1, restore_best_weights=True
    )
    run = runs.train(callbacks=(best,), steps=3, epochs=9)
    assert [row["epoch"] for row in run.history] == [1, 2]
    # The export has the weights of the first epoch.
    first = run.history[0]["val_mse_ab"]
    assert run.metrics["mse_ab"] == pytest.approx(first, rel=1e-4)
    identity = json.loads((home / "runs" / "r" / "config.json").read_text())
    assert "callbacks" not in identity
