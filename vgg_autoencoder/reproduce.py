"""The recipes behind README.md's results: `make reproduce-vgg_autoencoder`."""

import sys

from common import cli
from common.commands import reproduce
from common.commands.reproduce import Row
from vgg_autoencoder.config import CONFIGS
from vgg_autoencoder.model import build_model


def _by_epoch(key, digits):
    def ours(result):
        values = [f"{row[key]:.{digits}f}" for row in result.history]
        return " -> ".join(values if len(values) < 4 else [values[0], "...", values[-1]])

    return ours


def _encoder(result):
    weights = result.evaluation["rows"][-1]["metadata"]["pretrained"]
    return ", ".join(f"{name}, {about['weights']} weights" for name, about in weights.items())


COMMON = [
    Row(
        "parameters",
        "14,714,688 in the encoder; the decoder's are not given",
        lambda result: f"{result.parameters:,} in all",
    ),
    Row("encoder", "VGG16; its weights are not named", _encoder),
    Row("training loss by epoch", "none", _by_epoch("loss", 5)),
    Row("validation loss by epoch", "none", _by_epoch("val_loss", 5)),
    Row("PSNR on RGB, dB", "none", lambda result: result.against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", lambda result: result.against_baselines("mse_ab")),
    Row(
        "colourfulness",
        "more vibrant with penalties",
        lambda result: result.against_baselines("colourfulness"),
    ),
]
ROWS = {
    "zaman2020": [
        *COMMON,
        Row('"accuracy", test', "83 %", lambda result: result.against_baselines("argmax_ab")),
        Row('"accuracy", validation', "76 %", _by_epoch("val_accuracy", 3)),
    ],
    "zaman2020_unregularised": [
        *COMMON,
        Row(
            '"accuracy", test',
            "lower than with penalties; no figure",
            lambda result: result.against_baselines("argmax_ab"),
        ),
        Row(
            '"accuracy", validation',
            "lower than with penalties; no figure",
            _by_epoch("val_accuracy", 3),
        ),
    ],
}


def main(argv=None):
    """Train both configs and print the table."""
    return reproduce.main(
        argv, report="vgg_autoencoder", configs=CONFIGS, build_model=build_model, rows=ROWS
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
