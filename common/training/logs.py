"""A run's history, curves and pictures: history.csv, TensorBoard, curves.png, grid.png."""

import contextlib
import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import drives, files, metrics, photos
from common.color import lab

CURVES = ("epoch", "loss", "val_loss", "val_psnr_rgb", "mean_colour_psnr_rgb")
SHOWN = 128  # pixels a side, to about which smaller pictures are enlarged in grid.png


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write history.csv, a line an epoch, from a dict each.

    Epochs from before a metric was watched have nothing in its column.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(key for row in history for key in row))
    writer.writeheader()
    writer.writerows(history)
    files.write_text(folder / "history.csv", text.getvalue())


def read_history(
    folder: str | Path, columns: Sequence[str] | None = None
) -> list[dict[str, float | None]]:
    """A run's history.csv: a dict of floats an epoch, None where there is no finite number.

    columns: those to read; None for all. Raises OSError without the file, KeyError without a
    column, ValueError or csv.Error where it is not a run's.
    """
    with open(Path(folder) / "history.csv", encoding="utf-8", newline="") as file:
        return [{key: _number(row[key]) for key in columns or row} for row in csv.DictReader(file)]


def history_of(
    model: str | Path, sha256: str, runs: str | Path = "runs"
) -> dict[str, list[float | None]] | None:
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


def _number(text: str) -> float | None:
    value = float(text or "nan")
    return value if math.isfinite(value) else None


class TensorBoard:
    """A run's figures for TensorBoard, in folder/tensorboard: one file a process that trains."""

    def __init__(self, folder: Path):
        self.folder = folder / "tensorboard"
        self._writer: Any = None

    def write(self, row: dict[str, float | None]) -> None:
        """Add an epoch, a row of the history."""
        from tensorboard.summary import Writer

        around = drives.around(self.folder)
        drives.check(around)  # it makes every folder that is missing
        drives.make(self.folder, around)
        self._writer = self._writer or Writer(str(self.folder))
        for name, value in row.items():
            if name not in ("epoch", "steps") and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file, if an epoch was written."""
        if self._writer:
            self._writer.close()


def draw_curves(path: Path, history: list[dict[str, Any]]) -> None:
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


def save_curves(path: Path, figure: Any, panels: Iterable[Any]) -> None:
    """Add legends, grids and ticks at whole epochs to a figure's panels, and save it as a PNG.

    figure, panels: Matplotlib's, over epochs.
    """
    for axes in panels:
        axes.legend()
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_grid(path: Path, rgb: np.ndarray, ab: np.ndarray) -> None:
    """Save a PNG with a row a picture: grey, with the given ab, and true.

    rgb: (N, S, S, 3) uint8. ab: (N, S, S, 2) in Lab units.
    """
    l = lab.rgb_to_l(rgb)[..., None]
    grey = metrics.recolour(l, np.zeros_like(ab))
    rows = np.concatenate([grey, metrics.recolour(l, ab), rgb], axis=2)
    times = max(1, SHOWN // rgb.shape[1])  # small pictures are enlarged
    drawn = np.concatenate(rows).repeat(times, 0).repeat(times, 1)
    with files.replacing(path) as temporary:
        temporary.write_bytes(photos.png(drawn))
