"""One function a metric, every switch an argument.

Pictures are (H, W, C), or a batch (N, H, W, C); a metric of one picture is a float, of a batch
(N,) float64. RGB is uint8; ab and Lab are float in Lab units, neither rounded nor clipped. The
defaults are the protocol of `common.evaluation.evaluate`, which prints them beside its numbers.

What is defined where formulas are not: PSNR of equal pictures is infinite; SSIM of constant
pictures is finite, for its constants stand in every denominator; a grey picture has
colourfulness 0; the balanced AuC of a picture without a colour that training has seen is NaN,
which `score` gives as None. NaN or infinity in a picture, another dtype, other or unequal shapes
raise ValueError.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from common.color import bins, lab
from common.metrics import delta_e, ssim

SSIM_WINDOW = 11  # pixels
_BLOCK = 1 << 14  # pixels worked on at a time, so that the steps between stay in the cache


class Picture:
    """One picture, (H, W, C), and what metrics took from it, for the next ones to take.

    Metrics take it in place of its array. It must not be changed meanwhile.
    """

    def __init__(self, array):
        self.array = np.asarray(array)
        self._made, self._checked = {}, set()

    def once(self, function, *arguments):
        """function(self, *arguments), worked out the first time alone; arguments are hashable."""
        if (function, arguments) not in self._made:
            self._made[function, arguments] = function(self, *arguments)
        return self._made[function, arguments]

    @property
    def planes(self):
        """The channels, each (H, W) float32 in one order, however the picture lies in memory."""
        return self.once(_planes)

    def off(self, true):
        """The differences from another `Picture`, each channel's (H, W) float32."""
        return self.once(_off, true)

    def check(self, metric, name):
        """Raise ValueError unless it is what a metric needs under the name of an argument."""
        kind = name.removesuffix("_predicted")
        if kind not in self._checked:
            _check(metric, name, self.array)
            self._checked.add(kind)


def _planes(picture):
    channels = range(picture.array.shape[-1])
    return [np.ascontiguousarray(picture.array[..., at], np.float32) for at in channels]


def _off(picture, true):
    return [ours - theirs for ours, theirs in zip(picture.planes, true.planes, strict=True)]


def recolour(l, ab):
    """L* (..., H, W) or (..., H, W, 1) and ab (..., H, W, 2), Lab units -> (..., H, W, 3) uint8.

    As every metric on RGB sees a prediction: Lab to sRGB, clipped to the gamut channel by
    channel, rounded to 8 bit. With a picture's own ab it gives the picture back, bit by bit; with
    ab = 0 the three channels agree within one step, since Lab's white and sRGB's differ in the
    fifth digit.
    """
    ab = np.asarray(ab)
    if not np.isfinite(ab).all():
        raise ValueError("recolour() needs finite ab. Received: NaN or infinity.")
    colours = np.empty((*ab.shape[:-1], 3), np.float32)
    colours[..., 0] = l if np.ndim(l) < ab.ndim else l[..., 0]
    colours[..., 1:] = ab
    return np.rint(lab.lab_to_rgb(colours) * 255).astype(np.uint8)


def _per_picture(metric):
    """Check what goes into a metric of single pictures, and let it take batches as well."""
    names = [
        name
        for name, parameter in inspect.signature(metric).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    ]

    @functools.wraps(metric)
    def checked(*pictures, **switches):
        pictures = [
            picture if isinstance(picture, Picture) else Picture(picture) for picture in pictures
        ]
        for name, picture in zip(names, pictures, strict=True):
            picture.check(metric.__name__, name)
        shapes = {picture.array.shape for picture in pictures}
        if len(shapes) > 1:
            raise ValueError(
                f"{metric.__name__}() needs pictures of one shape. Received: "
                + " and ".join(str(each.array.shape) for each in pictures)
                + "."
            )
        if pictures[0].array.ndim == 3:
            return float(metric(*pictures, **switches))
        return np.array(
            [
                metric(*map(Picture, each), **switches)
                for each in zip(*(picture.array for picture in pictures), strict=True)
            ],
            np.float64,
        )

    return checked


def _check(metric, name, picture):
    is_rgb = name.startswith("rgb")
    channels = 2 if name.startswith("ab") else 3
    if picture.ndim not in (3, 4) or picture.shape[-1] != channels or 0 in picture.shape[-3:]:
        raise ValueError(
            f"{metric}() needs {name} of shape (H, W, {channels}) or (N, H, W, "
            f"{channels}). Received: {picture.shape}."
        )
    if is_rgb and picture.dtype != np.uint8:
        raise ValueError(
            f"{metric}() needs {name} as uint8, since rounding is a part of the "
            f"protocol. Received: {picture.dtype}. Use recolour()."
        )
    if not is_rgb and picture.dtype.kind != "f":
        raise ValueError(
            f"{metric}() needs {name} as float, in Lab units. Received: {picture.dtype}."
        )
    if not is_rgb and not np.isfinite(picture).all():
        raise ValueError(f"{metric}() needs finite values. Received: {name} with NaN or infinity.")


@_per_picture
def mse_ab(ab, ab_predicted, /):
    """Mean squared error of ab in squared Lab units, over pixels and both channels."""
    return _mse(ab, ab_predicted)


@_per_picture
def argmax_ab(ab, ab_predicted, /):
    """Share of pixels where the larger of a*, b* is the same one in both: Keras's "accuracy" of ab.

    No accuracy of colour: half of noise is right, and scaling a prediction up or down changes
    nothing. Reports that trained in Keras plot it, under the name accuracy.
    """
    # Where both are equal, argmax takes the first.
    (a, b), (a_predicted, b_predicted) = ab.planes, ab_predicted.planes
    return np.mean((b > a) == (b_predicted > a_predicted))


@_per_picture
def psnr_rgb(rgb, rgb_predicted, /, *, data_range=255):
    """Peak signal-to-noise ratio on 8-bit RGB, in dB; the error is over pixels and channels."""
    return _psnr(rgb, rgb_predicted, data_range)


@_per_picture
def psnr_ab(ab, ab_predicted, /, *, data_range=255):
    """Peak signal-to-noise ratio on ab, in dB; the peak is that of 8-bit Lab, -128 to 127."""
    return _psnr(ab, ab_predicted, data_range)


def _psnr(true, predicted, data_range):
    error = _mse(true, predicted)
    return 10 * np.log10(data_range**2 / error) if error else math.inf


def _mse(true, predicted):
    return predicted.once(_mean_square, true)


def _mean_square(predicted, true):
    return np.mean([np.square(off).mean(dtype=np.float64) for off in predicted.off(true)])


@_per_picture
def ssim_rgb(
    rgb,
    rgb_predicted,
    /,
    *,
    data_range=255,
    gaussian_weights=True,
    sigma=1.5,
    win_size=SSIM_WINDOW,
    use_sample_covariance=False,
    K1=0.01,
    K2=0.03,
):
    """Structural similarity on 8-bit RGB, the mean over channels and whole windows.

    The defaults are those of Wang et al. 2004; scikit-image's own are a uniform window of 7 and
    the sample covariance. Pictures smaller than the window raise ValueError.
    """
    return _ssim(
        rgb,
        rgb_predicted,
        data_range=data_range,
        gaussian_weights=gaussian_weights,
        sigma=sigma,
        win_size=win_size,
        use_sample_covariance=use_sample_covariance,
        K1=K1,
        K2=K2,
    )


@_per_picture
def ssim_ab(
    ab,
    ab_predicted,
    /,
    *,
    data_range=255,
    gaussian_weights=True,
    sigma=1.5,
    win_size=SSIM_WINDOW,
    use_sample_covariance=False,
    K1=0.01,
    K2=0.03,
):
    """Structural similarity on ab, the mean over channels and whole windows.

    As `ssim_rgb`; the range is that of 8-bit Lab, -128 to 127. ab has signs, so that a wrong hue
    makes it negative, and grey for a colour brings it close to 0.
    """
    return _ssim(
        ab,
        ab_predicted,
        data_range=data_range,
        gaussian_weights=gaussian_weights,
        sigma=sigma,
        win_size=win_size,
        use_sample_covariance=use_sample_covariance,
        K1=K1,
        K2=K2,
    )


def _ssim(true, predicted, **switches):
    if min(true.array.shape[:2]) < switches["win_size"]:
        raise ValueError(
            f"SSIM needs pictures of at least {switches['win_size']} pixels a side, "
            f"the window. Received: {true.array.shape}."
        )
    window = switches["gaussian_weights"], switches["sigma"], switches["win_size"]
    return ssim.mean_ssim(
        true.once(_moments, *window), predicted.once(_moments, *window), **switches
    )


def _moments(picture, *window):
    return ssim.moments(picture.planes, *window)


@_per_picture
def ciede2000(lab, lab_predicted, /, *, kL=1, kC=1, kH=1):
    """CIEDE2000 colour difference, the mean over pixels: 1 is just seen, side by side.

    The formula of Sharma et al. 2005. The evaluation takes the Lab of the 8-bit pictures, what a
    screen shows, so that what clipping does to L* counts.
    """
    height, width = lab.array.shape[:2]
    rows = max(1, _BLOCK // width)
    total = 0.0
    for start in range(0, height, rows):
        one, other = (
            [plane[start : start + rows] for plane in picture.planes]
            for picture in (lab, lab_predicted)
        )
        total += delta_e.ciede2000(one, other, kL=kL, kC=kC, kH=kH).sum(dtype=np.float64)
    return total / (height * width)


@_per_picture
def auc_ab(ab, ab_predicted, /, *, top=150, weights=None):
    """Area under the share of pixels whose ab is off by at most 0 to `top` Lab units, in %.

    Zhang, Isola, Efros 2016, table 1, "AuC": the distance is Euclidean, the area exact, not a sum
    over thresholds. With `weights` (313,), as `ab_bins.balance` has them, a pixel counts by how
    rare its true colour is, "rebal"; NaN where no pixel has a weight.
    """
    # The share within t, integrated over t from 0 to `top`, is top less the error, pixel by pixel.
    within = 1 - np.minimum(ab_predicted.once(_distance, ab), top) / top
    if weights is None:
        return 100 * within.mean(dtype=np.float64)
    weight = np.asarray(weights)[ab.once(_bins)]
    total = weight.sum(dtype=np.float64)
    return 100 * (weight * within).sum(dtype=np.float64) / total if total else math.nan


def _distance(predicted, true):
    a, b = predicted.off(true)
    return np.sqrt(a * a + b * b)


def _bins(picture):
    return bins.nearest(picture.array)


@_per_picture
def rarity(ab, /, *, weights):
    """The mean weight of a picture's colours, by which the balanced AuC is averaged."""
    return np.asarray(weights)[ab.once(_bins)].mean(dtype=np.float64)


@_per_picture
def l_drift(lab, lab_predicted, /, *, largest=False):
    """How far L* is off the true one, as a mean over pixels: |L* of the 8-bit result - true L*|.

    With the true L* put in, all of it is done by clipping to the gamut and by rounding, 0.3 at
    most. `largest` takes the pixel where it is largest instead of the mean.
    """
    off = cv2.absdiff(lab_predicted.planes[0], lab.planes[0])
    return off.max() if largest else off.mean(dtype=np.float64)


@_per_picture
def colourfulness(rgb, /, *, absolute=False):
    """Colourfulness of one picture by Hasler and Süsstrunk 2003: 0 for grey, 15 slight, 82 high.

    With the opponents rg = R - G and yb = (R + G) / 2 - B over all pixels:
    hypot of their standard deviations + 0.3 times the hypot of their means. `absolute` takes
    |rg| and |yb| instead, as some published code does; its figures do not compare.
    """
    opponents = rgb.once(_opponents)
    deviation = math.hypot(*(opponent.deviation(absolute) for opponent in opponents))
    return deviation + 0.3 * math.hypot(*(opponent.mean(absolute) for opponent in opponents))


class _Opponent(NamedTuple):
    """Exact sums over the pixels of whole numbers, which are `unit` times an opponent."""

    unit: int
    count: int
    total: int
    magnitudes: int
    squares: int

    def mean(self, absolute):
        return (self.magnitudes if absolute else self.total) / (self.unit * self.count)

    def deviation(self, absolute):
        total = self.magnitudes if absolute else self.total
        return math.sqrt(self.count * self.squares - total**2) / (self.unit * self.count)


def _opponents(picture):
    """R - G, and R + G - 2 B, twice the opponent."""
    red, green, blue = (np.int16(plane) for plane in cv2.split(picture.array))
    found = []
    for unit, opponent in ((1, red - green), (2, red + green - 2 * blue)):
        # OpenCV's sums are doubles: whole numbers but for a rounding.
        sums = (
            cv2.sumElems(opponent)[0],
            *(cv2.norm(opponent, kind) for kind in (cv2.NORM_L1, cv2.NORM_L2SQR)),
        )
        found.append(_Opponent(unit, opponent.size, *map(round, sums)))
    return found


@_per_picture
def colourfulness_error(rgb, rgb_predicted, /, *, absolute=False):
    """How far a picture's colourfulness is off the true picture's, up or down.

    Its mean over pictures is the mean of differences. It is never below the difference of means,
    in which a picture too pale and one too vivid cancel.
    """
    true, predicted = (colourfulness(each, absolute=absolute) for each in (rgb, rgb_predicted))
    return abs(predicted - true)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column of the evaluation: which pictures a metric takes, and what is better."""

    key: str
    title: str
    function: Callable | None  # None: made by `network_metrics`, only where it is asked for
    pictures: tuple | str  # of "rgb", "ab", "lab", and each with "_predicted"; else a definition
    better: str  # "higher", "lower", or "truth": as close to the true pictures' as can be
    digits: int = 2
    unit: str = ""
    smallest: int = 1  # the least side of a picture that it is defined for
    given: dict = dataclasses.field(default_factory=dict)  # switches that are not the defaults
    brief: bool = True  # is in the terminal's table as well
    by_rarity: bool = False  # takes `weights` of colours, and pictures weigh by `rarity`

    @property
    def switches(self):
        """{name: value} of the function's switches, as the evaluation uses them."""
        if self.function is None:
            return self.given
        parameters = inspect.signature(self.function).parameters.values()
        switches = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | self.given
        if self.by_rarity:
            switches["weights"] = "ab_bins.balance of the training split"
        return switches

    @property
    def definition(self):
        """What it is: the first line of the function's docstring, where there is one."""
        return self.function.__doc__.splitlines()[0] if self.function else self.pictures


_RGB, _AB, _LAB = (("rgb", "rgb_predicted"), ("ab", "ab_predicted"), ("lab", "lab_predicted"))
_MADE = ("rgb_predicted",)
METRICS = {
    metric.key: metric
    for metric in (
        Metric("psnr_rgb", "PSNR RGB", psnr_rgb, _RGB, "higher", unit="dB"),
        Metric("ssim_rgb", "SSIM RGB", ssim_rgb, _RGB, "higher", digits=4, smallest=SSIM_WINDOW),
        Metric("ciede2000", "CIEDE2000", ciede2000, _LAB, "lower"),
        Metric("mse_ab", "MSE ab", mse_ab, _AB, "lower", digits=1),
        Metric("psnr_ab", "PSNR ab", psnr_ab, _AB, "higher", unit="dB", brief=False),
        Metric(
            "ssim_ab",
            "SSIM ab",
            ssim_ab,
            _AB,
            "higher",
            digits=4,
            smallest=SSIM_WINDOW,
            brief=False,
        ),
        Metric("auc_ab", "AuC ab", auc_ab, _AB, "higher", unit="%"),
        Metric("auc_ab_balanced", "AuC balanced", auc_ab, _AB, "higher", unit="%", by_rarity=True),
        Metric("argmax_ab", 'Keras "accuracy"', argmax_ab, _AB, "higher", digits=3, brief=False),
        Metric("colourfulness", "Colourfulness", colourfulness, _MADE, "truth"),
        Metric(
            "colourfulness_error",
            "Colourfulness off",
            colourfulness_error,
            _RGB,
            "lower",
            brief=False,
        ),
        Metric(
            "colourfulness_absolute",
            "Colourfulness, absolute",
            colourfulness,
            _MADE,
            "truth",
            given={"absolute": True},
            brief=False,
        ),
        Metric(
            "colourfulness_absolute_error",
            "Colourfulness off, absolute",
            colourfulness_error,
            _RGB,
            "lower",
            given={"absolute": True},
            brief=False,
        ),
        Metric("l_drift", "L* drift", l_drift, _LAB, "lower", brief=False),
        Metric(
            "l_drift_largest",
            "L* drift, largest",
            l_drift,
            _LAB,
            "lower",
            given={"largest": True},
            brief=False,
        ),
        Metric(
            "lpips",
            "LPIPS",
            None,
            "Distance of the maps of a network's layers, Zhang et al. 2018; "
            "LPIPS with the published weights alone, else unweighted.",
            "lower",
            digits=4,
        ),
        Metric(
            "fid",
            "FID",
            None,
            "Squared Fréchet distance of Inception-v3's features of all "
            "predictions and all true pictures, Heusel et al. 2017; Keras's network, not the "
            "TensorFlow graph of 2015, so that published figures do not compare to the digit.",
            "lower",
        ),
        Metric(
            "kid",
            "KID",
            None,
            "Squared kernel distance of Inception-v3's features, Bińkowski et "
            "al. 2018, mean over subsets and below it their standard deviation; unbiased, a "
            "prediction's pair with its own true picture left out. Keras's network, as in FID.",
            "lower",
            digits=5,
        ),
        Metric(
            "frechet",
            "Fréchet distance",
            None,
            "What FID is, on another network's features: figures do not compare with FID.",
            "lower",
        ),
        Metric(
            "kernel",
            "Kernel distance",
            None,
            "What KID is, on another network's features: figures do not compare with KID.",
            "lower",
            digits=5,
        ),
        Metric(
            "top1",
            "Top-1",
            None,
            "Share of pictures in which an ImageNet classifier sees the "
            "class that their folder names.",
            "higher",
            digits=1,
            unit="%",
        ),
        Metric(
            "top1_agreement",
            "Agreement",
            None,
            "Share of pictures in which an ImageNet classifier "
            "sees the same class as in the true picture.",
            "higher",
            digits=1,
            unit="%",
        ),
    )
}
OF_TRUTH = ("colourfulness", "colourfulness_absolute")  # what a picture has without a prediction


def chosen(by_rarity=False):
    """{key: Metric} that need no network, with or without those balanced by rarity of colours."""
    return {
        key: metric
        for key, metric in METRICS.items()
        if metric.function and (by_rarity or not metric.by_rarity)
    }


class Truth:
    """A true picture, (H, W, 3) uint8: as RGB, Lab and ab, for every prediction of it."""

    def __init__(self, rgb, true_lab=None):
        true_lab = lab.rgb_to_lab(rgb) if true_lab is None else true_lab
        self.rgb, self.lab, self.ab = Picture(rgb), Picture(true_lab), Picture(true_lab[..., 1:])

    def values(self, weights=None):
        """{key: float} of `OF_TRUTH`, and the picture's `rarity` where colours have weights."""
        found = {key: METRICS[key].function(self.rgb, **METRICS[key].given) for key in OF_TRUTH}
        return found | ({} if weights is None else {"rarity": rarity(self.ab, weights=weights)})


def score(truth, ab_predicted, rgb_predicted=None, weights=None):
    """Every metric of one picture: {key: float}, None where a metric is not defined.

    truth: its `Truth`. ab_predicted (H, W, 2) in Lab units and rgb_predicted (H, W, 3) uint8, the
    picture that `recolour` makes of it, here if it is left out; or None and a picture, which is
    taken with the lightness and ab that it has. weights (313,) as in `auc_ab`.
    """
    if rgb_predicted is None:
        rgb_predicted = recolour(truth.lab.array[..., :1], ab_predicted)
    lab_predicted = lab.rgb_to_lab(rgb_predicted)
    if ab_predicted is None:
        ab_predicted = lab_predicted[..., 1:]
    pictures = {
        "rgb": truth.rgb,
        "lab": truth.lab,
        "ab": truth.ab,
        "rgb_predicted": Picture(rgb_predicted),
        "lab_predicted": Picture(lab_predicted),
        "ab_predicted": Picture(ab_predicted),
    }
    found = {}
    for key, metric in chosen(weights is not None).items():
        switches = metric.given | ({"weights": weights} if metric.by_rarity else {})
        value = (
            metric.function(*(pictures[name] for name in metric.pictures), **switches)
            if min(truth.rgb.array.shape[:2]) >= metric.smallest
            else None
        )
        undefined = metric.by_rarity and value is not None and math.isnan(value)
        found[key] = None if undefined else value
    return found


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over pictures.

    mean: over the finite values, None if there are none. n: how many these are. infinite: how many
    are infinite, because the pictures are equal.
    """

    mean: float | None
    n: int
    infinite: int


def summary(values, weights=None) -> Mean:
    """The mean of per-picture values; None among them is left out.

    weights: one a picture, of a weighted mean.
    """
    defined = np.array([value is not None for value in values], bool)
    values = np.array([value for value in values if value is not None], np.float64)
    if np.isnan(values).any():
        raise ValueError("summary() of NaN: a metric never gives it, so look for its source.")
    finite = np.isfinite(values)
    shares = np.ones(len(values)) if weights is None else np.asarray(weights)[defined]
    return Mean(
        mean=float(np.average(values[finite], weights=shares[finite]))
        if shares[finite].any()
        else None,
        n=int(finite.sum()),
        infinite=int((~finite).sum()),
    )
