"""The base class of every report's config: each field that common/ reads, with its default."""

import dataclasses
import difflib
import inspect
from typing import Any, Self

from common import cli
from common.cli import UserError

FRACTIONS = (0.9, 0.05, 0.05)  # of training, validation and test


class Named:
    """A dataclass whose unknown field names are an error that gives the nearest name."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        bases = [base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base)]
        known = {field.name for base in bases for field in dataclasses.fields(base)}
        for name in inspect.get_annotations(cls).keys() - known:
            if difflib.get_close_matches(name, known, n=1, cutoff=0.8):  # else it is a new one
                raise UserError(
                    f"{cls.__module__}.{cls.__qualname__} has a field {name}, which the base does "
                    f"not know.{cli.nearest(name, known)}"
                )

    def __new__(cls, *_: Any, **values: Any) -> Self:
        known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in values.keys() - set(known):
            raise UserError(
                f"{cls.__qualname__} has no field {name}.{cli.nearest(name, known)} "
                f"There are: {', '.join(sorted(known))}."
            )
        return super().__new__(cls)


@dataclasses.dataclass(frozen=True)
class Config(Named):
    """The settings of a network, its data and its training.

    A report's Config adds its own fields and repeats each field to which the report gives a value,
    with the source. `dataclasses.replace(config, epochs=3)` returns a changed copy; a field that
    does not exist is a `UserError`.
    """

    # Pictures, and the scaling: the network's value is Lab value * scale + offset.
    image_size: int = 256  # pixels a side
    cut: str = "squash"  # how a picture comes to that size: a key of common.photos.CUTS
    l_scale: float = 1 / 50  # L* in [0, 100] -> [-1, 1]
    l_offset: float = -1.0
    ab_scale: float = 1 / 128
    ab_offset: float = 0.0
    embedding: str | None = None  # a network of common.networks.embeddings that the model fuses
    fractions: tuple = FRACTIONS  # of training, validation and test, in a split by content
    augment: tuple = ()  # of common.training.augment.KINDS

    # The loss.
    distance: str | None = None  # a perceptual loss: a network of common.networks.perceptual
    rebalance: bool = False  # weight the loss of ab by the rarity of colours in the data
    classes: int | None = None  # of the classification head, set from the data; None: no head
    class_weight: float = 1.0  # of the head's loss; that of ab counts 1

    # The ends of the dial of a network that classifies ab (color.dial), each the temperature and
    # the power of the bins' rarity. They change no weight: a finished run is exported anew.
    faithful: tuple = (0.38, 0.0)
    vivid: tuple = (0.38, 1.0)
    export_both: bool = False  # <model>.h5 faithful and <model>-vivid.h5; else one, as trained

    # The optimizer and the length of the run.
    learning_rate: float = 1e-3
    decay: str | None = None  # "cosine": to zero over the run
    batch_size: int = 16
    steps: int | None = None  # an epoch; None: once through the training pictures
    epochs: int = 1
    pictures: int | None = None  # train on so many of the training pictures; None: on all
    unfreeze_after: int | None = None  # epochs after which pretrained layers train too
    unfrozen_rate: float = 1e-5  # the learning rate from then on
    maps: bool = False  # train from the frozen layers' maps, stored once beside the shards

    # Further metrics of common.metrics that each epoch reports on the validation pictures.
    watched: tuple = ()
