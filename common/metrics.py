"""One function a metric, every switch an argument.

Pictures are (H, W, C), or a batch (N, H, W, C); a metric of one picture is a float, of a batch
(N,) float64. RGB is uint8; ab is float in Lab units, neither rounded nor clipped. The defaults
are the protocol of `common.evaluate`, which prints them beside its numbers.

What is defined where formulas are not: PSNR of equal pictures is infinite; SSIM of constant
pictures is finite, for its constants stand in every denominator; a grey picture has
colourfulness 0. NaN, infinity, another dtype, other or unequal shapes raise ValueError.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import numpy as np
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from common import lab

SSIM_WINDOW = 11  # pixels


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
    if np.ndim(l) < ab.ndim:
        l = l[..., None]
    rgb = lab.lab_to_rgb(np.concatenate([l, ab], axis=-1, dtype=np.float32))
    return np.rint(rgb * 255).astype(np.uint8)


def _per_picture(metric):
    """Check what goes into a metric of single pictures, and let it take batches as well."""
    names = [name for name, parameter in inspect.signature(metric).parameters.items()
             if parameter.kind is inspect.Parameter.POSITIONAL_ONLY]

    @functools.wraps(metric)
    def checked(*pictures, **switches):
        pictures = [_checked(metric.__name__, name, picture)
                    for name, picture in zip(names, pictures, strict=True)]
        shapes = {picture.shape for picture in pictures}
        if len(shapes) > 1:
            raise ValueError(f"{metric.__name__}() needs pictures of one shape. Received: "
                             + " and ".join(str(picture.shape) for picture in pictures) + ".")
        if pictures[0].ndim == 3:
            return float(metric(*pictures, **switches))
        return np.array([metric(*each, **switches) for each in zip(*pictures, strict=True)],
                        np.float64)

    return checked


def _checked(metric, name, picture):
    picture = np.asarray(picture)
    is_rgb = name.startswith("rgb")
    channels = 3 if is_rgb else 2
    if picture.ndim not in (3, 4) or picture.shape[-1] != channels or 0 in picture.shape[-3:]:
        raise ValueError(f"{metric}() needs {name} of shape (H, W, {channels}) or (N, H, W, "
                         f"{channels}). Received: {picture.shape}.")
    if is_rgb and picture.dtype != np.uint8:
        raise ValueError(f"{metric}() needs {name} as uint8, since rounding is a part of the "
                         f"protocol. Received: {picture.dtype}. Use recolour().")
    if not is_rgb and picture.dtype.kind != "f":
        raise ValueError(f"{metric}() needs {name} as float, in Lab units. Received: "
                         f"{picture.dtype}.")
    if not is_rgb and not np.isfinite(picture).all():
        raise ValueError(f"{metric}() needs finite values. Received: {name} with NaN or infinity.")
    return picture


@_per_picture
def mse_ab(ab, ab_predicted, /):
    """Mean squared error of ab in squared Lab units, over pixels and both channels."""
    return mean_squared_error(ab, ab_predicted)


@_per_picture
def argmax_ab(ab, ab_predicted, /):
    """Share of pixels where the larger of a*, b* is the same one in both: Keras's "accuracy" of ab.

    No accuracy of colour: half of noise is right, and scaling a prediction up or down changes
    nothing. Reports that trained in Keras plot it, under the name accuracy.
    """
    return np.mean(ab.argmax(-1) == ab_predicted.argmax(-1))


@_per_picture
def psnr_rgb(rgb, rgb_predicted, /, *, data_range=255):
    """Peak signal-to-noise ratio on 8-bit RGB, in dB; the error is over pixels and channels."""
    return _psnr(rgb, rgb_predicted, data_range)


@_per_picture
def psnr_ab(ab, ab_predicted, /, *, data_range=255):
    """Peak signal-to-noise ratio on ab, in dB; the peak is that of 8-bit Lab, -128 to 127."""
    return _psnr(ab, ab_predicted, data_range)


def _psnr(true, predicted, data_range):
    with np.errstate(divide="ignore"):  # equal pictures: infinite
        return peak_signal_noise_ratio(true, predicted, data_range=data_range)


@_per_picture
def ssim_rgb(rgb, rgb_predicted, /, *, data_range=255, gaussian_weights=True, sigma=1.5,
             win_size=SSIM_WINDOW, use_sample_covariance=False, K1=0.01, K2=0.03):
    """Structural similarity on 8-bit RGB, the mean over channels and whole windows.

    The defaults are those of Wang et al. 2004; scikit-image's own are a uniform window of 7 and
    the sample covariance. Pictures smaller than the window raise ValueError.
    """
    return _ssim(rgb, rgb_predicted, data_range=data_range, gaussian_weights=gaussian_weights,
                 sigma=sigma, win_size=win_size, use_sample_covariance=use_sample_covariance,
                 K1=K1, K2=K2)


@_per_picture
def ssim_ab(ab, ab_predicted, /, *, data_range=255, gaussian_weights=True, sigma=1.5,
            win_size=SSIM_WINDOW, use_sample_covariance=False, K1=0.01, K2=0.03):
    """Structural similarity on ab, the mean over channels and whole windows.

    As `ssim_rgb`; the range is that of 8-bit Lab, -128 to 127. ab has signs, so that a wrong hue
    makes it negative, and grey for a colour brings it close to 0.
    """
    return _ssim(ab, ab_predicted, data_range=data_range, gaussian_weights=gaussian_weights,
                 sigma=sigma, win_size=win_size, use_sample_covariance=use_sample_covariance,
                 K1=K1, K2=K2)


def _ssim(true, predicted, **switches):
    if min(true.shape[:2]) < switches["win_size"]:
        raise ValueError(f"SSIM needs pictures of at least {switches['win_size']} pixels a side, "
                         f"the window. Received: {true.shape}.")
    # float32 halves the time and moves the result by 1e-6.
    return structural_similarity(np.float32(true), np.float32(predicted), channel_axis=-1,
                                 **switches)


@_per_picture
def colourfulness(rgb, /, *, absolute=False):
    """Colourfulness of one picture by Hasler and Süsstrunk 2003: 0 for grey, 15 slight, 82 high.

    With the opponents rg = R - G and yb = (R + G) / 2 - B over all pixels:
    hypot of their standard deviations + 0.3 times the hypot of their means. `absolute` takes
    |rg| and |yb| instead, as some published code does; its figures do not compare.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.int16), -1, 0)
    opponents = red - green, 0.5 * (red + green) - blue
    if absolute:
        opponents = [np.abs(opponent) for opponent in opponents]
    deviation = np.hypot(*(opponent.std(dtype=np.float64) for opponent in opponents))
    return deviation + 0.3 * np.hypot(*(opponent.mean(dtype=np.float64) for opponent in opponents))


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column of the evaluation: which pictures a metric takes, and what is better."""

    key: str
    title: str
    function: Callable
    pictures: tuple  # of "rgb", "ab", "rgb_predicted", "ab_predicted"
    better: str  # "higher", "lower", or "truth": as close to the true pictures' as can be
    digits: int = 2
    unit: str = ""
    smallest: int = 1  # the least side of a picture that it is defined for

    @property
    def switches(self):
        """{name: value} of the function's switches, as the evaluation uses them."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def definition(self):
        """The first line of the function's docstring."""
        return self.function.__doc__.splitlines()[0]


_RGB, _AB = ("rgb", "rgb_predicted"), ("ab", "ab_predicted")
METRICS = {metric.key: metric for metric in (
    Metric("psnr_rgb", "PSNR RGB", psnr_rgb, _RGB, "higher", unit="dB"),
    Metric("ssim_rgb", "SSIM RGB", ssim_rgb, _RGB, "higher", digits=4, smallest=SSIM_WINDOW),
    Metric("mse_ab", "MSE ab", mse_ab, _AB, "lower", digits=1),
    Metric("psnr_ab", "PSNR ab", psnr_ab, _AB, "higher", unit="dB"),
    Metric("ssim_ab", "SSIM ab", ssim_ab, _AB, "higher", digits=4, smallest=SSIM_WINDOW),
    Metric("argmax_ab", "Keras \"accuracy\"", argmax_ab, _AB, "higher", digits=3),
    Metric("colourfulness", "Colourfulness", colourfulness, ("rgb_predicted",), "truth"),
)}


def score(rgb, true_lab, ab_predicted):
    """Every metric of one picture: {key: float}, None where a metric is not defined.

    rgb (H, W, 3) uint8; true_lab (H, W, 3) is its Lab; ab_predicted (H, W, 2) in Lab units.
    """
    pictures = {"rgb": rgb, "ab": true_lab[..., 1:], "ab_predicted": ab_predicted,
                "rgb_predicted": recolour(true_lab[..., :1], ab_predicted)}
    return {key: metric.function(*(pictures[name] for name in metric.pictures))
            if min(rgb.shape[:2]) >= metric.smallest else None
            for key, metric in METRICS.items()}


def score_batch(rgb, true_lab, ab_predicted, pool=None):
    """`score` of each picture of a batch, a list of dicts; `pool` is an executor to spread over."""
    return list((pool.map if pool else map)(score, rgb, true_lab, ab_predicted))


def summary(values):
    """The mean of per-picture values, with what it is a mean of.

    {"mean": over the finite values, None if there are none, "n": how many these are,
    "infinite": how many are infinite (equal pictures)}; None among the values is left out.
    """
    defined = np.array([value for value in values if value is not None], np.float64)
    if np.isnan(defined).any():
        raise ValueError("summary() of NaN: a metric never gives it, so look for its source.")
    finite = defined[np.isfinite(defined)]
    return {"mean": float(finite.mean()) if len(finite) else None, "n": len(finite),
            "infinite": len(defined) - len(finite)}
