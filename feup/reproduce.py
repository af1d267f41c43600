"""The recipes behind README.md's results: `make reproduce-feup`."""

import sys

from common import cli
from common.commands import reproduce
from common.commands.reproduce import Row
from feup.config import CONFIGS
from feup.model import build_model


def _by_epoch(key, digits):
    def ours(result):
        values = [f"{row[key]:.{digits}f}" for row in result.history]
        return " -> ".join(values if len(values) < 4 else [values[0], "...", values[-1]])

    return ours


# The report's table 1, test loss, SSIM and PSNR in dB.
REPORTED = {
    "resnet18_mse": ("147.256", "0.227", "21.212"),
    "resnet18_lpips": ("0.095", "0.207", "21.088"),
    "densenet_mse": ("149.831", "0.225", "21.190"),
    "eccv16_mse": ("150.343", "0.201", "21.130"),
}


def _rows(name):
    """On the test split, of ab and of RGB, beside grey and the mean colour."""
    loss, ssim, psnr = REPORTED.get(name, ("none",) * 3)
    perceptual = CONFIGS[name].distance is not None
    return [
        Row("validation loss by epoch", "curves", _by_epoch("val_loss", 3)),
        Row("validation SSIM on ab by epoch", "curves", _by_epoch("val_ssim_ab", 3)),
        Row("validation PSNR on ab by epoch, dB", "curves", _by_epoch("val_psnr_ab", 2)),
        Row("test loss", loss, lambda result: result.test_loss()),
        Row(
            "test MSE on ab",
            "none" if perceptual else loss,
            lambda result: result.against_baselines("mse_ab"),
        ),
        Row("test SSIM on ab", ssim, lambda result: result.against_baselines("ssim_ab")),
        Row("test PSNR on ab, dB", psnr, lambda result: result.against_baselines("psnr_ab")),
        Row("test SSIM on RGB", "none", lambda result: result.against_baselines("ssim_rgb")),
        Row("test PSNR on RGB, dB", "none", lambda result: result.against_baselines("psnr_rgb")),
        Row(
            "colourfulness",
            "desaturated; no figure",
            lambda result: result.against_baselines("colourfulness"),
        ),
        Row("parameters", "none", lambda result: f"{result.parameters:,}"),
    ]


ROWS = {name: _rows(name) for name in CONFIGS}


def main(argv=None):
    """Train each config and print the table."""
    return reproduce.main(argv, report="feup", configs=CONFIGS, build_model=build_model, rows=ROWS)


if __name__ == "__main__":
    sys.exit(cli.run(main))
