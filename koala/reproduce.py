"""The recipes behind README.md's results: `make reproduce-koala`."""

import sys

from common import cli
from common.commands import reproduce
from common.commands.reproduce import Row
from koala.config import CONFIGS
from koala.model import build_model


def _loss(result):
    losses = [f"{row['loss']:.5f}" for row in result.history]
    return " -> ".join(losses if len(losses) < 4 else [losses[0], "...", losses[-1]])


COMMON = [
    Row("training loss by epoch", "falls; no figure", _loss),
    Row("PSNR on RGB, dB", "none", lambda result: result.against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", lambda result: result.against_baselines("mse_ab")),
    Row(
        "colourfulness",
        "none; called unsuccessful",
        lambda result: result.against_baselines("colourfulness"),
    ),
]
ROWS = {
    "lee2021": [
        Row("parameters", "6,541,202", lambda result: f"{result.parameters:,}"),
        Row(
            "peak memory", "the kernel died", lambda result: f"{result.peak_bytes / 2**30:.1f} GiB"
        ),
        *COMMON,
    ],
    "lee2021_decay": COMMON,
    "baldassarre2017": [
        *COMMON,
        Row(
            "recoloured taken for real",
            "45.87 % of 41 people's verdicts",
            lambda result: "needs people to ask: `make survey-koala`",
        ),
    ],
}


def main(argv=None):
    """Train each config and print the table."""
    return reproduce.main(argv, report="koala", configs=CONFIGS, build_model=build_model, rows=ROWS)


if __name__ == "__main__":
    sys.exit(cli.run(main))
