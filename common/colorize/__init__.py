"""An exported model as a function of photos.

colorizer  `Colorizer`: L* at full size, ab at the network's, joined in the photo's own depth
upsampling ab to full size along the edges of L*
dials      what a person may turn: from faithful to vivid, and a tint
variants   a sheet of one photo in several settings of the dials
"""

from common.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]
