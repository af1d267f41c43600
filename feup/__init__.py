"""porto2023: Image Colorization Analysis, A. Santos, J. Andrade, M. Carneiro, Porto 2023."""

from feup.config import CONFIGS
from feup.model import build_model

__all__ = ["CONFIGS", "build_model"]
