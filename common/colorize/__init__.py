"""An exported model as a function of photos.

colorizer  `Colorizer`: L* at full size, ab at the network's, joined in the photo's own depth
"""

from common.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]
