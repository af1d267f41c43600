"""What runs in the helper process of a `RemoteColorizer`: the model is loaded, and colours."""

import threading
from collections.abc import Sequence
from typing import Any

from common import processes
from common.colorize.settings import Settings
from common.photos import PhotoError

BANDS = 8  # times as many, and as small, where memory is short


def start(settings: Settings) -> processes.Handler:
    """The handler of requests (shape, dtype, care, how) with a picture's memory, and of None.

    care: 0; 1, with one thread; 2, besides in smaller bands, and over the picture itself. how:
    settings of the same model with other dials, or None. The answer is the result's (shape, dtype,
    notes) with its memory, or the reason why there is none; to None, which waits for the model, it
    is what is said of it.
    """
    loading = _Loading(settings)
    threading.Thread(target=loading.load, daemon=True).start()  # while the first photo is decoded
    sending = threading.local()

    def handle(request: Any, descriptors: list[int]) -> tuple[Any, Sequence[int]]:
        sending.result = None  # that of the request before
        colorizer = loading.wait()
        if request is None:
            return settings.said(colorizer), ()
        shape, dtype, care, how = request
        pixels = processes.received(descriptors[0], shape, dtype)
        if how is not None:
            colorizer = how.turned(colorizer)
        if care:
            colorizer = colorizer.careful(1 if care == 1 else BANDS)
        channels = 4 if len(shape) == 3 and shape[2] == 4 else 3
        in_place = care > 1 and shape[2:] == (channels,)
        out = pixels if in_place else processes.shared((*shape[:2], channels), dtype)
        notes: list[str] = []
        try:
            sending.result = colorizer(pixels, in_place=in_place, out=out, notes=notes)
        except PhotoError as error:
            return str(error), ()
        descriptor = processes.descriptor_of(out)
        assert descriptor is not None
        return (out.shape, out.dtype.name, notes), (descriptor,)

    return handle


class _Loading:
    """A colorizer that is loaded in a thread; its error is raised where it is waited for."""

    def __init__(self, settings):
        self._settings, self._done = settings, threading.Event()
        self._colorizer, self._error = None, None

    def load(self):
        try:
            self._colorizer = self._settings.colorizer()
        except BaseException as error:
            self._error = error
        self._done.set()

    def wait(self):
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._colorizer
