"""Colour photos: a model and a photo, or a folder of them -> photos of the same size.

The network sees the picture small and gives its colours; they are brought back to full size and
put to the picture's own L*, which stays as it is at every pixel.
"""

import collections
import csv
import dataclasses
import functools
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from common import cli, embeddings, files, lab, models, photos
from common.cli import UserError
from common.photos import PhotoError

REPORT = "colorize-report.csv"
RESULTS = ("coloured", "kept", "failed", "not a photo")
SHOWN = 10  # failures on the terminal; the report has all
BATCH = 16  # pictures that the network sees at a time
BAND = 1 << 18  # pixels worked on at a time in one thread: memory does not grow with the picture


class Colorizer:
    """An exported model, ready for pictures of any size.

    `colorizer(array)`: uint8 or uint16, (H, W), (H, W, 3) or (H, W, 4) -> the same size and depth,
    (H, W, 3), or (H, W, 4) with the same alpha. A colour picture is coloured anew from its L*.

    path: an .h5 of `models.export`, or any Keras model from `l` to `ab`. precision: "float32",
    "mixed_bfloat16" or "auto". weights: a file for the embedding network, if its weights are not
    found without. Raises UserError.

    `size`, `cut`: of the pictures that the network sees; `metadata`: the model's; and
    `needs_embedding`.
    """

    def __init__(self, path, precision="float32", weights=None):
        self.metadata = models.metadata(path)
        self._model = models.load(path, models.precision(precision)[0])
        inputs = {tensor.name: tensor.shape for tensor in self._model.inputs}
        self.size = self.metadata.get("image_size") or inputs["l"][1] or 256
        self.cut = self.metadata.get("cut", "squash")
        self.needs_embedding = "embedding" in inputs
        self._weights, self._folder = weights, Path(path).parent
        if self.needs_embedding and not self.metadata.get("embedding"):
            raise UserError(
                f"{path} needs an embedding and does not say of which network. Export "
                "it with its metadata."
            )

    @functools.cached_property
    def _embedder(self):
        """The embedding network that the model was trained on; stored embeddings need none."""
        return embeddings.find(self.metadata["embedding"], self._weights, self._folder)

    def predict_ab(self, l, embedding=None):
        """L* (N, S, S, 1) float32 in [0, 100] -> ab (N, S, S, 2) float32, Lab units.

        embedding: (N, 1000) logits; made from `l` where the model needs them and none are given.
        """
        if self.needs_embedding and embedding is None:
            embedding = self._embedder(l)
        parts = []
        for start in range(0, len(l), BATCH):
            batch = {"l": l[start : start + BATCH]}
            if self.needs_embedding:
                batch["embedding"] = embedding[start : start + BATCH]
            parts.append(models.predict(self._model, batch))
        return np.concatenate(parts)

    def __call__(self, array, in_place=False):
        """The coloured picture; with in_place=True it may take the place of `array`."""
        _check(array)
        height, width = array.shape[:2]
        cut = "letterbox" if self.cut == "letterbox" else "squash"  # "centre" would leave a rest
        rows = max(1, BAND // width)
        bands = [slice(start, min(start + rows, height)) for start in range(0, height, rows)]
        small = photos.fit(
            (_over_white(array[band]) for band in bands),
            self.size,
            cut,
            pad=100.0,
            shape=(height, width),
        )
        ab = self.predict_ab(small[None, ..., None])[0]
        if not np.isfinite(ab).all():
            raise UserError("the model gives NaN or infinity; train it anew at a lower rate")
        channels = 4 if array.ndim == 3 and array.shape[2] == 4 else 3
        result = array
        if not in_place or array.ndim == 2:
            result = np.empty((height, width, channels), array.dtype)

        def colour(band):
            full = photos.unfit(ab, (height, width), cut, (band.start, band.stop))
            colours = np.concatenate([_lightness(array[band])[..., None], full], axis=2)
            rgb = lab.lab_to_rgb(lab.into_gamut(colours))
            rgb *= np.iinfo(array.dtype).max
            result[band, :, :3] = np.rint(rgb, out=rgb)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(colour, bands))
        if channels == 4 and result is not array:
            result[..., 3] = array[..., 3]
        return result


def _check(array):
    if not isinstance(array, np.ndarray) or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            "A Colorizer takes NumPy arrays of uint8, [0, 255], or uint16, [0, 65535]. Received: "
            f"{getattr(array, 'dtype', type(array).__name__)}. Scale and round floats first."
        )
    if not array.size or array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise ValueError(
            "A Colorizer takes one picture, (H, W), (H, W, 3) or (H, W, 4). Received: "
            f"shape {array.shape}."
        )


def _lightness(pixels):
    """The L* of a picture without its alpha, (H, W) float32."""
    return lab.grey_to_l(pixels) if pixels.ndim == 2 else lab.rgb_to_l(pixels[..., :3])


def _over_white(pixels):
    """The L* that the network sees: what is transparent is white, as in training."""
    lightness = _lightness(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3] / np.float32(np.iinfo(pixels.dtype).max)
        lightness = 100 - (100 - lightness) * alpha
    return lightness


# --- The command ----------------------------------------------------------------------------------


def main(argv=None):
    """The command `python -m common.colorize`."""
    parser = cli.Parser("python -m common.colorize", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="IN",
        help="a photo or a folder of photos",
    )
    parser.add_argument("--out", type=Path, default=Path("coloured"), help="folder of the results")
    parser.add_argument("--model", default="koala", help="an .h5 file, or a name in models/")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    parser.add_argument(
        "--max-megapixels",
        type=cli.at_least(0, float),
        default=photos.MAX_MEGAPIXELS,
        help="larger pictures are refused",
    )
    parser.add_argument("--precision", choices=models.PRECISIONS, default="float32")
    parser.add_argument(
        "--embedding-weights",
        metavar="FILE",
        help="weights of the embedding network, if they are not found without",
    )
    args = parser.parse_args(argv)
    _check_folders(args.source, args.out)
    path = models.named(args.model)
    colour_all = _colour_folder if args.source.is_dir() else _colour_photo
    # Loaded with the first photo that needs it: where nothing is left to do that takes no time.
    return colour_all(
        args, functools.cache(lambda: Colorizer(path, args.precision, args.embedding_weights))
    )


def _check_folders(source, out):
    if not source.exists():
        raise UserError(f"There is no {source}. IN= is a photo or a folder of photos.")
    if out.suffix and photos.is_picture(out) and not out.is_dir():
        raise UserError(
            f"OUT={out} looks like a photo. It is the folder of the results, which "
            "keep their photos' names."
        )
    home = source if source.is_dir() else source.parent
    if out.resolve() == home.resolve():
        raise UserError(
            f"OUT={out} is where the photos are. Choose another folder, so that they stay."
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):  # before an hour's work, not after it
        pass


def _colour_photo(args, load):
    """One photo: where its result is, on standard output; UserError with the reason."""
    try:
        with photos.read(args.source, args.max_megapixels) as photo:
            target = args.out / _name(Path(args.source.name), photo)
            if target.exists() and not args.overwrite:
                photo.notes.append("is there already and stays; OVERWRITE=1 replaces it")
            else:
                _colour(load, photo, target)
    except PhotoError as error:
        raise UserError(f"{args.source}: {error}") from None
    print("; ".join([_shown(target), *dict.fromkeys(photo.notes)]))
    return 0


def _colour_folder(args, load):
    """Every photo below a folder, and the report; 1 if any failed."""
    pictures, others = _listed(args.source, args.out)
    if not pictures:
        raise UserError(
            f"There is no photo below {args.source}; of other files there are {len(others)}."
        )
    originals = {(args.source / name).resolve() for name in pictures}
    rows = []
    for name in cli.progress(pictures, desc="colouring", unit="photo"):
        rows.append({"file": name.as_posix(), "result": "coloured"})
        try:
            with photos.read(args.source / name, args.max_megapixels) as photo:
                rows[-1]["height"], rows[-1]["width"] = photo.shapes[0]
                target = args.out / _name(name, photo, pictures)
                if target.resolve() in originals:  # where IN lies within OUT
                    raise PhotoError("its result would replace a photo; choose another OUT=")
                if target.exists() and not args.overwrite:
                    rows[-1]["result"] = "kept"
                else:
                    _colour(load, photo, target)
                rows[-1]["reason"] = "; ".join(dict.fromkeys(photo.notes))
        except PhotoError as error:
            rows[-1] |= {"result": "failed", "reason": str(error)}
    rows += [{"file": name.as_posix(), "result": "not a photo"} for name in others]
    return _report(args.out, rows)


def _listed(source, out):
    """The photos below a folder and the other files, as paths within it; nothing of `out`."""
    out, home = out.resolve(), source.resolve()
    results = out.relative_to(home).parts if out.is_relative_to(home) else None
    pictures, others = {}, []
    for path in photos.find(source):
        name = path.relative_to(source)
        if results is None or name.parts[: len(results)] != results:
            if photos.is_picture(path):
                pictures[name] = None
            else:
                others.append(name)
    return pictures, others


def _name(name, photo, taken=()):
    """The name of a photo's result: its own, with .png behind it if its format is not written."""
    if photo.written == photo.format or name.suffix.lower() == ".png":
        return name
    name = name.with_name(f"{name.name}.png")
    while name in taken:
        name = name.with_name(f"{name.name}.png")
    return name


def _colour(load, photo, target):
    """Write the coloured photo as `target`, whole or not at all."""

    def pages():
        for page in photo.pages():
            yield dataclasses.replace(page, pixels=load()(page.pixels, in_place=True))

    try:
        with files.replacing(target) as temporary:
            photos.write(temporary, pages(), photo)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise PhotoError("not enough memory for it; make it smaller") from None


def _report(out, rows):
    """Write the table of results, print how many there are of each kind, and the failures."""
    with (
        files.replacing(out / REPORT) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, ("file", "width", "height", "result", "reason"), restval="")
        table.writeheader()
        table.writerows(rows)
    counts = collections.Counter(row["result"] for row in rows)
    found = [f"{counts[result]} {result}" for result in RESULTS if counts[result]]
    print(f"{', '.join(found)}: see {_shown(out / REPORT)}")
    failed = [row for row in rows if row["result"] == "failed"]
    for row in failed[:SHOWN]:
        print(f"failed: {row['file']}: {row['reason']}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: {len(failed) - SHOWN} more", file=sys.stderr)
    return 1 if failed else 0


def _shown(path):
    """A path as text that any terminal takes; names need not be UTF-8."""
    return str(path).encode("utf-8", "replace").decode()


if __name__ == "__main__":
    sys.exit(cli.run(main))
