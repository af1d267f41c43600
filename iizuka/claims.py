"""The report's claims and figures beside what a run gives: `make reproduce-iizuka`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters

COMMON = [
    Row("training loss by epoch", "a curve; no figure", by_epoch("loss", 4)),
    Row('Keras "accuracy" by epoch', "a curve; no figure", by_epoch("accuracy", 4)),
    Row('Keras "accuracy" on test', "none", against_baselines("argmax_ab")),
    Row("PSNR on RGB, dB", "none", against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", against_baselines("mse_ab")),
    Row("colourfulness", "none", against_baselines("colourfulness")),
]
ROWS = {
    "jain": [
        Row("parameters", "none; 41,992,034 by its tables", parameters),
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
