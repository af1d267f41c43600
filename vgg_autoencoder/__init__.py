"""zaman2020: Image Colorization with Deep CNNs, T. Zaman, Dhaka 2020."""

from vgg_autoencoder.config import CONFIGS
from vgg_autoencoder.model import build_model

__all__ = ["CONFIGS", "build_model"]
