"""The variants of the report. J numbers are the rows of README.md's fidelity table."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; every field is the report's or named as ours in README.md."""

    image_size: int = 224  # J1, ours
    cut: str = "squash"  # J1, ours
    l_scale: float = 1 / 50  # J2, ours: L* in [0, 100] -> [-1, 1]
    l_offset: float = -1.0  # J2
    ab_scale: float = 1 / 128  # J3, ours
    ab_offset: float = 0.0  # J3
    embedding: str | None = None  # the network learns its own global features
    low: tuple = ((64, 2), 128, (128, 2), 256, (256, 2), 512)  # J4
    middle: tuple = (512, 256)  # J5
    whole: tuple = ((512, 2), 512, (512, 2), 512)  # J6: of the global features
    dense: tuple = (1024, 256, 512)  # J7
    colour: tuple = (128, (64, 2), 64, (32, 2))  # J9
    momentum: float | None = 0.9  # J10: of batch normalisation; None: no normalisation
    learning_rate: float = 1e-3  # J12, ours
    decay: str | None = None
    batch_size: int = 50  # J13
    steps: int | None = 100  # J13: an epoch
    epochs: int = 200  # J13


@dataclasses.dataclass(frozen=True)
class Iizuka2016(Config):
    """J15. The original: any size, upsampling, and a classification head."""

    ab_scale: float = 1 / 200  # the sigmoid's 0 to 1 are -100 to 100
    ab_offset: float = 0.5
    dense: tuple = (1024, 512, 256)
    colour: tuple = (128, "up", 64, 64, "up", 32)
    learning_rate: float = 1.0  # ADADELTA's own step
    batch_size: int = 128
    steps: int | None = None
    epochs: int = 12  # ours
    classes: int | None = 0  # of the head, set from the data
    class_weight: float = 1 / 300


CONFIGS = {
    "jain": Config(),
    # J11. The network without normalisation, to test the report's claim.
    "jain_unnormalised": Config(momentum=None),
    "iizuka2016": Iizuka2016(),
}
