"""The recipes behind README.md's results: `make reproduce-cs230`."""

import sys

from common import cli
from common.commands import reproduce
from common.commands.reproduce import Row
from cs230.config import CONFIGS
from cs230.model import build_model


def _by_epoch(key, digits):
    def ours(result):
        values = [f"{row[key]:.{digits}f}" for row in result.history]
        return " -> ".join(values if len(values) < 4 else [values[0], "...", values[-1]])

    return ours


def _hours(result):
    return f"{sum(row['seconds'] for row in result.history) / 3600:.1f} h"


COMMON = [
    Row("training loss by epoch", "falls; no figure", _by_epoch("loss", 5)),
    Row("validation loss by epoch", "goes the right way; no figure", _by_epoch("val_loss", 5)),
    Row("validation accuracy by epoch", "rises; no figure", _by_epoch("val_accuracy", 3)),
    Row("PSNR on RGB, dB", "none", lambda result: result.against_baselines("psnr_rgb")),
    Row("MSE on ab", "brown has the lowest", lambda result: result.against_baselines("mse_ab")),
    Row(
        "colourfulness", "brown pictures", lambda result: result.against_baselines("colourfulness")
    ),
    Row("training time", "12 h on an Azure GPU", _hours),
    Row(
        "colourings that people find accurate",
        "a survey after each run; no figure",
        lambda result: "needs people to ask",
    ),
]
ROWS = {
    "fusion": COMMON,
    "plain": [
        Row("parameters", "3,892,194 by its list", lambda result: f"{result.parameters:,}"),
        *COMMON,
    ],
}


def main(argv=None):
    """Train each config and print the table."""
    return reproduce.main(argv, report="cs230", configs=CONFIGS, build_model=build_model, rows=ROWS)


if __name__ == "__main__":
    sys.exit(cli.run(main))
