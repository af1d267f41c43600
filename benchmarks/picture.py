"""The picture that README.md opens with: sample photos as grey | wombat | vivid | true.

    python -m benchmarks.picture [--out docs/wombat.jpg] [--old PHOTO ...]

All colour photos that scikit-image and matplotlib ship under known terms, none chosen for its
result and none trained on, and a grey one of scikit-image's, for which nobody has the colours.
--old adds old photographs. docs/wombat.jpg has one: Dorothea Lange, "Destitute pea pickers in
California. Mother of seven children. Age thirty-two", Nipomo 1936, made for the Farm Security
Administration of the United States; Library of Congress, negative LC-USF34-009058-C, scan
LC-DIG-fsa-8b29516, "no known restrictions" (https://www.loc.gov/rr/print/res/071_fsab.html). It is
not part of this repository: the Library of Congress has it under that number.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from common import cli, files, photos
from common.color import lab
from common.colorize import Colorizer
from common.datasets import samples

# scikit-image states the terms in the docstrings of `skimage.data`, but none for
# motorcycle_left.png and motorcycle_right.png (Middlebury 2014), which are therefore left out.
PHOTOS = {
    "camera.png": "Lav Varshney; CC0",
    "rocket.jpg": "SpaceX; public domain",
    "astronaut.png": "NASA; public domain",
    "chelsea.png": "Stefan van der Walt; CC0",
    "grace_hopper.jpg": "U.S. Navy, official portrait, 1984; public domain",  # matplotlib's
    "coffee.png": "Rachel Michetti, Pikolo Espresso Bar; CC0",
    "ihc.png": "stained tissue; Center for Microscopy and Molecular Imaging; no known restrictions",
    "retina.jpg": "Mikael Häggström; CC0",
    "hubble_deep_field.jpg": "NASA, Hubble eXtreme Deep Field; public domain",
}
GREY = ("camera.png",)
COLUMNS = ("grey", "wombat", "wombat, vivid", "true")
ACROSS = 2  # photos beside each other
SIDE, GAP, LINE = 150, 4, 20  # pixels: a tile, the white about it, the captions
QUALITY = 88


def tiles(rgb: np.ndarray, colorizer: Colorizer, coloured: bool) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 -> its `COLUMNS`, (SIDE, SIDE, 3) each; coloured: whether it has its colours.

    A photo is coloured whole; shown is a square of it, of a tall one the top, where faces are.
    """
    grey = np.rint(255 * lab.l_to_grey(lab.rgb_to_l(rgb))).astype(np.uint8)
    columns = [np.dstack([grey] * 3), colorizer(grey), colorizer.turned(vivid=1.0)(grey)]
    height, width = grey.shape
    side = min(height, width)
    left = (width - side) // 2
    for column in [*columns, rgb] if coloured else columns:
        square = column[:side, left : left + side]
        yield cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if not coloured:
        yield np.full((SIDE, SIDE, 3), 255, np.uint8)


def sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    """A row of tiles for each photo -> (H, W, 3) uint8, `ACROSS` photos beside each other."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    rows = rows + [[white] * len(COLUMNS)] * (-len(rows) % ACROSS)
    strips = [np.hstack([_framed(tile) for tile in row]) for row in rows]
    captions = np.full((LINE, strips[0].shape[1], 3), 255, np.uint8)
    for i, text in enumerate(COLUMNS):
        place = (GAP + i * (SIDE + GAP), LINE - 4)
        cv2.putText(captions, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    gutter = ((0, 0), (0, 4 * GAP), (0, 0))
    blocks = [
        np.pad(np.vstack([captions, *strips[i::ACROSS]]), gutter, constant_values=255)
        for i in range(ACROSS)
    ]
    return np.hstack(blocks)


def _framed(tile):
    return np.pad(tile, ((0, GAP), (GAP, 0), (0, 0)), constant_values=255)


def _rgb(path):
    """Any photo, (H, W, 3) uint8."""
    with photos.read(path) as photo:
        pixels = photos.opaque(next(iter(photo.pages())).pixels)
    return np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels


def main(argv: list[str] | None = None) -> int:
    """Write the picture; print each photo's author and terms."""
    parser = cli.Parser("benchmarks.picture", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/wombat.jpg"))
    parser.add_argument("--model", help="a name or a file; by default the shipped wombat")
    parser.add_argument("--old", type=Path, nargs="+", default=[], help="grey photos of your own")
    args = parser.parse_args(argv)
    colorizer = Colorizer(args.model)
    shown = [(samples.find(name), name not in GREY) for name in PHOTOS]
    rows = [
        list(tiles(_rgb(path), colorizer, coloured))
        for path, coloured in [*shown, *((path, False) for path in args.old)]
    ]
    _, data = cv2.imencode(
        args.out.suffix, sheet(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    with files.replacing(args.out) as temporary:
        temporary.write_bytes(data.tobytes())
    for name, terms in PHOTOS.items():
        print(f"{name}: {terms}")
    print(f"{args.out}, {len(data) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
