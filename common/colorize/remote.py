"""`RemoteColorizer`: pictures are coloured in a helper process, whose death is survived.

The system ends what takes more memory than there is, and TensorFlow ends itself. Then the picture
is tried again, alone and with less memory, and in the end that one picture has failed.
"""

import contextlib
import queue
import threading
from collections.abc import Callable

import numpy as np

from common import processes
from common.cli import UserError
from common.colorize.settings import Settings
from common.photos import PhotoError
from common.processes import Helper, HelperDied

NO_MEMORY = "not enough memory for it; make it smaller"
IN_BANDS = "coloured in smaller bands, since memory was short: a value may be rounded otherwise"


class RemoteColorizer:
    """A `Colour` by a helper process, for several threads.

    at_a_time: pictures that it colours at a time. loaded: is called once, when the model is
    there, with what is said of it.
    The model loads from `start` on; close it in the end.
    """

    def __init__(self, settings: Settings, at_a_time: int, loaded: Callable[[str], object]) -> None:
        self._settings, self._at_a_time, self._loaded = settings, at_a_time, loaded
        self._helper: Helper | None = None
        self._changing, self._gathering = threading.Lock(), threading.Lock()
        self._channels: queue.SimpleQueue[int] = queue.SimpleQueue()
        for channel in range(at_a_time):
            self._channels.put(channel)
        self._ready: list[Helper] = []  # those that have loaded the model, dead ones too
        self._closed = False

    def start(self) -> Helper:
        """The process, anew if it has ended."""
        with self._changing:
            if self._closed:
                raise PhotoError("the run was stopped")
            if self._helper is None or not self._helper.alive:
                self._helper = Helper("common.colorize.worker", self._settings, self._at_a_time)
            return self._helper

    def close(self) -> None:
        """End the process; calls that wait for it raise PhotoError."""
        with self._changing:
            self._closed = True
            if self._helper is not None:
                self._helper.close()

    def __call__(
        self, pixels: np.ndarray, notes: list[str], how: Settings | None = None
    ) -> np.ndarray:
        """The coloured picture, of the same size and depth; PhotoError, or UserError of the model.

        notes: receive the Colorizer's, and whether it is coloured otherwise than with memory
        enough. how: the same model with other dials; None is the settings it was made with.
        """
        pixels = processes.as_shared(pixels)
        channel = self._channels.get()
        try:
            return self._ask(pixels, 0, channel, notes, how)
        except (HelperDied, MemoryError):
            pass
        finally:
            self._channels.put(channel)
        reason = NO_MEMORY
        with self._alone():
            for care in (1, 2):
                try:
                    result = self._ask(pixels, care, 0, notes, how)
                    notes += [IN_BANDS] * (care == 2)
                    return result
                except MemoryError:
                    reason = NO_MEMORY
                except HelperDied as died:
                    known = died.lacks_memory
                    reason = NO_MEMORY if known else f"the process that colours it {died.how}"
        raise PhotoError(reason)

    def _ask(self, pixels, care, channel, notes, how):
        helper = self.start()
        try:
            said, _ = helper.ask(None, channel=channel)
        except HelperDied as died:
            if self._closed:
                raise PhotoError("the run was stopped") from None
            if self._ready:  # it has been loaded before: pictures take the memory, or took it
                raise
            way_out = "Free some memory, or choose a smaller model"
            if not died.lacks_memory:
                way_out = "The file may be damaged, or made to do harm: copy it again, or another"
            raise UserError(
                f"The process that loads the model {died.how}. {way_out}: MODEL=."
            ) from None
        with self._changing:
            if not self._ready:
                self._loaded(said)
            if helper not in self._ready:
                self._ready.append(helper)
        descriptor = processes.descriptor_of(pixels)
        assert descriptor is not None  # it is shared
        request = pixels.shape, pixels.dtype.name, care, how
        answer, descriptors = helper.ask(request, [descriptor], channel=channel)
        if isinstance(answer, str):
            raise PhotoError(answer)
        shape, dtype, said = answer
        notes += said
        return processes.received(descriptors[0], shape, dtype)

    @contextlib.contextmanager
    def _alone(self):
        """While no other thread has a picture coloured."""
        with self._gathering:
            taken = [self._channels.get() for _ in range(self._at_a_time)]
            try:
                yield
            finally:
                for channel in taken:
                    self._channels.put(channel)
