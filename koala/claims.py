"""The report's claims and figures beside what a run gives: `make reproduce-koala`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters

COMMON = [
    Row("training loss by epoch", "falls; no figure", by_epoch("loss", 5)),
    Row("PSNR on RGB, dB", "none", against_baselines("psnr_rgb")),
    Row("MSE on ab", "none", against_baselines("mse_ab")),
    Row("colourfulness", "none; called unsuccessful", against_baselines("colourfulness")),
]
ROWS = {
    "lee2021": [
        Row("parameters", "6,541,202", parameters),
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
