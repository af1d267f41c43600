"""How often each a* and each b* occurs, accumulated batch by batch in constant memory."""

import cv2
import numpy as np

# Lab units. Colours of sRGB lie within: a in [-86, 98], b in [-108, 95]. 0 is the middle of a bin.
LIMIT, WIDTH = 111, 2
BINS = 2 * LIMIT // WIDTH
CENTRES = np.arange(-LIMIT + WIDTH / 2, LIMIT, WIDTH)
CHANNELS = ("a", "b")


def none() -> np.ndarray:
    """Empty histograms, (2, BINS) int64."""
    return np.zeros((len(CHANNELS), BINS), np.int64)


def count(ab: np.ndarray) -> np.ndarray:
    """ab (..., 2) float, Lab units -> (2, BINS) int64: the pixels in each bin of a and of b.

    What lies beyond the limits is counted in the outermost bins.
    """
    ab = np.clip(np.asarray(ab, np.float32), -LIMIT, np.nextafter(np.float32(LIMIT), np.float32(0)))
    return np.stack(
        [
            cv2.calcHist([np.ascontiguousarray(plane)], [0], None, [BINS], [-LIMIT, LIMIT])
            .ravel()
            .astype(np.int64)
            for plane in np.moveaxis(ab, -1, 0).reshape(2, -1)
        ]
    )


def shares(counts: np.ndarray | list[int]) -> np.ndarray:
    """(BINS,) counts -> the share of each bin, (BINS,) float64."""
    counts = np.asarray(counts, np.float64)
    return counts / counts.sum()


def distance(counts: np.ndarray | list[int], others: np.ndarray | list[int]) -> float:
    """The earth mover's distance between two histograms of (BINS,) counts, in Lab units.

    How far the pixels of one would have to move along the axis, on average, to become the other.
    """
    return float(np.abs(np.cumsum(shares(counts) - shares(others))).sum() * WIDTH)


def deviation(counts: np.ndarray | list[int]) -> float:
    """The standard deviation of a histogram of (BINS,) counts, in Lab units, to within a bin."""
    share = shares(counts)
    return float(np.sqrt(share @ (CENTRES - share @ CENTRES) ** 2))
