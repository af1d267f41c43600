"""How the figures of an evaluation are computed, in sentences, and the prior of colours."""

import numpy as np

from common import metrics
from common.color import bins
from common.datasets import Dataset
from common.datasets import statistics as measured
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
    "batches": f"metrics with the range of the batch: {metrics.BATCH} pictures in stored order, "
    "the mean over pictures of their batch's figure; of other batches they would differ",
    "histograms": "all pixels of all pictures by their a and by their b, as the metrics of ab take "
    f"them, {histograms.BINS} bins of {histograms.WIDTH} Lab units from "
    f"{-histograms.LIMIT}; what lies beyond is in the outermost",
    "best": "among the rows that have all pictures and were trained on none of them",
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
    if not metrics.of_batches(columns):
        del sentences["batches"]
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


def weights_of_colours(dataset: Dataset) -> np.ndarray:
    """`bins.balance` of the training split's prior, (313,) float32, for `metrics.auc_ab`."""
    return bins.balance(measured.prior(dataset))
