"""The batches of a run: their order, their views, and the network's scaling."""

import functools
from collections.abc import Iterable, Iterator, Sequence
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
            batch["rgb"] = np.stack(
                [
                    augment.augment(rgb, kinds, self.seed, number)
                    for rgb, number in zip(batch["rgb"], numbers, strict=True)
                ]
            )
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
        return self._scaled(colours, seen, batch, ops)

    def _read(self, step):
        """(the numbers in the run of a step's pictures, the batch as it is stored)."""
        size, kinds = self.config.batch_size, self.config.augment
        numbers = range(step * size, (step + 1) * size)[self.part]
        batch = self.read(
            "train",
            [self.position(number) for number in numbers],
            [augment.mirrors(kinds, self.seed, number) for number in numbers],
        )
        return numbers, batch

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
        self, batch: dict[str, Any], aged: Iterable[int] | None = None
    ) -> tuple[dict[str, np.ndarray], Any]:
        """A batch of the data set -> (inputs, targets) in the network's scaling.

        aged: the numbers of pictures whose L* is to have the faults of old photos. Inputs are
        {"l"}, L* at each further size that the network takes (`views`), {"embedding"} and stored
        maps; targets are ab (N, S, S, 2), L* and ab (N, S, S, 3) for a perceptual loss, or {"ab",
        "label"} beside a classification head.
        """
        colours = lab.rgb_to_lab(batch["rgb"])
        seen = colours[..., :1]
        if aged is not None:
            seen = np.stack(
                [
                    augment.age(picture[..., 0], self.seed, number)
                    for picture, number in zip(colours, aged, strict=True)
                ]
            )[..., None]
        return self._scaled(colours, seen, batch, np)

    def _scaled(self, colours, seen, batch, xp):
        """`scaled` of Lab and of the L* that the network sees, (N, S, S, 3) and (N, S, S, 1)."""
        config = self.config
        inputs = {"l": lab.scale_l(seen, config)}
        for name, size in self._views.items():
            inputs[name] = inputs["l"]
            if size != colours.shape[1:3]:
                inputs[name] = ops.image.resize(inputs["l"], size, antialias=True)
                if xp is np:
                    inputs[name] = ops.convert_to_numpy(inputs[name])
        if "embedding" in batch:
            inputs["embedding"] = batch["embedding"]
        inputs |= batch.get("maps", {})
        ab = lab.scale_ab(colours[..., 1:], config)
        if config.distance:
            l = lab.scale_l(colours[..., :1], config)
            return inputs, xp.concatenate([l, ab], -1)
        return inputs, {"ab": ab, "label": batch["label"]} if config.classes else ab


def in_lab(batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """A batch of the data set -> the inputs of an exported model."""
    inputs = {"l": lab.rgb_to_l(batch["rgb"])[..., None]}
    return inputs | ({"embedding": batch["embedding"]} if "embedding" in batch else {})
