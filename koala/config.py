"""The variants of the report. K numbers are the rows of README.md's fidelity table."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; every field is the report's or named as ours in README.md."""

    image_size: int = 256  # K1
    cut: str = "squash"  # K2
    l_scale: float = 1 / 50  # K3: L* in [0, 100] -> [-1, 1]
    l_offset: float = -1.0  # K3
    ab_scale: float = 1 / 128  # K4, ours
    ab_offset: float = 0.0  # K4
    embedding: str = "inception_resnet_v2"  # K5
    encoder: tuple = ((64, 2), 128, (128, 2), 256, (256, 2), 512, 512, 256)  # K6
    decoder: tuple = (128, "up", 64, "up", 32, 16)  # K9
    learning_rate: float = 1e-3  # K12
    decay: str | None = None  # "cosine": to zero over the run
    batch_size: int = 16  # K13, ours: the report says small
    epochs: int = 2  # K13


CONFIGS = {
    "lee2021": Config(),
    # K17. The original paper: another size, a wider decoder, another scaling.
    "baldassarre2017": Config(
        image_size=224,
        cut="letterbox",
        ab_scale=1 / 127,
        decoder=(128, "up", 64, 64, "up", 32),
        batch_size=100,
    ),
    # Ours, not in the report: the same network with a lower rate that decays to zero.
    "lee2021_decay": Config(learning_rate=3e-4, decay="cosine"),
}
