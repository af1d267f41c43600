"""What a training does otherwise where it tunes an exported model to a folder (`finetune`)."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from common import datasets
from common.cli import UserError
from common.color.dial import Dial
from common.networks import h5

# The values below are by measurement on wombat: docs/finetune.md.
KEEP = 0.7  # the old model's share in the targets
RATE = 0.3  # of the learning rate of the model's own training
EPOCHS, STEPS = 8, 10  # at most so many epochs, each of at least so many steps
BATCH = 16  # pictures a step, at most
FRACTIONS = (0.7, 0.15, 0.15)  # few pictures need a larger part to be measured on
NEEDED = 24  # pictures in colour


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The exported model that is tuned, the title of the result, and what is kept of the model.

    rate: the learning rate of the model's own training, or of the first where it has been tuned
    before. keep: the share of its answers in the targets, in [0, 1), see `teacher`. The dial of a
    model that classifies ab is kept, so that VIVID= means the same of both.
    """

    model: Path
    title: str
    rate: float
    keep: float = KEEP

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        """The model's metadata."""
        return h5.metadata(self.model)

    @property
    def dial(self) -> Dial | None:
        """The model's dial, at its faithful end; None where it has none."""
        return Dial.of_json(self.about["dial"]) if self.about.get("dial") else None

    @property
    def identity(self) -> dict[str, Any]:
        """What the result's metadata say of it."""
        return {"keep": self.keep, "rate": self.rate}

    def check(self, dataset: datasets.Dataset) -> None:
        """`UserError` where a data set is too small, or has not the model's embeddings."""
        shards = dataset.manifest["shards"]
        grey = sum(shard["grey"] for shard in shards)
        coloured = sum(shard["count"] for shard in shards) - grey
        if coloured < NEEDED:
            raise UserError(too_few(dataset.manifest["source"], coloured))
        ours, theirs = dataset.embedding, self.about.get("embedding")
        if theirs and ours and ours["sha256"] != theirs["sha256"]:
            raise UserError(
                f"{self.model} was trained on the embedding of {theirs['network']} with weights "
                f"{theirs['weights']} (hash {theirs['sha256'][:12]}), which are not those found. "
                "Name their file: EMBEDDING_WEIGHTS=file."
            )


def too_few(data: str | Path, count: int) -> str:
    """The line about a folder of so few pictures in colour."""
    return (
        f"{data} has {count} picture{'s' * (count != 1)} in colour; at least {NEEDED} are needed, "
        "of which about two thirds are learned from. Add some."
    )
