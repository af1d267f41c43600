"""The two networks of the report. C numbers are the rows of README.md's fidelity table."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; every field is the report's or named as ours in README.md."""

    image_size: int = 256  # C1
    cut: str = "squash"  # C2, ours
    l_scale: float = 1 / 50  # C3, ours: L* in [0, 100] -> [-1, 1]
    l_offset: float = -1.0  # C3
    ab_scale: float = 1 / 128  # C4, ours
    ab_offset: float = 0.0  # C4
    embedding: str | None = "inception_resnet_v2"  # C9
    encoder: tuple = (64, (64, 2), 128, (128, 2), 256, (256, 2), 512, 256)  # C5, C8
    decoder: tuple = (256, 128, "up", 128, 64, "up", 64, 32)  # C12, ours
    optimizer: str = "adam"  # C13
    learning_rate: float = 1e-3  # C13
    decay: str | None = None  # "cosine": to zero over the run
    batch_size: int = 50  # C13
    epochs: int = 20  # C14
    augment: tuple = ("zoom", "flip", "shear")  # C16
    fractions: tuple = (0.95, 0.025, 0.025)  # C15: train, validation, test


CONFIGS = {
    "fusion": Config(),
    "plain": Config(
        embedding=None,
        decoder=(128, "up", 64, "up", 32),  # C5, C7
        optimizer="rmsprop",
        batch_size=20,  # C13
    ),
    # Ours, not in the report: `fusion` without the vector, to see what the classifier adds (C9).
    "unfused": Config(embedding=None),
}
