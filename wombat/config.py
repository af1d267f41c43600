"""The variants of the network. W numbers are the rows of README.md's table of decisions."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; the reasons are in README.md, the measurements in benchmarks/training.md."""

    image_size: int = 256  # W1
    cut: str = "squash"  # W1
    l_scale: float = 2.55 / 128  # W2: L* as grey values of 255, preprocessed as the encoder's
    l_offset: float = -127 / 128  # W2
    ab_scale: float = 1 / 128
    ab_offset: float = 0.0
    augment: tuple = ("flip", "crop", "age")  # W7
    encoder: str = "efficientnet_lite2"  # W3: a key of common.networks.efficientnet_lite.VARIANTS
    widths: tuple = (256, 160, 96, 64)  # W4: channels of the decoder at strides 32, 16, 8 and 4
    transformer: tuple = ()  # W8: width, heads and blocks of one in place of W4's convolutions
    dropout: float = 0.2  # W4: of the picture's features, and of the decoder's maps
    faithful: tuple = (0.7, 0.0)  # W5: temperature, and power of the bins' rarity
    vivid: tuple = (0.5, 1.1)  # W5
    export_both: bool = True  # wombat.h5 and wombat-vivid.h5
    learning_rate: float = 1e-3  # W6
    decay: str | None = "cosine"  # W6
    weight_decay: float = 0.05  # W6: of the decoder's kernels
    batch_size: int = 64  # W6
    epochs: int = 10  # W6
    unfreeze_after: int | None = 1  # W6: epochs with the encoder frozen
    unfrozen_rate: float = 1e-3  # W6
    encoder_rate: float = 0.2  # W6: of the encoder, as a share of the decoder's


CONFIGS = {
    "wombat": Config(),
    # The encoder frozen throughout, its maps stored beside the shards: the quickest on a processor.
    "frozen": Config(augment=("flip",), maps=True, unfreeze_after=None),
    # As `frozen`, with a decoder that is no convolutional network, to compare with.
    "transformer": Config(
        augment=("flip",), maps=True, unfreeze_after=None, transformer=(256, 8, 3)
    ),
    # The loss weighted by how rare the colours are.
    "rebalanced": Config(rebalance=True),
}
