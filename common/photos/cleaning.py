"""An old print's tint, taken off: sepia, yellowed paper, stains, faded blacks -> grey.

What is taken for a print without colours: one whose ab follow its L*, but for one direction in
which stains may lie. Coloured paper or a coloured lamp multiplies linear light by one colour, which
is that of the brightest parts: divided by it, the print is grey, as bright as its brightest channel
was. Where it is stained, that channel is taken alone, since stains absorb the others; where the
brightest channels are clipped, as by the sepia of picture editors, the brightest that is not. A
tone, which grows weaker towards white, lies on white paper: there L* is kept. docs/old-photos.md
has what all of this is worth.
"""

import dataclasses

import cv2
import numpy as np

from common.color import lab
from common.photos.formats import PhotoError
from common.photos.geometry import fit
from common.photos.reading import opaque
from common.photos.tone import TONE, tone_of

NEUTRAL = 2.0  # a* and b* of 95 % of the pixels, below which there is no tint
SECOND = 2.5  # largest distance of ab from one direction, at 99 % of the pixels
FIRST = 12.0  # and along it: stains
STAINED = 1.8  # from which distance of ab from the tone, over an area, there are stains
WEAKER = 0.12  # a tone's logarithm of blue / red rises by that much with that of the luminance
FADED = 24.0  # the L* of blacks that have faded,
BLACK = 4.0  # and what they become
CLIPPED, APART = 0.01, 20  # the share of pixels that are, and how far apart they are in another
PAPER = 0.99  # the quantile of each channel that is the paper's
_SIDE, _SMALL = 256, 64  # of the copies in which tint and tone are measured
_SHARES = np.array(lab.LUMINANCE, np.float32)
_BAND = 1 << 20  # pixels worked on at a time


@dataclasses.dataclass(frozen=True)
class Tint:
    """What a print has beside its picture.

    paper: the colour of the brightest parts, linear light (3,) in [0, 1]. toned: whether the paper
    is white and L* stays. channel: the one that is taken alone, else None, and why, in
    words. black, top: the L* of faded blacks and of the brightest parts, else None.
    """

    paper: np.ndarray
    toned: bool
    channel: int | None = None
    why: str = ""
    black: float | None = None
    top: float | None = None

    def __str__(self) -> str:
        """What is taken off, in words."""
        rgb = lab.linear_to_srgb(self.paper.astype(np.float32))
        l, a, b = (round(float(value)) for value in lab.rgb_to_lab(rgb))
        if self.toned:
            words = ["a tone taken off, its lightness kept"]
        else:
            words = [f"a tint taken off (paper of L* {l}, a* {a}, b* {b})"]
        if self.channel is not None:
            channel = ("red", "green", "blue")[self.channel]
            words.append(f"L* taken of the {channel} channel alone, since it is {self.why}")
        if self.black is not None:
            words.append(f"faded blacks of L* {self.black:.0f} deepened")
        return ", ".join(words)


def find(pixels: np.ndarray) -> Tint | None:
    """The tint of a picture of any kind; None where it is grey already.

    Raises PhotoError for a photo in colour.
    """
    if pixels.ndim == 2:
        return None
    rgb = opaque(fit(pixels, _SIDE, "squash"))
    small = fit(rgb, _SMALL, "squash")
    colours = lab.rgb_to_lab(small)
    if np.quantile(np.abs(colours[..., 1:]), 0.95) < NEUTRAL:
        return None
    tone, off = tone_of(colours)
    # Averages over pixels of which some were clipped lie beside the line of the others.
    clipped = fit((rgb.max(-1) >= 254).astype(np.float32), _SMALL, "squash")
    whole = clipped < 0.01 if (clipped < 0.01).mean() > 0.1 else clipped >= 0
    if not _is_print(off[whole]) or np.abs(tone).max() > TONE:
        raise PhotoError(
            "is in colour, and CLEAN=1 takes the tint off prints without colours; leave it out to "
            "colour this photo anew"
        )
    linear = lab.srgb_to_linear(rgb.astype(np.float32) / 255)
    paper = np.maximum(np.quantile(linear.reshape(-1, 3), PAPER, axis=0), 1e-3)
    toned = _weakens(lab.srgb_to_linear(small[whole].astype(np.float32) / 255))
    channel, why = None, ""
    if not toned and (channel := _unclipped(rgb, paper)) is not None:
        why = "the brightest that is not clipped"
    elif not toned and np.quantile(np.abs(cv2.GaussianBlur(off, (0, 0), 2)), 0.98) > STAINED:
        channel, why = int(np.argmax(paper)), "the one that stains darken least"
    tint = Tint(paper, toned, channel, why)
    if toned:
        return tint
    black, top = map(float, np.quantile(lab.grey_to_l(_grey(rgb, tint)), (0.005, 0.999)))
    return dataclasses.replace(tint, black=black, top=top) if black > FADED else tint


def taken_off(pixels: np.ndarray, tint: Tint) -> np.ndarray:
    """A colour picture without its tint: (H, W) grey, or with its alpha, of the same dtype."""
    height, width = pixels.shape[:2]
    grey = np.empty((height, width), pixels.dtype)
    rows = max(1, _BAND // width)
    for start in range(0, height, rows):
        band = slice(start, start + rows)
        values = _grey(pixels[band, :, :3], tint) * np.iinfo(pixels.dtype).max
        grey[band] = np.rint(values)
    if pixels.shape[2] == 4:
        return np.dstack([grey, grey, grey, pixels[..., 3]])
    return grey


def _is_print(off):
    """Whether ab are off their tone (n, 2) in one direction at most, and there not far."""
    centred = off - off.mean(0)
    second, first = np.linalg.eigh(centred.T @ centred)[1].T
    return (
        np.quantile(np.abs(centred @ second), 0.99) < SECOND
        and np.quantile(np.abs(centred @ first), 0.99) < FIRST
    )


def _unclipped(rgb, paper):
    """The brightest channel that still tells apart what is clipped in a brighter one, or None."""
    order = np.argsort(-paper)
    for brighter, channel in zip(order, order[1:], strict=False):
        clipped = rgb[rgb[..., brighter] >= 254]
        if len(clipped) < CLIPPED * rgb.shape[0] * rgb.shape[1]:
            return None if brighter == order[0] else int(brighter)
        low, high = np.quantile(clipped[:, channel], (0.05, 0.95))
        if high - low < APART:
            return None if brighter == order[0] else int(brighter)
    return int(order[-1])


def _weakens(linear):
    """Whether the tone of linear light (n, 3) grows weaker towards white: `WEAKER`."""
    luminance = linear @ _SHARES
    bright = luminance > 0.02  # where 8 bits still tell colours apart
    if bright.sum() < 50:
        return False
    ratio = np.maximum(linear[bright, 2], 1e-4) / np.maximum(linear[bright, 0], 1e-4)
    slope, _ = np.polyfit(np.log(luminance[bright]), np.log(ratio), 1)
    return bool(slope * -np.sign(np.log(ratio).mean()) > WEAKER)


def _grey(rgb, tint):
    """Integers (..., 3) -> grey (...) float32 in [0, 1]."""
    linear = lab.srgb_to_linear(rgb.astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max))
    if not tint.toned and tint.channel is None:
        linear = linear * (tint.paper.max() / tint.paper).astype(np.float32)
    grey = linear[..., tint.channel] if tint.channel is not None else linear @ _SHARES
    grey = lab.linear_to_srgb(np.clip(grey, 0, 1))
    if tint.black is None:
        return grey
    l = tint.top - (tint.top - lab.grey_to_l(grey)) * ((tint.top - BLACK) / (tint.top - tint.black))
    return lab.l_to_grey(np.clip(l, 0, 100).astype(np.float32))
