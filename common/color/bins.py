"""The 313 bins of ab: classes of colour, how rare each is, and colour from a distribution of them.

Zhang, Isola, Efros 2016, "Colorful image colorization", sections 2.1 to 2.3. The bins are the
points of a grid of 10 units in the plane of a* and b* that lie within the sRGB gamut.

Keras is imported by the functions that take or make tensors: the bins themselves need none.
"""

import functools
import itertools
from typing import Any

import numpy as np

_STEP = 10  # between the centres of two bins

# For each a* from -90 to 100, the lowest and the highest b* of its bins.
_RANGES = (
    (50, 90),
    (20, 90),
    (0, 90),
    (-20, 90),
    (-30, 100),
    (-40, 100),
    (-50, 100),
    (-50, 100),
    (-60, 100),
    (-70, 100),
    (-80, 90),
    (-80, 90),
    (-90, 90),
    (-100, 90),
    (-100, 80),
    (-110, 80),
    (-110, 80),
    (-110, 70),
    (-110, 70),
    (-90, 0),
)

# (313, 2) float32, in Lab units: by rising a*, then by rising b*, as in the authors' release.
CENTRES = np.array(
    [
        (a, b)
        for a, (first, last) in zip(itertools.count(-90, _STEP), _RANGES)
        for b in range(first, last + 1, _STEP)
    ],
    np.float32,
)

# Tables over the plane have a row for each cell of 5 x 5 units, a quarter of a bin: where a bin has
# neighbours on all sides, a cell lies within one bin. They end beyond sRGB's last colour, at -108.
_CELL, _EDGE = 5, 130
_SIDE = 2 * _EDGE // _CELL

_BLOCK = 1 << 12  # colours compared with every bin at a time


def nearest(ab: np.ndarray) -> np.ndarray:
    """The bins nearest to colours: (..., 2) finite floats in Lab units -> (...) int32. NumPy.

    Exact for any colour; those of sRGB are looked up in a table. Halfway between bins, the one of
    larger a* is taken, then of larger b*.
    """
    ab = np.asarray(ab)
    colours = ab.reshape(-1, 2)
    position = np.floor(colours / _CELL) + _EDGE // _CELL
    outside = ((position < 0) | (position >= _SIDE)).any(-1)
    position = np.clip(position, 0, _SIDE - 1).astype(np.int32)
    bins, whole = _cells()
    cell = position[:, 0] * _SIDE + position[:, 1]
    result = bins[cell]
    unclear = np.flatnonzero(outside | ~whole[cell])
    for block in np.split(unclear, range(_BLOCK, len(unclear), _BLOCK)):
        result[block] = _closest(_closeness(colours[block]))
    return result.reshape(ab.shape[:-1])


def nearest_of_cells() -> np.ndarray:
    """The bin nearest to the middle of each cell of `cells`, (2704,) int32.

    That is the nearest bin of every colour of sRGB in the cell.
    """
    return _cells()[0]


def cells(ab: Any) -> Any:
    """The cell of 5 x 5 units that each colour is in: tensor (..., 2), Lab units -> (...) int32.

    Colours beyond 130 units are assigned to the cells at the edge.
    """
    from keras import ops

    position = ops.clip(ops.floor(ab * (1 / _CELL)) + _EDGE // _CELL, 0, _SIDE - 1)
    return ops.cast(position[..., 0] * _SIDE + position[..., 1], "int32")


def encode(ab: Any, neighbours: int = 5, sigma: float = 5.0) -> tuple[Any, Any]:
    """Soft encoding: the nearest bins of a colour, weighted by a Gaussian of the distance.

    Tensor (..., 2) in Lab units -> (indices (..., k) int32, nearest first; weights (..., k)
    float32, of sum 1). k is `neighbours`: 5 in the paper, 10 in the released code; `sigma` in Lab
    units. Exact up to 130 units from grey; distances are only taken to the bins that a cell can
    have among its nearest.
    """
    from keras import ops

    candidates = _candidates(neighbours)
    cell = cells(ab)
    a, b = (ops.take(CENTRES[candidates, axis], cell, axis=0) for axis in range(2))
    closeness = -(ops.square(ab[..., :1] - a) + ops.square(ab[..., 1:] - b))
    closeness, order = ops.top_k(closeness, neighbours)
    indices = ops.take_along_axis(
        ops.take(candidates, cell, axis=0), ops.cast(order, "int32"), axis=-1
    )
    return indices, ops.softmax(closeness * (0.5 / sigma**2), axis=-1)


def rarity(prior: np.ndarray, lam: float = 0.5, sigma: float = 5.0) -> np.ndarray:
    """The weight of each bin in a rebalanced loss, (313,) float32: equation 4 of the paper.

    `prior` (313,) is smoothed by a Gaussian of `sigma` Lab units, which spreads each bin's share
    over all, and mixed with `lam` of the uniform distribution. A bin's weight is the inverse of
    that, scaled so that the mean weight under the smoothed prior is 1.
    """
    smoothed = _smoothed(prior, sigma)
    weights = 1 / ((1 - lam) * smoothed + lam / len(CENTRES))
    return (weights / (smoothed @ weights)).astype(np.float32)


def balance(prior: np.ndarray, sigma: float = 5.0) -> np.ndarray:
    """The weight of each bin in the paper's balanced evaluation, (313,) float32.

    `rarity` with lam = 0, the inverse of the smoothed prior. A bin with a share of 0 has the weight
    0, since its rarity is unknown; the mean weight of the others under the prior is 1.
    """
    present = np.asarray(prior) > 0
    weights = np.divide(1, _smoothed(prior, sigma), where=present, out=np.zeros(len(CENTRES)))
    return (weights / (prior @ weights)).astype(np.float32)


def _smoothed(prior, sigma):
    """Each bin's share spread over all bins by a Gaussian, (313,) float64."""
    centres = CENTRES.astype(np.float64)
    spread = np.exp(-np.square(centres[:, None] - centres).sum(-1) / (2 * sigma**2))
    return (spread / spread.sum(axis=0)) @ prior


def annealed_mean(
    logits: Any, factor: int = 4, temperature: float = 0.38, offset: float | list[float] = 0.0
) -> Any:
    """Logits of the bins, tensor (N, h, w, 313) -> ab (N, factor h, factor w, 2) in Lab units.

    The mean of the bins under their distribution sharpened by `temperature`: 1 gives the mean, the
    limit 0 the mode. offset: added to the logits after that, a number for each bin. Built-in layers
    in float32, the upsampling bilinear; an array of logits is decoded at once.
    """
    from keras import layers

    mean = layers.Conv2D(2, 1, use_bias=False, trainable=False, name="ab_mean", dtype="float32")
    x = layers.Rescaling(1 / temperature, offset, name="ab_temperature", dtype="float32")(logits)
    x = layers.Softmax(name="ab_softmax", dtype="float32")(x)
    mean.build(x.shape)
    mean.set_weights([CENTRES[None, None]])
    x = mean(x)
    return layers.UpSampling2D(factor, interpolation="bilinear", name="ab", dtype="float32")(x)


def shares_of(logits: np.ndarray, temperature: float, offset: float | list[float]) -> np.ndarray:
    """The distribution of which `annealed_mean` takes the mean, with NumPy alone.

    (..., 313) -> the same shape, float32; to its rounding as Keras's layers give it.
    """
    x = logits * np.float32(1 / temperature) + np.asarray(offset, np.float32)
    x -= x.max(-1, keepdims=True)
    np.exp(x, out=x)
    return x / x.sum(-1, keepdims=True)


# --- a network that classifies ab -------------------------------------------------------------


def with_head(network: Any) -> Any:
    """A functional network for ab (N, H, W, 2) -> one for logits of the bins (N, H/4, W/4, 313).

    The convolution that computes ab, or the two that compute a* and b* from the same features, and
    the layers after it are replaced by a 1x1 convolution named `ab_bins`, applied to the features
    averaged or repeated to a quarter of H and W. Inputs, outputs other than "ab" and all other
    layers are shared with the network. Raises ValueError for a network of another form.
    """
    import keras
    from keras import layers

    outputs = network.output
    ab = outputs["ab"] if isinstance(outputs, dict) else outputs
    x = _features(ab)
    up = _upsampling(network, x, ab)
    if up < 4:
        x = layers.AveragePooling2D(4 // up, name="ab_bins_pool")(x)
    elif up > 4:
        x = layers.UpSampling2D(up // 4, name="ab_bins_up")(x)
    logits = layers.Conv2D(len(CENTRES), 1, name="ab_bins")(x)
    if isinstance(outputs, dict):  # older versions of Keras name an output by its layer
        outputs = {**outputs, "ab": layers.Identity(name="ab")(logits)}
    else:
        outputs = logits
    return keras.Model(network.input, outputs, name=network.name)


def _features(ab):
    """The input of the last convolution or convolutions before ab."""
    from keras import layers

    last, tensors = {}, [ab]
    while tensors:
        layer, node, _ = tensors.pop()._keras_history
        sources = layer._inbound_nodes[node].input_tensors
        if layer.weights or not sources:
            last[layer.name] = layer, sources
        else:
            tensors.extend(sources)
    made = [layer for layer, _ in last.values()]
    features = {id(tensor): tensor for _, sources in last.values() for tensor in sources}
    convolutions = all(
        layer.trainable and isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose))
        for layer in made
    )
    if not convolutions or sum(layer.filters for layer in made) != 2 or len(features) != 1:
        raise ValueError(
            "with_head() needs ab from one trainable convolution of two channels, or from two of "
            "one channel with the same input, because it replaces them by another. Received: "
            f"ab from {', '.join(f'{x.name} ({type(x).__name__})' for x in reversed(made))}. "
            "Make such a convolution the last of the network's layers with weights."
        )
    return features.popitem()[1]


def _upsampling(network, features, ab):
    """The height of ab as a multiple of the features' height: 1, 2, 4, 8, 12, ..."""
    import keras

    shapes = features.shape, ab.shape
    if None in ab.shape[1:]:  # a network of any size: compute the shapes for one
        shapes = keras.Model(network.input, [features, ab]).compute_output_shape(
            keras.tree.map_structure(lambda x: tuple(n or 256 for n in x.shape), network.input)
        )
    (height, width), (full_height, full_width) = (shape[1:3] for shape in shapes)
    up = full_height // height
    if (full_height, full_width) != (up * height, up * width) or (4 % up if up < 4 else up % 4):
        raise ValueError(
            "with_head() needs features of 1, 1/2, 1/4 or a whole fraction of 1/4 of the size of "
            f"ab, because it classifies at 1/4. Received: {height} x {width} for an ab of "
            f"{full_height} x {full_width}. Change the strides before the last convolution."
        )
    return up


# --- tables over the cells --------------------------------------------------------------------


def _closeness(ab):
    """(..., 2) -> (..., 313), larger where nearer: by |ab - c|² = |ab|² - 2 (ab c - |c|² / 2).

    Exact in float64 where ab is float32, so that equal distances give equal values.
    """
    centres = CENTRES.astype(np.float64)
    return ab @ centres.T - np.square(centres).sum(-1) / 2


def _closest(closeness):
    """The last of the largest, since bins rise in a*, then in b*."""
    return len(CENTRES) - 1 - closeness[..., ::-1].argmax(-1)


def _corners():
    """The lower corner of every cell, (2704, 2) float64."""
    edges = np.arange(-_EDGE, _EDGE, _CELL, dtype=np.float64)
    return np.stack(np.meshgrid(edges, edges, indexing="ij"), axis=-1).reshape(-1, 2)


@functools.cache
def _cells():
    """(nearest bin to each cell's middle (2704,) int32, whether to all of the cell (2704,) bool).

    A bin nearest to the four corners is nearest to all colours between, since the colours nearest
    to a bin are a convex set.
    """
    bins = _closest(_closeness(_corners() + _CELL / 2)).astype(np.int32)
    whole = np.ones(len(bins), bool)
    for corner in itertools.product((0, _CELL), repeat=2):
        closeness = _closeness(_corners() + corner)
        whole &= closeness[np.arange(len(bins)), bins] == closeness.max(-1)
    return bins, whole


@functools.cache
def _candidates(neighbours):
    """The bins that can be among the nearest to a colour of each cell, (2704, C) int32, descending.

    They are those whose least distance to the cell is no larger than the distance within which any
    colour of the cell has `neighbours` bins. The rest of a row is filled with the next ones.
    """
    low = _corners()[:, None]
    lower, upper = CENTRES - low, low + _CELL - CENTRES
    least = np.square(np.maximum(np.maximum(-lower, -upper), 0)).sum(-1)
    most = np.square(np.maximum(lower, upper)).sum(-1)
    enough = np.partition(most, neighbours - 1)[:, neighbours - 1, None]
    count = (least <= enough).sum(-1).max()
    candidates = np.argsort(least, axis=-1, kind="stable")[:, :count]
    return np.sort(candidates, axis=-1)[:, ::-1].astype(np.int32)
