"""The report's networks. P numbers are the rows of README.md's fidelity table."""

import dataclasses

from common import config


@dataclasses.dataclass(frozen=True)
class Config(config.Config):
    """One variant; every field is the report's or named as ours in README.md."""

    network: str = "resnet18"  # P5, P8, P9: or densenet, eccv16
    image_size: int = 32  # P1
    cut: str = "squash"  # P1, ours
    l_scale: float = 1.0  # P3, ours: L* as it is
    l_offset: float = 0.0  # P3
    ab_scale: float = 1.0  # P3, ours: the loss is in squared units of ab
    ab_offset: float = 0.0  # P3
    embedding: str | None = None
    decoder: tuple = ((128, 2), (64, 1), (64, 2), (32, 1), (2, 2))  # P6: filters, stride
    blocks: tuple = (  # P9, of eccv16: how many 3x3 convolutions, filters, last stride, dilation
        (2, 64, 2, 1),
        (2, 128, 2, 1),
        (3, 256, 2, 1),
        (3, 512, 1, 1),
        (3, 512, 1, 2),
        (3, 512, 1, 2),
        (3, 512, 1, 1),
    )
    upsampled: int = 256  # P9, of eccv16: filters after its upsampling
    classify: bool = False  # P12: the output is logits of the 313 bins
    rebalance: bool = False  # P12: weight the loss by the rarity of the colours in the data
    distance: str | None = None  # P16: the network whose features define the loss
    momentum: float = 0.9  # P7, ours: of batch normalisation
    learning_rate: float = 1e-3  # P4
    decay: str | None = None  # P4: a fixed rate
    batch_size: int = 64  # P4
    epochs: int = 50  # P4
    # P13: by epoch, on the validation pictures.
    watched: tuple = ("psnr_ab_batch", "ssim_ab_batch", "psnr_ab", "ssim_ab", "ssim_rgb")


CONFIGS = {
    "resnet18_mse": Config(),
    "resnet18_lpips": Config(distance="vgg16"),  # P16
    "densenet_mse": Config(network="densenet"),
    "eccv16_mse": Config(network="eccv16", l_scale=1 / 100, l_offset=-0.5),  # P10
    # P12. Ours, not in the report: the objective of the paper that introduced the network.
    "eccv16_rebalanced": Config(
        network="eccv16", l_scale=1 / 100, l_offset=-0.5, classify=True, rebalance=True
    ),
    # P16. Ours, not in the report: a small network's features, unweighted, instead of LPIPS.
    "resnet18_mobilenet_v2": Config(distance="mobilenet_v2"),
}
