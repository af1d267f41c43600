"""What runs in the helper process of a `Decoder`: files are opened and decoded, one at a time.

The file comes as a descriptor, so that a name is never looked up twice. The process is held to the
memory and the processor time that a picture of the size in the file's header can need.
"""

import io
import os
from collections.abc import Callable, Sequence
from typing import Any

from common import processes
from common.photos import formats, reading
from common.photos.formats import decoding

_SPARE = 1 << 30  # bytes: of libraries, threads and metadata
_PER_PIXEL = 64  # bytes: the most is 16-bit RGBA in floats of a colour profile, and its copies
_TO_OPEN = 8  # bytes a pixel: libwebp makes room for two pictures before it says their size
_OPENING, _LOADING = 20, 40  # seconds of processor time
_PER_MEGAPIXEL, _PER_MEGABYTE = 2, 1


def start(_: Any) -> processes.Handler:
    """The handler of requests (name, arguments)."""
    worker = _Worker()
    calls: dict[str, Callable[..., Any]] = {
        "is_picture": worker.is_picture,
        "open": worker.open,
        "page": worker.page,
        "close": worker.close,
    }

    def handle(request: Any, descriptors: list[int]) -> tuple[Any, Sequence[int]]:
        name, *arguments = request
        return calls[name](*arguments, *descriptors)

    return handle


class _Worker:
    photo: reading.Photo | None = None
    file: io.BufferedReader | None = None
    told = 0  # notes that the parent has
    pixels: tuple = ()  # arrays on their way

    def _opened(self, descriptor, max_megapixels=0.0):
        self.close()
        raw = io.FileIO(descriptor, "rb")
        raw.name = "photo"  # tifffile asks for one, and that of a descriptor is a number
        self.file = io.BufferedReader(raw)
        megabytes = os.fstat(descriptor).st_size / 1e6
        processes.limit_memory(_SPARE + int(4e6 * megabytes + _TO_OPEN * 1e6 * max_megapixels))
        processes.limit_processor_time(_OPENING + _PER_MEGABYTE * megabytes)
        return self.file

    def is_picture(self, descriptor):
        """As `formats.is_picture`, of a file whose name tells nothing."""
        try:
            return formats.begins_as_picture(self._opened(descriptor, reading.MAX_MEGAPIXELS)), ()
        finally:
            self.close()

    def open(self, max_megapixels, suffix, descriptor):
        """What is known of the photo before it is decoded, as a dict of `About`'s fields."""
        with decoding():
            file = self._opened(descriptor, max_megapixels)
            self.photo = photo = reading.Photo(file, max_megapixels, suffix)
        self.told = len(photo.notes)
        about = {
            "format": photo.format,
            "written": photo.written,
            "shapes": [tuple(map(int, shape)) for shape in photo.shapes],
            "compressed": bool(photo.compressed),
            "notes": list(photo.notes),
            "tiff_header": photo.tiff_header,
        }
        return about, ()

    def page(self, index):
        """((depth, metadata, new notes, [(shape, dtype)]), descriptors): pixels, and extra."""
        photo = self.photo
        assert photo is not None and self.file is not None
        height, width = photo.shapes[index]
        megabytes = os.fstat(self.file.fileno()).st_size / 1e6
        processes.limit_memory(_SPARE + int(4e6 * megabytes) + _PER_PIXEL * height * width)
        megapixels = height * width / 1e6
        processes.limit_processor_time(
            _LOADING + _PER_MEGAPIXEL * megapixels + _PER_MEGABYTE * megabytes
        )
        with decoding():
            page = photo.page(index)
            arrays = [page.pixels] if page.extra is None else [page.pixels, page.extra]
            self.pixels = ()  # those of the page before
            shared = [processes.as_shared(array) for array in arrays]
        notes, self.told = photo.notes[self.told :], len(photo.notes)
        self.pixels = tuple(shared)
        kinds = [(array.shape, array.dtype.name) for array in shared]
        descriptors = [processes.descriptor_of(array) for array in shared]
        return (page.depth, page.metadata, notes, kinds), descriptors

    def close(self):
        """Forget the photo."""
        if self.file is not None:
            self.file.close()
        self.photo, self.file, self.pixels = None, None, ()
        return None, ()


def seconds(megabytes: float, megapixels: float = 0.0) -> float:
    """What the parent waits for an answer: well over the processor time, since disks are slow."""
    return 3 * (_LOADING + _PER_MEGAPIXEL * megapixels + _PER_MEGABYTE * megabytes)
