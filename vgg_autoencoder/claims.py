"""The report's claims and figures beside what a run gives: `make reproduce-vgg_autoencoder`."""

from common.commands.reproduce import Row, against_baselines, by_epoch


def _encoder(result):
    weights = result.evaluation.model.metadata["pretrained"]
    return ", ".join(f"{name}, {about['weights']} weights" for name, about in weights.items())


COMMON = [
    Row(
        "parameters",
        "14,714,688 in the encoder; the decoder's are not given",
        lambda result: f"{result.parameters:,} in all",
    ),
    Row("encoder", "VGG16; its weights are not named", _encoder),
    Row("training loss by epoch", "none", by_epoch("loss", 5)),
    Row("validation loss by epoch", "none", by_epoch("val_loss", 5)),
    Row("PSNR on RGB, dB", "none", against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", against_baselines("mse_ab")),
    Row("colourfulness", "more vibrant with penalties", against_baselines("colourfulness")),
]
REPORTED = [
    *COMMON,
    Row('"accuracy", test', "83 %", against_baselines("argmax_ab")),
    Row('"accuracy", validation', "76 %", by_epoch("val_accuracy", 3)),
]
ROWS = {
    "zaman2020": REPORTED,
    "zaman2020_literal": REPORTED,
    "zaman2020_unregularised": [
        *COMMON,
        Row(
            '"accuracy", test',
            "lower than with penalties; no figure",
            against_baselines("argmax_ab"),
        ),
        Row(
            '"accuracy", validation',
            "lower than with penalties; no figure",
            by_epoch("val_accuracy", 3),
        ),
    ],
}
