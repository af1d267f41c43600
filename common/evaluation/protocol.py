"""How the figures of an evaluation are computed, in sentences, and the prior of colours."""

import contextlib
import json

import numpy as np

from common import files, metrics
from common.color import bins
from common.evaluation import histograms, rows, statistics

PROTOCOL = {
    "lightness": "the true picture's L*, not rounded",
    "prediction": "ab at the data set's size; a model of another size gets L* by area averaging "
    "and its ab goes back bilinearly",
    "rgb": "true L* and predicted ab to sRGB, each channel clipped to the gamut, rounded to 8 bit",
    "ab": "Lab units (D65), neither rounded nor clipped; the truth's from its 8-bit RGB",
    "lab": "CIEDE2000 and the L* drift are between the Lab of both 8-bit pictures, after clipping",
    "mean": "over pictures, of each picture's value; infinite values (equal pictures) are left "
    "out and counted",
    "balanced": "in the balanced AuC a pixel counts by how rare its true colour is in the training "
    "split (lambda = 0, sigma = 5), over all pixels of all pictures at once",
    "delta": 'difference of mean colourfulness, predicted minus true; "off" is the mean over '
    "pictures of the absolute difference",
    "interval": f"{statistics.LEVEL:.0%} by the percentile bootstrap over pictures, "
    f"{statistics.RESAMPLES:,} resamples, seed {statistics.SEED}: of other pictures of this "
    "kind, not of another training run",
    "neighbour": "the nearest neighbour is the training picture whose embedding, the stored logits "
    "of the grey picture, has the largest cosine with the picture's; its ab stands "
    "under the true L*",
    "pairs": 'differences picture by picture, over the pictures that both have; "better" and '
    '"worse" where the interval of the mean difference leaves out 0, pair by pair',
    "predictions": "pictures of another system are scored as they are, with their own lightness; "
    "of another size they are brought to the data set's by its cut, grey is three "
    "equal channels, alpha lies over white; missing ones are left out and counted",
    "histograms": "all pixels of all pictures by their a and by their b, as the metrics of ab take "
    f"them, {histograms.BINS} bins of {histograms.WIDTH} Lab units from "
    f"{-histograms.LIMIT}; what lies beyond is in the outermost",
    "best": "among the rows that have all pictures and have seen none of them in training",
}


def describe(
    columns: dict[str, metrics.Metric],
    names: list[str],
    precision: str,
    batch_size: int,
    preset: dict | None = None,
) -> rows.Protocol:
    """The protocol of one evaluation: the sentences that apply, and each metric's switches.

    columns: the table's metrics. names: the rows'. preset: as `presets.describe` returns it.
    """
    sentences = dict(PROTOCOL)
    if not any(metric.by_rarity for metric in columns.values()):
        del sentences["balanced"]
    if rows.NEIGHBOUR not in names:
        del sentences["neighbour"]
    described = {
        key: rows.Described(
            title=metric.title,
            definition=metric.definition,
            better=metric.better,
            unit=metric.unit,
            switches=metric.switches,
        )
        for key, metric in columns.items()
    }
    return rows.Protocol(sentences, precision, batch_size, preset, described)


def weights_of_colours(dataset):
    """`ab_bins.balance` of the training split, (313,) float32, for `metrics.auc_ab`.

    The prior takes one pass over the split. It is kept beside the shards, in prior.json, and
    measured anew if the split is another one.
    """
    path = dataset.folder / "prior.json"
    split = files.sha256("".join(dataset.sha256("train")).encode())
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # absent, or no longer ours
        kept = json.loads(path.read_text(encoding="utf-8"))
        prior = np.array(kept["prior"], np.float64)
        if kept["train_sha256"] == split and prior.shape == (len(bins.CENTRES),):
            return bins.balance(prior)
    prior = bins.prior(dataset)
    with contextlib.suppress(OSError):  # shards may lie where nothing can be written
        files.write_json(path, {"train_sha256": split, "prior": prior.tolist()})
    return bins.balance(prior)
