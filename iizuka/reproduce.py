"""The recipes behind README.md's results: `make reproduce-iizuka`."""

import sys

from common import cli
from common.commands import reproduce
from common.commands.reproduce import Row
from iizuka.config import CONFIGS
from iizuka.model import build_model


def _first_and_last(key):
    return lambda result: f"{result.history[0][key]:.4f} -> {result.history[-1][key]:.4f}"


COMMON = [
    Row("training loss, first and last epoch", "a curve; no figure", _first_and_last("loss")),
    Row('Keras "accuracy" in training', "a curve; no figure", _first_and_last("accuracy")),
    Row('Keras "accuracy" on test', "none", lambda result: result.against_baselines("argmax_ab")),
    Row("PSNR on RGB, dB", "none", lambda result: result.against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", lambda result: result.against_baselines("mse_ab")),
    Row("colourfulness", "none", lambda result: result.against_baselines("colourfulness")),
]
ROWS = {
    "jain": [
        Row(
            "parameters", "none; 41,992,034 by its tables", lambda result: f"{result.parameters:,}"
        ),
        Row(
            "time",
            "1 h 20 min for 30 epochs on Colab's GPU",
            lambda result: (
                f"{sum(row['seconds'] for row in result.history) / 60:.0f} min for "
                f"{len(result.history)} epochs"
            ),
        ),
        *COMMON,
    ],
    "jain_unnormalised": [
        Row(
            "learning without normalisation",
            "significantly slower",
            lambda result: "compare the two losses at equal steps",
        ),
        *COMMON,
    ],
    "iizuka2016": COMMON,
}


def main(argv=None):
    """Train each config and print the table."""
    return reproduce.main(
        argv, report="iizuka", configs=CONFIGS, build_model=build_model, rows=ROWS
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
