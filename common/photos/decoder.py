"""`Decoder`: photos are decoded in a helper process, which a stranger's file may crash or hang.

Pillow, OpenCV, libtiff and the other libraries of decoders are written in C, and a file can be made
to break them. There that costs the one photo. It is no sandbox: the helper is a process of the same
user, and what it tells of a photo is checked, but not whether the photo is true.
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import processes
from common.photos import exif, metadata, worker
from common.photos.formats import PhotoError, decoding, is_picture_by_name
from common.photos.reading import MAX_MEGAPIXELS, About, Page
from common.processes import Helper, HelperDied

MODULE = "common.photos.worker"  # what runs in the process
_KNOWN = (metadata.Metadata, metadata.Density, exif.Directory, exif.Entry)
# Threads would take much of the address space, and decode one picture hardly faster.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Decoder:
    """`read` and `is_picture` of this package in a helper process, anew after one that died.

    One photo is open at a time, and others wait for it. Close it in the end.
    """

    def __init__(self) -> None:
        self._helper: Helper | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the process if none runs, so that it is there when the first photo is read."""
        if self._helper is None or not self._helper.alive:
            self._helper = Helper(MODULE, known=_KNOWN, environment=_ENVIRONMENT, silent=True)

    def close(self) -> None:
        """End the process."""
        if self._helper is not None:
            self._helper.close()
        self._helper = None

    @contextlib.contextmanager
    def read(
        self, path: str | Path, max_megapixels: float = MAX_MEGAPIXELS
    ) -> Iterator["RemotePhoto"]:
        """As `photos.read`; a decoder that crashes or hangs is a PhotoError as well."""
        with self._turn:
            with decoding(), open(path, "rb") as file:
                megabytes = os.fstat(file.fileno()).st_size / 1e6
                suffix = Path(path).suffix.lower()
                about, _ = self._ask(
                    ("open", max_megapixels, suffix), [file.fileno()], worker.seconds(megabytes)
                )
            photo = RemotePhoto(**about)
            photo.ask, photo.megabytes = self._ask, megabytes
            try:
                yield photo
            finally:
                with contextlib.suppress(PhotoError):
                    if self._helper is not None and self._helper.alive:
                        self._ask(("close",), (), worker.seconds(0))

    def is_picture(self, path: str | Path) -> bool:
        """As `photos.is_picture`; a file that crashes a decoder is taken for one, and read."""
        by_name = is_picture_by_name(path)
        if by_name is not None:
            return by_name
        with self._turn:
            try:
                with open(path, "rb") as file:
                    megabytes = os.fstat(file.fileno()).st_size / 1e6
                    return self._ask(("is_picture",), [file.fileno()], worker.seconds(megabytes))[0]
            except OSError:
                return False
            except PhotoError:
                return True

    def _ask(self, request, descriptors, seconds) -> tuple[Any, list[int]]:
        self.start()
        assert self._helper is not None
        try:
            return self._helper.ask(request, descriptors, seconds=seconds)
        except HelperDied as died:
            raise PhotoError(
                f"its decoder {died.how}: the file may be damaged, or made to do harm"
            ) from None
        except processes.UserError as error:
            raise PhotoError(str(error)) from None


@dataclasses.dataclass
class RemotePhoto(About):
    """A photo that is open in the helper process."""

    def __post_init__(self) -> None:
        self.ask: Any = None
        self.megabytes = 0.0

    def pages(self) -> Iterator[Page]:
        for index, (height, width) in enumerate(self.shapes):
            seconds = worker.seconds(self.megabytes, height * width / 1e6)
            with decoding():
                answer, descriptors = self.ask(("page", index), (), seconds)
                depth, kept, notes, kinds = answer
                arrays = [
                    processes.received(descriptor, shape, dtype)
                    for descriptor, (shape, dtype) in zip(descriptors, kinds, strict=True)
                ]
            self.notes += notes
            yield Page(arrays[0], depth, kept, *arrays[1:])
