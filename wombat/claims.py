"""What README.md says of wombat, beside what a run gives: `make reproduce-wombat`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters

COMMON = [
    Row("training loss by epoch", "falls", by_epoch("loss", 4)),
    Row(
        "PSNR on RGB, dB",
        "1.9 above the mean colour, on as much data",
        against_baselines("psnr_rgb"),
    ),
    Row("MSE on ab", "two thirds of the mean colour's", against_baselines("mse_ab")),
    Row("colourfulness", "0.63 of the true pictures'", against_baselines("colourfulness")),
]
ROWS = {
    "wombat": [Row("parameters", "7,189,761", parameters), *COMMON],
    "frozen": COMMON,
    "transformer": COMMON,
    "rebalanced": COMMON,
}
