"""lee2021: Deep Koalarization, Y. Lee, Columbia 2021, after Baldassarre et al. 2017."""

from koala.config import CONFIGS
from koala.model import build_model

__all__ = ["CONFIGS", "build_model"]
