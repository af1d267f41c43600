"""What a run leaves behind to look at: history, curves, pictures."""

import contextlib
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import files, metrics, photos
from common.color import lab

CURVES = ("epoch", "loss", "val_loss", "val_psnr_rgb", "mean_colour_psnr_rgb")
SHOWN = 128  # pixels that a smaller picture is shown at in grid.png, or close


def write_history(folder, history):
    """history.csv: a line an epoch, from a list of dicts with the same keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0])
    writer.writeheader()
    writer.writerows(history)
    files.write_text(folder / "history.csv", text.getvalue())


def read_history(
    folder: str | Path, columns: Sequence[str] | None = None
) -> list[dict[str, float | None]]:
    """A run's history.csv: a dict of floats an epoch, None where there is no finite number.

    columns: those to read, all by default. Raises OSError without the file, and KeyError,
    ValueError or csv.Error where it is not a run's.
    """
    with open(Path(folder) / "history.csv", encoding="utf-8", newline="") as file:
        return [{key: _number(row[key]) for key in columns or row} for row in csv.DictReader(file)]


def history_of(model, sha256, runs="runs"):
    """{name of `CURVES`: a number an epoch, None where there is none} of a model file; else None.

    From the history.csv beside the file, or of the run in `runs` that exported the same file, of
    this SHA-256.
    """
    model = Path(model)
    copies = (folder / model.name for folder in sorted(Path(runs).glob("*/")))
    for folder in (
        model.parent,
        *(copy.parent for copy in copies if copy.is_file() and files.sha256(copy) == sha256),
    ):
        # A folder without the file, or with one that is not a run's, has no curves.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, csv.Error):
            rows = read_history(folder, CURVES)
            if rows:
                return {key: [row[key] for row in rows] for key in CURVES}
    return None


def _number(text):
    value = float(text or "nan")
    return value if math.isfinite(value) else None


class TensorBoard:
    """A run's figures for TensorBoard, in folder/tensorboard: one file a process that trains."""

    def __init__(self, folder: Path):
        self.folder, self._writer = folder / "tensorboard", None

    def write(self, row: dict[str, float | None]) -> None:
        """Add an epoch, a row of the history."""
        from tensorboard.summary import Writer

        self._writer = self._writer or Writer(str(self.folder))
        for name, value in row.items():
            if name not in ("epoch", "steps") and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file, if an epoch was written."""
        if self._writer:
            self._writer.close()


def draw_curves(path, history):
    """Loss, PSNR and what Keras calls accuracy, by epoch, as a PNG."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(15, 4), layout="constrained")
    loss, psnr, accuracy = figure.subplots(1, 3)
    loss.plot(epochs, [row["loss"] for row in history], ".-", label="training")
    loss.plot(epochs, [row["val_loss"] for row in history], ".-", label="validation")
    loss.set(xlabel="epoch", ylabel="loss")
    psnr.plot(epochs, [row["val_psnr_rgb"] for row in history], ".-", label="validation")
    psnr.plot(epochs, [row["mean_colour_psnr_rgb"] for row in history], "--", label="mean colour")
    psnr.set(xlabel="epoch", ylabel="PSNR on RGB, dB")
    if "accuracy" in history[0]:
        accuracy.plot(epochs, [row["accuracy"] for row in history], ".-", label="training")
    accuracy.plot(epochs, [row["val_accuracy"] for row in history], ".-", label="validation")
    accuracy.set(xlabel="epoch", ylabel='Keras "accuracy" (argmax of a, b)')
    save_curves(path, figure, (loss, psnr, accuracy))


def save_curves(path, figure, panels):
    """Legends, grids and whole epochs for the panels of a figure over epochs; then the PNG."""
    for axes in panels:
        axes.legend()
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_grid(path, rgb, ab):
    """A row a picture, grey | ours | true, as a PNG."""
    l = lab.rgb_to_l(rgb)[..., None]
    grey = metrics.recolour(l, np.zeros_like(ab))
    rows = np.concatenate([grey, metrics.recolour(l, ab), rgb], axis=2)
    times = max(1, SHOWN // rgb.shape[1])  # pixel by pixel, where pictures are stamps
    drawn = np.concatenate(rows).repeat(times, 0).repeat(times, 1)
    with files.replacing(path) as temporary:
        temporary.write_bytes(photos.png(drawn))
