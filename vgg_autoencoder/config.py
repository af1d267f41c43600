"""The variants of the report. Z numbers are the rows of README.md's fidelity table."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; every field is the report's or named as ours in README.md."""

    image_size: int = 224  # Z1
    cut: str = "squash"  # Z2, ours
    l_scale: float = 1.0  # Z3, ours: L* as it is; the network makes a grey picture of it
    l_offset: float = 0.0  # Z3
    ab_scale: float = 1 / 128  # Z4
    ab_offset: float = 0.0  # Z4
    embedding: str | None = None  # Z5
    preprocess: bool = True  # Z3, ours: the encoder's own preprocessing; False: L* as scaled
    encoder: str = "vgg16"  # Z6
    decoder: tuple = (256, 256, 128, 64, 32)  # Z8, ours: filters of each deconvolution
    l1: float = 1e-7  # Z11, the coefficient is ours
    l2: float = 1e-6  # Z11, the coefficient is ours
    learning_rate: float = 3e-4  # Z12, ours
    decay: str | None = "cosine"  # Z12, ours: to zero over the run
    batch_size: int = 16  # Z12, ours
    epochs: int = 1500  # Z13
    unfreeze_after: int | None = None  # Z7: epochs with a frozen encoder; None: all
    unfrozen_rate: float = 1e-5  # Z7, ours


CONFIGS = {
    "zaman2020": Config(),
    "zaman2020_unregularised": Config(l1=0.0, l2=0.0),
    # Z3 as the report words it: the encoder receives L*/128, three times.
    "zaman2020_literal": Config(l_scale=1 / 128, preprocess=False),
    # Ours, not in the report: in the last epochs the encoder trains too.
    "zaman2020_finetuned": Config(epochs=30, unfreeze_after=20),
    # Ours, not in the report: another encoder, to measure the value of ImageNet weights.
    "mobilenet_v2": Config(encoder="mobilenet_v2", decoder=(128, 128, 64, 64, 32)),
}
