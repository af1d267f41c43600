"""An exported model as a function of photos, and of folders of photos.

settings   the model and every dial, as one value; their flags
colorizer  `Colorizer`: L* at full size, ab at the network's, joined in the photo's own depth
refine     ab after the network: total variation, a conditional random field
notebook   what a notebook shows of a Colorizer, and pictures side by side
upsampling ab to full size along the edges of L*
dials      what a person may turn: from faithful to vivid, and a tint
places     where results go, and what they may never replace
report     the table of a folder's results
worker     a Colorizer in a helper process
remote     `RemoteColorizer`: that process, whose death is survived
engine     what reads and colours photos: helper processes, or this one
variants   a sheet of one photo in several settings of the dials
writing    a coloured photo as a file
single     one photo, or the sheet of its variants
room       how many photos are in memory at a time
folder     every photo of a folder, read ahead and written behind
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]


def __getattr__(name: str) -> Any:
    """`Colorizer`, imported when first asked for: what needs no Keras does not wait for it."""
    if name != "Colorizer":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from common.colorize import colorizer

    return colorizer.Colorizer
