"""`Colorizer`: an exported model as a function of photos, which keep their size.

The network takes a small version of the picture and returns ab, which is enlarged along the edges
of the picture's own L* and combined with it. L* is kept at every pixel.
"""

import copy
import dataclasses
import functools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from common import photos
from common.cli import UserError, first_line
from common.color import lab
from common.color.dial import Dial
from common.colorize import dials, upsampling
from common.colorize import refine as refining
from common.networks import backend, model_names

if TYPE_CHECKING:  # Keras, which another runtime does without
    from common.networks.embeddings import Embedder

BAND = 1 << 18  # pixels worked on at a time in one thread: memory does not grow with the picture


@dataclasses.dataclass(frozen=True)
class Small:
    """A picture as the network has it: L* (S, S) that it received, ab (s, s, 2) that it returned.

    float32 in Lab units, in the model's cut. s is S, or less where the map is enlarged with lines.
    """

    l: np.ndarray
    ab: np.ndarray


class Colorizer:
    """An exported model that colours pictures of any size.

    `colorizer(array)`: uint8 or uint16, (H, W), (H, W, 3) or (H, W, 4) -> the same size and depth,
    (H, W, 3), or (H, W, 4) with the same alpha. A colour picture is coloured anew from its L*.
    Also taken, as TIFF readers return them: (H, W, 1), any byte order, and bool, which gives uint8.
    It is two steps, between which a film's ab are made steady: `small` and `joined`.

    path: an .h5 of `networks.h5.export`, or an .onnx of `make export`, for which neither Keras nor
    TensorFlow is imported, or any Keras model from `l` to `ab`, or a name as
    `model_names.named` takes it; None is the default model. precision: "float32",
    "mixed_bfloat16" or "auto". weights: a file for the embedding network, if its weights are not in
    the usual folders. band: pixels processed at a time in one thread. batch: pictures that the
    network takes at a time, halved where memory is short; the last batch is padded, so that a
    picture's colours depend neither on the other pictures nor on their number. vivid: 0, faithful,
    to 1, vivid, for a model that classifies ab; None is as the model is exported. tint: "warm",
    "cool" or (a, b), see `dials.tinted`. refine: what is done to ab after the network, one of
    `refine.WAYS`. clean: take an old print's tint off first (`photos.cleaning`). border: "keep"
    leaves the paper around a print as it is (`photos.border`). Raises UserError.

    Attributes: `path`, the model's file; `runtime`, what computes the network, and a `note` on how
    it was chosen; the network's `parameters`, None where the runtime does not count them; `size`
    and `cut` of the pictures that it takes, the model's `metadata`, its `dial` or None,
    `needs_embedding`, `embedding`, what its metadata say of the embedding network, or None, and
    `embeds_photos`: whether it was trained on embeddings of the photo itself, at that network's own
    size, or on those of the pictures that it takes; and how it was set: `vivid`, `tint`, `refine`,
    `clean`, `keeps_border`. A notebook shows them as a table.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        precision: str = "float32",
        weights: str | Path | None = None,
        band: int = BAND,
        batch: int = 1,
        vivid: float | None = None,
        tint: str | tuple[float, float] | None = None,
        refine: str = refining.DEFAULT,
        clean: bool = False,
        border: str = dials.BORDERS[0],
    ) -> None:
        self.path = path = model_names.named(path)
        self._network = network = _network(path, precision)
        self.runtime, self.note = network.runtime, ""
        self.metadata, self.parameters = network.metadata, network.parameters
        dial = self.metadata.get("dial")
        self.dial = Dial.of_json(dial) if dial and network.has_logits else None
        self.vivid: float | None = None
        self.tint: tuple[float, float] | None = None
        inputs = network.inputs
        self.size = inputs["l"][1] or self.metadata.get("image_size") or 256
        self.cut = self.metadata.get("cut", "squash")
        self.needs_embedding = "embedding" in inputs
        self._band, self._batch = band, batch
        self._threads = os.cpu_count()
        self._computing = threading.Lock()  # the network takes all processors for one batch
        about = self.metadata.get("embedding") if self.needs_embedding else None
        self.embedding: dict[str, Any] | None = about
        self.embeds_photos = bool(about and about.get("from") == "photo")
        if self.needs_embedding and not self.embedding:
            raise UserError(
                f"{path} needs an embedding, and its metadata does not name the network. Export "
                "it with its metadata."
            )
        # Loaded when first needed, once for all that `turned` returns.
        self._embedder = functools.cache(lambda: network.embedder(about or {}, weights))
        self._turn(vivid, tint, refine, clean, border)

    def turned(
        self,
        vivid: float | None = None,
        tint: str | tuple[float, float] | None = None,
        refine: str | None = None,
        clean: bool | None = None,
        border: str | None = None,
    ) -> "Colorizer":
        """A colorizer with the same network and other dials; None leaves a dial as it is."""
        other = copy.copy(self)
        other._turn(vivid, tint, refine, clean, border)
        return other

    def careful(self, bands: int = 1) -> "Colorizer":
        """A colorizer with the same network that takes less memory and more time.

        One thread instead of one a processor, and in bands that many times as small: with more
        than 1, sums are formed in another order, and a value may be rounded otherwise.
        """
        other = copy.copy(self)
        other._threads, other._band = 1, max(1, self._band // bands)
        return other

    def _turn(self, vivid, tint, refine, clean, border):
        if vivid is not None:
            self.vivid = dials.parse_vivid(vivid)
            self._network = dials.redialled(self._network, self.dial, self.vivid)
        if tint is not None:
            self.tint = dials.parse_tint(tint)
        if refine is not None:
            self.refine = refining.parse(refine)
            refining.check(refine, self._network.has_logits)
        if clean is not None:
            self.clean = clean
        if border is not None:
            self.keeps_border = dials.parse_border(border) == "keep"

    def __repr__(self) -> str:
        return f"<Colorizer {self.path}, by {self.runtime}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from common.colorize import notebook

        return notebook.table(self)

    @functools.cached_property
    def embedder(self) -> "Embedder":
        """The embedding network that the model was trained on; stored embeddings need none."""
        return self._embedder()

    def predict_ab(self, l: np.ndarray, embedding: np.ndarray | None = None) -> np.ndarray:
        """L* (N, S, S, 1) float32 in [0, 100] -> ab (N, S, S, 2) float32, Lab units.

        embedding: (N, 1000) logits; computed from `l` if the model needs them and none are given.
        """
        return self._predict(l, embedding, self._network.predict)

    def refined_ab(self, l: np.ndarray, embedding: np.ndarray | None = None) -> np.ndarray:
        """`predict_ab` as a call would have it for pictures of that size: after `refine`."""
        parts = []
        for small_l, ab in zip(l[..., 0], self._small_ab(l, embedding, True), strict=True):
            guide = cv2.resize(small_l, ab.shape[1::-1], interpolation=cv2.INTER_AREA)
            lines = photos.unfit(self._lines(ab, guide), small_l.shape, "squash")
            parts.append(upsampling.along(lines, small_l))
        return np.stack(parts)

    def _small_ab(self, l, embedding, small):
        """ab as the network has it before its last layer, if small, and refined at that size."""
        if self.refine != "crf":
            predict = functools.partial(self._network.predict, small=small)
            ab = self._predict(l, embedding, predict)
            return np.stack([*map(refining.total_variation, ab)]) if self.refine == "tv" else ab
        shares = self._predict(l, embedding, self._network.shares)
        size = shares.shape[2:0:-1]
        guides = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in l[..., 0]]
        ab = map(refining.random_field, shares, guides)
        if not small:
            ab = (cv2.resize(each, l.shape[2:0:-1]) for each in ab)
        return np.stack([*ab])

    def _lines(self, ab, l):
        """What is enlarged of ab (h, w, 2) with L* (h, w)."""
        if self.refine == "none":
            return upsampling.level(ab)
        return upsampling.lines(ab, l)

    def _predict(self, l, embedding, predict):
        parts, start = [], 0
        while start < len(l):
            some = slice(start, start + self._batch)
            given = None if embedding is None else embedding[some]
            try:
                with self._computing:
                    parts.append(self._predict_batch(l[some], given, predict))
            except MemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2
                continue
            start += self._batch
        return np.concatenate(parts)

    def _predict_batch(self, l, embedding, predict):
        """At most `batch` pictures; MemoryError where they are too many."""
        batch = {"l": _padded(l, self._batch)}
        if embedding is not None:
            batch["embedding"] = _padded(embedding, self._batch)
        elif self.needs_embedding:
            batch["embedding"] = self.embedder(batch["l"], pad=self._batch > 1)
        try:
            return predict(batch)[: len(l)]
        except MemoryError:
            raise
        except Exception as error:
            # TensorFlow's ResourceExhaustedError and JAX's XlaRuntimeError
            if "ResourceExhausted" in type(error).__name__ or "RESOURCE_EXHAUSTED" in str(error):
                raise MemoryError(first_line(error)) from None
            # A layer that takes no picture raises it only here.
            raise UserError(
                f"the model cannot be run ({first_line(error)}); export it anew"
            ) from error

    def __call__(
        self,
        array: np.ndarray,
        in_place: bool = False,
        out: np.ndarray | None = None,
        notes: list[str] | None = None,
    ) -> np.ndarray:
        """The coloured picture; with in_place=True it may overwrite `array`.

        out: receives it, and is returned; of the result's shape and dtype. notes: receives what
        `clean` and `border` found. PhotoError for a photo in colour that is to be cleaned.
        """
        array = _checked(array)
        notes = [] if notes is None else notes
        if self.clean:
            tint = photos.cleaning.find(array)
            notes.append(str(tint or "no tint to take off"))
            array = photos.cleaning.taken_off(array, tint) if tint else array
        if not self.keeps_border:
            return self.joined(array, self.small(array), in_place, out)
        border = photos.border.find(array)
        notes.append(str(border or "no border found"))
        if border is None:
            return self.joined(array, self.small(array), in_place, out)
        if out is None and in_place and array.ndim == 3 and array.flags.writeable:
            out = array
        elif out is None:
            channels = 4 if array.shape[2:] == (4,) else 3
            out = np.empty((*array.shape[:2], channels), array.dtype)
        if out is not array:
            out[:] = array[..., None] if array.ndim == 2 else array
        inside = border.inside(out)
        self.joined(inside, self.small(inside), in_place=True)
        return out

    @property
    def _whole_cut(self):
        """The cut of whole pictures; "centre" would leave a rest."""
        return "letterbox" if self.cut == "letterbox" else "squash"

    def _bands(self, array):
        height, width = array.shape[:2]
        rows = max(1, self._band // width)
        return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]

    def small(self, array: np.ndarray) -> Small:
        """What the network receives of a picture, and returns for it."""
        array = _checked(array)
        cut = self._whole_cut

        def fitted(size):
            l = (_over_white(array[band]) for band in self._bands(array))
            return photos.fit(l, size, cut, pad=100.0, shape=array.shape[:2])[None, ..., None]

        embedding = None
        if self.embeds_photos:
            with self._computing:
                embedding = self.embedder(fitted(self.embedder.size))
        l = fitted(self.size)
        # A smaller map would have positions that hold both picture and bar.
        ab = self._small_ab(l, embedding, small=cut != "letterbox")[0]
        if not np.isfinite(ab).all():
            raise UserError("the model returned NaN or infinity; train it anew at a lower rate")
        return Small(l[0, ..., 0], ab)

    def joined(
        self,
        array: np.ndarray,
        small: Small,
        in_place: bool = False,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """A picture's own L* with the ab of its `small`; in_place and out as in a call."""
        array, ab, cut = _checked(array), small.ab, self._whole_cut
        height, width = array.shape[:2]
        top, left, *inner = photos.frame((height, width), len(ab), cut)
        inside = slice(top, top + inner[0]), slice(left, left + inner[1])
        l = cv2.resize(small.l, ab.shape[1::-1], interpolation=cv2.INTER_AREA)
        lines = np.zeros((*ab.shape[:2], 4), np.float32)
        lines[inside] = self._lines(ab[inside], l[inside])
        channels = 4 if array.ndim == 3 and array.shape[2] == 4 else 3
        result = array
        if out is not None:
            result = out
        elif not in_place or array.ndim == 2 or not array.flags.writeable:
            result = np.empty((height, width, channels), array.dtype)

        def colour(band):
            enlarged = photos.unfit(lines, (height, width), cut, (band.start, band.stop))
            lightness = _lightness(array[band])
            guide = _over_white(array[band]) if channels == 4 else lightness
            ab = upsampling.along(enlarged, guide)
            colours = np.concatenate([lightness[..., None], ab], axis=2)
            if self.tint:
                colours = dials.tinted(colours, self.tint)
            rgb = lab.lab_to_rgb(lab.into_gamut(colours))
            rgb *= np.iinfo(array.dtype).max
            result[band, :, :3] = np.rint(rgb, out=rgb)

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(colour, self._bands(array)))
        if channels == 4 and result is not array:
            result[..., 3] = array[..., 3]
        return result


def _network(path, precision):
    """The network of a file, ready to predict."""
    if path.suffix.lower() == ".onnx":
        if precision not in ("float32", "auto"):
            raise UserError(f"{path} computes as it was exported: leave PRECISION={precision} out.")
        from common.exports.onnx_network import OnnxNetwork

        return OnnxNetwork(path)
    if "keras" not in sys.modules:  # where it is, its settings are the caller's
        backend.start()
    from common.networks.keras_network import KerasNetwork

    return KerasNetwork(path, precision)


def _padded(array, count):
    """A batch filled up to `count` pictures with copies of its last one."""
    return np.concatenate([array, np.repeat(array[-1:], count - len(array), axis=0)])


def _checked(array):
    """The picture as (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16 in native byte order."""
    taken = isinstance(array, np.ndarray) and array.dtype.kind in "bu" and array.itemsize <= 2
    if not taken:
        raise ValueError(
            "A Colorizer takes NumPy arrays of uint8, [0, 255], uint16, [0, 65535], or bool. "
            f"Received: {getattr(array, 'dtype', type(array).__name__)}. Scale and round floats "
            "first."
        )
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[..., 0]
    if not array.size or array.ndim != 2 and (array.ndim != 3 or shape[2] not in (3, 4)):
        raise ValueError(
            "A Colorizer takes one picture, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). Received: "
            f"shape {shape}."
        )
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _lightness(pixels):
    """The L* of a picture without its alpha, (H, W) float32."""
    return lab.grey_to_l(pixels) if pixels.ndim == 2 else lab.rgb_to_l(pixels[..., :3])


def _over_white(pixels):
    """The L* that the network takes: transparent areas are white, as in training."""
    lightness = _lightness(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3] / np.float32(np.iinfo(pixels.dtype).max)
        lightness = 100 - (100 - lightness) * alpha
    return lightness
