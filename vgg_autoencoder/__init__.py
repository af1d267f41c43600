"""The VGG16 autoencoder of Zaman 2020. See README.md."""

from vgg_autoencoder.config import CONFIGS
from vgg_autoencoder.model import build_model

__all__ = ["CONFIGS", "build_model"]
