"""The helper process of a `Decoder`, but for files that break it: their first bytes say how."""

import ctypes
import signal

import numpy as np

from common.photos import reading, worker


class Photo(reading.Photo):
    def __init__(self, file, *rest):
        head = file.read(8)
        file.seek(0)
        if head == b"BREAK-SG":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            ctypes.string_at(0)
        elif head == b"BREAK-LP":
            while True:
                pass
        elif head == b"BREAK-MM":
            np.ones(64 << 30, np.uint8)
        super().__init__(file, *rest)


def start(argument):
    reading.Photo = Photo
    return worker.start(argument)
