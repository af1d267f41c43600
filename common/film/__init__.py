"""A film or an animation coloured: frames read and written by FFmpeg (PyAV) or Pillow.

options    what to colour and how, and what came of it
pyav       PyAV, which is optional
yuv        frames as video stores them <-> L* and colours, with L* kept through coarse chroma
frames     frames of PyAV <-> arrays
reading    `Film`: any container and codec -> upright frames with their times
encoding   the container and the encoder of a result
scenes     where a scene ends, and whether it is in colour
flow       optical flow, and how well it fits
steady     ab averaged along the flow
colouring  frames judged and their colours found, as they come
segments   the work folder, by which a stopped film goes on
joining    segments, sound, subtitles, chapters and metadata -> one file
animation  GIF, animated WebP and PNG
runner     `colour` a film
"""

from common.film.encoding import named
from common.film.options import COLOUR, Options, Result
from common.film.runner import colour

__all__ = ["COLOUR", "Options", "Result", "colour", "named"]
