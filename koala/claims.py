"""The report's claims and figures beside what a run gives: `make reproduce-koala`."""

from common.commands.reproduce import Row, against_baselines, by_epoch, parameters
from common.survey.schema import Published

PUBLISHED = Published(
    0.4587,
    "Baldassarre et al. 2017, 41 people, 9 recoloured and 3 original pictures; of people, as Lee "
    "words it, or of verdicts: neither is a whole number",
)

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
            f"{100 * PUBLISHED.share:.2f} % of users misclassified them",
            lambda result: "needs people to ask: `make survey-koala`",
        ),
    ],
}
