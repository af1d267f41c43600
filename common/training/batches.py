"""The batches of a run: their order, their views, and the network's scaling."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from common import datasets
from common.color import lab
from common.config import Config
from common.datasets.maps import Maps
from common.networks.embeddings import Embedder
from common.networks.interface import views
from common.training import augment


class Batches:
    """`batches(step)`: the inputs and targets of a step of the run, counted from 0.

    The order of the pictures and their views depend only on the seed and the picture's number in
    the run. embedder: computes embeddings of each view, instead of the stored ones. maps: stored
    maps of the network's frozen layers, which are then inputs; views are at most mirrored.
    """

    def __init__(
        self,
        network: keras.Model,
        config: Config,
        dataset: datasets.Dataset,
        seed: int = 0,
        embedder: Embedder | None = None,
        maps: Maps | None = None,
    ):
        self.config, self.dataset, self.seed = config, dataset, seed
        self.embedder, self.maps = embedder, maps
        self._views = views(network)
        self._order = functools.lru_cache(2)(
            lambda turn: np.random.default_rng([seed, turn]).permutation(dataset.count("train"))
        )

    def position(self, number: int) -> int:
        """The position in the training split of the run's picture `number`, counted from 0.

        Each pass through the split has an order of its own, drawn from (seed, pass).
        """
        turn, at = divmod(number, self.dataset.count("train"))
        return self._order(turn)[at]

    def __call__(self, step: int) -> tuple[dict[str, np.ndarray], Any]:
        """(inputs, targets) as in `scaled`."""
        size, kinds = self.config.batch_size, self.config.augment
        numbers = range(step * size, (step + 1) * size)
        batch = self.read(
            "train",
            [self.position(number) for number in numbers],
            [augment.mirrors(kinds, self.seed, number) for number in numbers],
        )
        if kinds:
            batch["rgb"] = np.stack(
                [
                    augment.augment(rgb, kinds, self.seed, number)
                    for rgb, number in zip(batch["rgb"], numbers, strict=True)
                ]
            )
            if self.embedder:
                batch["embedding"] = self.embedder(in_lab(batch)["l"], pad=True)
        return self.scaled(batch, numbers if "age" in kinds else None)

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
        config = self.config
        colours = lab.rgb_to_lab(batch["rgb"])
        l = seen = lab.scale_l(colours[..., :1], config)
        if aged is not None:
            old = [
                augment.age(picture[..., 0], self.seed, number)
                for picture, number in zip(colours, aged, strict=True)
            ]
            seen = lab.scale_l(np.stack(old)[..., None], config)
        inputs = {"l": seen}
        for name, size in self._views.items():
            inputs[name] = (
                inputs["l"]
                if size == colours.shape[1:3]
                else keras.ops.convert_to_numpy(
                    keras.ops.image.resize(inputs["l"], size, antialias=True)
                )
            )
        if "embedding" in batch:
            inputs["embedding"] = batch["embedding"]
        inputs |= batch.get("maps", {})
        ab = lab.scale_ab(colours[..., 1:], config)
        if config.distance:
            return inputs, np.concatenate([l, ab], -1)
        return inputs, {"ab": ab, "label": batch["label"]} if config.classes else ab


def in_lab(batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """A batch of the data set -> the inputs of an exported model."""
    inputs = {"l": lab.rgb_to_l(batch["rgb"])[..., None]}
    return inputs | ({"embedding": batch["embedding"]} if "embedding" in batch else {})
