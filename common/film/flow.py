"""How a picture moved: where each place was in the frame before, and how well the two fit.

Optical flow by DIS (Kroeger et al. 2016) in OpenCV, at the network's size. It is taken in both
directions: where the two contradict each other something was covered or uncovered, and where the
L* that the flow brings is another one the flow is wrong.
"""

import dataclasses
import functools

import cv2
import numpy as np

_PHOTOMETRIC = 6.0  # L* of a difference at which the fit is 1/e
_GEOMETRIC = 1.5  # pixels of a contradiction at which the fit is 1/e
_FLICKER = 16.0  # pixels: differences wider than this are the lamp's, not an object's


@dataclasses.dataclass(frozen=True)
class Pull:
    """How to fetch a map of another frame into this one.

    places: (S, S, 2) float32 coordinates in the other frame. fit: (S, S) float32 in [0, 1].
    """

    places: np.ndarray
    fit: np.ndarray

    def scaled(self, side: int) -> "Pull":
        """The same for maps of another size."""
        size = len(self.fit)
        if side == size:
            return self
        moved = self.places - grid(size)
        moved = cv2.resize(moved, (side, side), interpolation=cv2.INTER_AREA) * (side / size)
        fit = cv2.resize(self.fit, (side, side), interpolation=cv2.INTER_AREA)
        return Pull(grid(side) + moved, fit)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """A map of the other frame, (S, S[, C]) float32, where its parts are in this one."""
        return fetched(values, self.places, cv2.INTER_CUBIC)


def between(earlier: np.ndarray, later: np.ndarray) -> tuple[Pull, Pull]:
    """L* of two frames, (S, S) float32 -> (what fetches the earlier one, what fetches the later).

    The first belongs to the later frame, the second to the earlier.
    """
    back = moved(later, earlier, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth = moved(earlier, later, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _pull(back, forth, earlier, later), _pull(forth, back, later, earlier)


def _pull(flow, opposite, source, here):
    places = grid(len(here)) + flow
    returned = fetched(opposite, places)
    astray = np.square(flow + returned).sum(axis=2)
    brought = fetched(source, places)
    difference = here - brought
    difference -= cv2.blur(difference, (2 * int(_FLICKER) + 1,) * 2)
    difference = cv2.GaussianBlur(difference, (0, 0), 1.0)  # grain is no motion
    fit = np.exp(-np.square(difference / _PHOTOMETRIC) - astray / _GEOMETRIC**2)
    last = len(here) - 1
    inside = ((places >= -0.5) & (places <= last + 0.5)).all(axis=2)
    return Pull(places, (fit * inside).astype(np.float32))


def fetched(values: np.ndarray, places: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The values at places, (S, S, 2) float32 coordinates, of a map (S, S[, C]) float32."""
    x, y = cv2.split(places)
    return np.asarray(cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REPLICATE))


@functools.cache
def grid(size: int) -> np.ndarray:
    """Each place's own coordinates, (size, size, 2) float32: x, y."""
    return np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 2), axis=2)


def moved(first: np.ndarray, second: np.ndarray, preset: int) -> np.ndarray:
    """The flow from one L* (S, S) to another: (S, S, 2) float32 pixels; preset: one of OpenCV's."""
    pair = [np.clip(l * 2.55, 0, 255).astype(np.uint8) for l in (first, second)]
    return _finder(preset).calc(*pair, None)


@functools.cache
def _finder(preset):
    return cv2.DISOpticalFlow.create(preset)
