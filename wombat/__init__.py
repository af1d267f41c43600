"""wombat: the shipped colorizer, our own: EfficientNet-Lite and a decoder for the 313 bins."""

from wombat.config import CONFIGS
from wombat.model import build_model

__all__ = ["CONFIGS", "build_model"]
