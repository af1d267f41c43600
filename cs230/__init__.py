"""avery_amin2018: Image Colorization, A. Avery and D. Amin, Stanford CS230, winter 2018."""

from cs230.config import CONFIGS
from cs230.model import build_model

__all__ = ["CONFIGS", "build_model"]
