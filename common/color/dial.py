"""How logits of the 313 bins become ab: a dial from faithful to vivid.

A network that classifies ab learns how probable each bin is, q; where its loss weighs the bins by
their rarity w, it learns q w instead, and prefers rare, strong colours. Zhang, Isola, Efros 2016,
sections 2.2 and 2.3. Decoding can take the weights out again, or add them, by any power.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.color import bins
from common.config import Config


@dataclasses.dataclass(frozen=True)
class Dial:
    """From 0, `faithful`, to 1, `vivid`, for one trained network; JSON by `dataclasses.asdict`.

    Each end is (temperature, power): ab is the mean of the bins under their distribution q w^power,
    sharpened by the temperature. Power 0 gives the frequencies of the photos, 1 those of a loss
    that is weighted by rarity. Between the ends it is the mean under their geometric mean.

    trained: the power that the logits hold: 1 where the loss was weighted, else 0. rarity: (313,)
    weights w, see `bins.rarity`. default: where on the dial the exported model is.
    """

    faithful: Sequence[float]
    vivid: Sequence[float]
    trained: float
    rarity: Sequence[float]
    default: float

    @classmethod
    def of(cls, config: Config, prior: np.ndarray, rebalanced: bool) -> "Dial":
        """The dial of a network trained by a config, on data with this prior of the bins.

        Its default is 0 where the config exports both ends, else the end that is as trained.
        """
        rarity = tuple(float(f"{weight:.6g}") for weight in bins.rarity(prior))
        trained = float(rebalanced)
        default = 0.0 if config.export_both else trained
        return cls(config.faithful, config.vivid, trained, rarity, default)

    @classmethod
    def of_json(cls, stored: Any) -> "Dial":
        """The dial that JSON holds; ValueError where it holds none."""
        try:
            dial = cls(**stored)
            ends = np.array([dial.faithful, dial.vivid], float)
            rarity = np.array(dial.rarity, float)
            sound = (
                ends.shape == (2, 2)
                and rarity.shape == (len(bins.CENTRES),)
                and np.isfinite([*ends.ravel(), dial.trained]).all()
                and (ends[:, 0] > 0).all()
                and (np.isfinite(rarity) & (rarity > 0)).all()
                and 0 <= dial.default <= 1
            )
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise ValueError("no dial: two ends, 313 weights, a default in [0, 1]")
        return dial

    def at(self, vivid: float | None = None) -> tuple[float, float | list[float]]:
        """(temperature, offset) for `bins.annealed_mean` at vivid in [0, 1], or the default."""
        vivid = self.default if vivid is None else vivid
        ends = ((1 - vivid, *self.faithful), (vivid, *self.vivid))
        sharpness = sum(share / temperature for share, temperature, _ in ends)
        power = sum(
            share * (power - self.trained) / temperature for share, temperature, power in ends
        )
        offset = (power * np.log(self.rarity)).astype(np.float32).tolist() if power else 0.0
        return 1 / sharpness, offset

    def decode(self, logits: Any, vivid: float | None = None, factor: int = 4) -> Any:
        """Logits -> ab, by the layers of `bins.annealed_mean`; vivid: in [0, 1], or the default."""
        return bins.annealed_mean(logits, factor, *self.at(vivid))
