"""Early stopping that survives a killed process: the best weights of a run, in a file."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import cli, files, seals
from common.cli import UserError
from common.training.trainer import Trainer

PATIENCE = 3  # epochs without a smaller validation loss, after which a run ends


class Best(keras.callbacks.Callback):
    """The weights of the epoch with the least validation loss, those before the first included.

    It ends a run after `PATIENCE` epochs without a smaller loss. Unlike Keras's EarlyStopping it
    keeps the moving average of the weights where the optimizer has one, which is what is validated,
    and keeps them in a file of the run's folder, so that a killed run goes on to the same end.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.path = folder / "best.npz"
        self.trainer: Trainer | None = None  # set before the run begins
        self.state: dict[str, Any] = {}

    def get_state(self) -> dict[str, Any]:
        """{"loss", "epoch", "waited"}: of the best epoch, 0 for before; epochs since then."""
        return self.state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self.state = state

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before the first: validate what the run begins from."""
        if self.state:
            return
        assert self.trainer is not None
        scores = self.trainer.validation(self.trainer.validation.predict)
        loss, psnr = scores["loss"], scores["psnr_rgb"]
        decibels = "" if psnr is None else f", PSNR {psnr:.2f} dB"
        cli.say(f"before: validation loss {loss:.5f}{decibels}")
        self._keep(0, loss)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights if they are the best, or count towards the end."""
        assert logs is not None
        if logs["val_loss"] < self.state["loss"]:
            self._keep(epoch + 1, logs["val_loss"])
            return
        self.state = {**self.state, "waited": self.state["waited"] + 1}
        self.model.stop_training = self.state["waited"] >= PATIENCE

    def restore(self) -> int:
        """Give the network the best weights; the epoch that they are of, 0 for before the first."""
        assert self.trainer is not None
        try:
            seals.check(self.path)
            with np.load(self.path) as stored:
                epoch = int(stored["epoch"])
                weights = [stored[f"{number:05d}"] for number in range(len(stored.files) - 1)]
            self.trainer.model.set_weights(weights)
        except Exception as error:  # NumPy, zipfile and zlib raise anything
            raise UserError(
                f"{self.path} is corrupt ({cli.first_line(error)}). Delete {self.path.parent} to "
                "begin this run anew."
            ) from None
        return epoch

    def _keep(self, epoch, loss):
        assert self.trainer is not None
        with self.trainer.averaged():
            weights = self.model.get_weights()
        arrays = {f"{number:05d}": array for number, array in enumerate(weights)}
        with files.replacing(self.path) as temporary:
            np.savez(temporary, epoch=epoch, **arrays)
            seals.seal(temporary)
        self.state = {"loss": float(loss), "epoch": epoch, "waited": 0}
