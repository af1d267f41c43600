"""The report's claims and figures beside what a run gives: `make reproduce-feup`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters, test_loss
from feup.config import CONFIGS

# The report's table 1, test loss, SSIM and PSNR in dB.
REPORTED = {
    "resnet18_mse": ("147.256", "0.227", "21.212"),
    "resnet18_lpips": ("0.095", "0.207", "21.088"),
    "densenet_mse": ("149.831", "0.225", "21.190"),
    "eccv16_mse": ("150.343", "0.201", "21.130"),
}


def _rows(name):
    """On the test split, of ab and of RGB, beside grey and the mean colour.

    The report's SSIM and PSNR are on ab by the range of each batch (P13).
    """
    loss, ssim, psnr = REPORTED.get(name, ("none",) * 3)
    perceptual = CONFIGS[name].distance is not None
    return [
        Row("validation loss by epoch", "curves", by_epoch("val_loss", 3)),
        Row(
            "validation SSIM on ab by epoch, range of the batch",
            "curves",
            by_epoch("val_ssim_ab_batch", 3),
        ),
        Row(
            "validation PSNR on ab by epoch, range of the batch, dB",
            "curves",
            by_epoch("val_psnr_ab_batch", 2),
        ),
        Row("test loss", loss, test_loss),
        Row("test MSE on ab", "none" if perceptual else loss, against_baselines("mse_ab")),
        Row("test SSIM on ab, range of the batch", ssim, against_baselines("ssim_ab_batch")),
        Row("test PSNR on ab, range of the batch, dB", psnr, against_baselines("psnr_ab_batch")),
        Row("test SSIM on ab, range 255", "none", against_baselines("ssim_ab")),
        Row("test PSNR on ab, range 255, dB", "none", against_baselines("psnr_ab")),
        Row("test SSIM on RGB", "none", against_baselines("ssim_rgb")),
        Row("test PSNR on RGB, dB", "none", against_baselines("psnr_rgb")),
        Row("colourfulness", "desaturated; no figure", against_baselines("colourfulness")),
        Row("parameters", "none", parameters),
    ]


ROWS = {name: _rows(name) for name in CONFIGS}
