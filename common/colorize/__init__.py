"""An exported model as a function of photos: `Colorizer`."""

from common.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]
