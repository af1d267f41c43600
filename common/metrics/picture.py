"""The arguments of metrics: a picture with a cache, and checks of dtype, shape and values."""

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np


class Picture:
    """One picture, (H, W, C), with a cache of values that metrics compute from it alone.

    Metrics accept it in place of its array, which must not be changed meanwhile.
    """

    def __init__(self, array: np.ndarray):
        self.array = np.asarray(array)
        self._cache: dict[tuple, Any] = {}
        self._checked: set[str] = set()

    def once(self, function: Callable[..., Any], *arguments: Hashable) -> Any:
        """function(self, *arguments), computed the first time only; arguments are hashable."""
        if (function, arguments) not in self._cache:
            self._cache[function, arguments] = function(self, *arguments)
        return self._cache[function, arguments]

    @property
    def planes(self) -> list[np.ndarray]:
        """The channels, each (H, W) float32 and contiguous."""
        return self.once(_planes)

    def off(self, true: "Picture") -> list[np.ndarray]:
        """The differences from another `Picture`, each channel's (H, W) float32."""
        return self.once(_off, true)

    def check(self, metric: str, name: str) -> None:
        """Raise ValueError unless it is what a metric needs as the argument `name`."""
        kind = name.removesuffix("_predicted")
        if kind not in self._checked:
            _check(metric, name, self.array)
            self._checked.add(kind)


def _planes(picture):
    channels = range(picture.array.shape[-1])
    return [np.ascontiguousarray(picture.array[..., at], np.float32) for at in channels]


def _off(picture, true):
    return [ours - theirs for ours, theirs in zip(picture.planes, true.planes, strict=True)]


def per_picture(metric: Callable[..., float]) -> Callable[..., Any]:
    """Decorate a metric of single pictures: check its arguments, and accept batches as well."""
    names = [
        name
        for name, parameter in inspect.signature(metric).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    ]

    @functools.wraps(metric)
    def checked(*arguments, **switches):
        pictures = [
            argument if isinstance(argument, Picture) else Picture(argument)
            for argument in arguments
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
