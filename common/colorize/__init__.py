"""Photos in, colours out: `Colorizer`."""

from common.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]
