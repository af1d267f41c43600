"""The report's claims and figures beside what a run gives: `make reproduce-cs230`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters


def _hours(result):
    return f"{sum(row['seconds'] for row in result.history) / 3600:.1f} h"


COMMON = [
    Row("training loss by epoch", "falls; no figure", by_epoch("loss", 5)),
    Row("validation loss by epoch", "goes the right way; no figure", by_epoch("val_loss", 5)),
    Row("validation accuracy by epoch", "rises; no figure", by_epoch("val_accuracy", 3)),
    Row("PSNR on RGB, dB", "none", against_baselines("psnr_rgb")),
    Row("MSE on ab", "brown has the lowest", against_baselines("mse_ab")),
    Row("colourfulness", "brown pictures", against_baselines("colourfulness")),
    Row("training time", "12 h on an Azure GPU", _hours),
    Row(
        "colourings that people find accurate",
        "a survey after each run; no figure",
        lambda result: "needs people to ask: `make survey-cs230`",
    ),
]
ROWS = {
    "fusion": COMMON,
    "plain": [Row("parameters", "3,892,194 by its list", parameters), *COMMON],
}
