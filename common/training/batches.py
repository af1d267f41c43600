"""The batches of a run: their order, their views, and the network's scaling."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from common import datasets
from common.color import lab
from common.config import Config
from common.datasets import splits
from common.datasets.maps import Maps
from common.networks.backend import accelerated
from common.networks.embeddings import Embedder
from common.networks.interface import views
from common.training import augment, in_step
from common.training.teacher import Teacher


class Batches:
    """`batches(step)`: the inputs and targets of a step of the run, counted from 0.

    The pictures, `positions` of the training split, are all or those that `config.pictures` asks
    for. Their order and their views depend only on the seed and the picture's number in the run.
    embedder: computes embeddings of each view, instead of the stored ones. maps: stored maps of the
    network's frozen layers, which are then inputs; views are at most mirrored. part: the pictures
    of each batch that this host reads. teacher: an older network, whose answers are a part of the
    targets.

    What a step takes is `stored`, and `prepared` makes inputs and targets of it: here, in a thread
    beside the step; or, if `inside`, in the compiled step, where only 8-bit pictures and what was
    drawn for them travel to the device. By default that is where there is a GPU.
    """

    def __init__(
        self,
        network: keras.Model,
        config: Config,
        dataset: datasets.Dataset,
        seed: int = 0,
        embedder: Embedder | None = None,
        maps: Maps | None = None,
        inside: bool | None = None,
        part: slice = slice(None),
        teacher: Teacher | None = None,
    ):
        self.config, self.dataset, self.seed = config, dataset, seed
        self.embedder, self.maps, self.part, self.teacher = embedder, maps, part, teacher
        # An embedding of a view, and an older answer, are computed by another network.
        alone = embedder is None and teacher is None
        self.inside = (accelerated() if inside is None else inside) and alone
        self._views = views(network)
        self.positions = splits.drawn(dataset.count("train"), config.pictures, seed)
        self._order = functools.lru_cache(2)(
            lambda turn: np.random.default_rng([seed, turn]).permutation(self.positions)
        )

    def position(self, number: int) -> int:
        """The position in the training split of the run's picture `number`, counted from 0.

        Each pass through the pictures has an order of its own, drawn from (seed, pass).
        """
        turn, at = divmod(number, len(self.positions))
        return self._order(turn)[at]

    def __call__(self, step: int) -> tuple[dict[str, np.ndarray], Any]:
        """(inputs, targets) as in `scaled`, the targets with the teacher's where there is one."""
        numbers, batch = self._read(step)
        kinds = self.config.augment
        if kinds:
            batch["rgb"] = [
                augment.augment(rgb, kinds, self.seed, number)
                for rgb, number in zip(batch["rgb"], numbers, strict=True)
            ]
            if self.embedder:
                batch["embedding"] = self.embedder(in_lab(batch)["l"], pad=True)
        inputs, targets = self.scaled(batch, numbers if "age" in kinds else None)
        return inputs, self.teacher(inputs, targets) if self.teacher else targets

    def stored(self, step: int) -> dict[str, Any]:
        """What `prepared` takes: 8-bit pictures, what was drawn for them, stored features."""
        numbers, batch = self._read(step)
        del batch["name"]
        if not self.config.classes:
            del batch["label"]
        side = batch["rgb"].shape[1]
        return {**batch, "drawn": in_step.drawn(self.config.augment, side, self.seed, numbers)}

    def prepared(self, batch: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """What `stored` returns, as tensors -> (inputs, targets), as those of `batches(step)`."""
        drawn = batch["drawn"]
        rgb = in_step.augmented(batch["rgb"], drawn)
        colours = lab.rgb_to_lab(rgb, ops)
        seen = colours[..., :1]
        if "faults" in drawn:
            seen = in_step.aged(seen[..., 0], drawn)[..., None]
        targets = self._targets(colours, colours[..., 1:], ops)
        return self._joined(lab.scale_l(seen, self.config), targets, batch)

    def _read(self, step):
        """(the numbers in the run of a step's pictures, the batch as it is stored)."""
        size, kinds = self.config.batch_size, self.config.augment
        numbers = range(step * size, (step + 1) * size)[self.part]
        mirrored = None
        if self.maps:
            mirrored = [augment.mirrors(kinds, self.seed, number) for number in numbers]
        return numbers, self.read("train", [self.position(n) for n in numbers], mirrored)

    def read(
        self,
        split: str,
        positions: Sequence[int] | np.ndarray,
        mirrored: Sequence[bool] | None = None,
    ) -> dict[str, Any]:
        """Some pictures of a split, with their embeddings where the config fuses one.

        mirrored: the pictures of whose mirror image the stored maps are read; None for none.
        """
        embedding = self.config.embedding is not None
        batch = self.dataset.read(split, positions, embedding=embedding)
        if self.maps:
            batch["maps"] = self.maps.read(split, positions, mirrored)
        return batch

    def of_split(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the batches of a split in stored order, not scaled."""
        size, positions = self.config.batch_size, np.arange(self.dataset.count(split))
        return datasets.ahead(
            lambda start: self.read(split, positions[start : start + size]),
            range(0, len(positions), size),
        )

    def scaled(
        self, batch: dict[str, Any], aged: Sequence[int] | None = None
    ) -> tuple[dict[str, np.ndarray], Any]:
        """A batch of the data set -> (inputs, targets) in the network's scaling.

        aged: the numbers of pictures whose L* is to have the faults of old photos. Inputs are
        {"l"}, L* at each further size that the network takes (`views`), {"embedding"} and stored
        maps; targets are ab (N, S, S, 2), L* and ab (N, S, S, 3) for a perceptual loss, or {"ab",
        "label"} beside a classification head.
        """
        pixels = np.asarray(batch["rgb"])
        l, targets = (
            np.empty((*pixels.shape[:3], channels), np.float32)
            for channels in (1, 3 if self.config.distance else 2)
        )
        pixels, l_of, targets_of = (x.reshape(-1, x.shape[-1]) for x in (pixels, l, targets))
        # As few pixels at a time as `lab` takes, so that all on the way stays in the cache.
        for start in range(0, len(pixels), lab.BLOCK):
            block = slice(start, start + lab.BLOCK)
            colours = lab.rgb_to_lab(pixels[block])
            targets_of[block] = self._targets(colours, lab.ab_of(colours), np)
            seen = colours[:, :1]
            l_of[block] = lab.scale_l(seen, self.config) if aged is None else seen
        if aged is not None:
            for picture, number in zip(l[..., 0], aged, strict=True):
                picture[:] = lab.scale_l(augment.age(picture, self.seed, number), self.config)
        return self._joined(l, targets, batch)

    def _targets(self, colours, ab, xp):
        """The targets in the network's scaling, of Lab (..., 3) and its ab (..., 2)."""
        targets = lab.scale_ab(ab, self.config)
        if self.config.distance:
            targets = xp.concatenate([lab.scale_l(colours[..., :1], self.config), targets], -1)
        return targets

    def _joined(self, l, targets, batch):
        """(inputs, targets) as of `scaled`, from L*, the targets and what is stored beside them."""
        maps = batch.get("maps", {})
        inputs = {"l": l}
        for name, size in self._views.items():
            if name in maps:
                continue
            inputs[name] = l
            if size != l.shape[1:3]:
                inputs[name] = ops.image.resize(l, size, antialias=True)
                if isinstance(l, np.ndarray):
                    inputs[name] = ops.convert_to_numpy(inputs[name])
        if "embedding" in batch:
            inputs["embedding"] = batch["embedding"]
        inputs |= maps
        if self.config.classes:
            return inputs, {"ab": targets, "label": batch["label"]}
        return inputs, targets


def in_lab(batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """A batch of the data set -> the inputs of an exported model."""
    inputs = {"l": lab.rgb_to_l(np.asarray(batch["rgb"]))[..., None]}
    return inputs | ({"embedding": batch["embedding"]} if "embedding" in batch else {})
