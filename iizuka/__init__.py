"""jain: Image Colorization, T. Jain, after Iizuka, Simo-Serra and Ishikawa, SIGGRAPH 2016."""

from iizuka.config import CONFIGS
from iizuka.model import build_model

__all__ = ["CONFIGS", "build_model"]
