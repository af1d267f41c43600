"""The built-in sample photos: natural photos that scikit-image and matplotlib ship.

Six photos suffice to run everything, on any machine and without internet access, but are far too
few to learn colours from. Each is cropped into many views; no photo is in two splits.
"""

from pathlib import Path

import cv2
import numpy as np

from common import files, photos
from common.photos.pixels import from_opencv
from common.photos.shipped import find

# split: (photos, views of each)
PHOTOS: dict[str, tuple[tuple[str, ...], int]] = {
    "train": (("astronaut.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"), 80),
    "validation": (("grace_hopper.jpg",), 32),
    "test": (("chelsea.png",), 32),
}


def make(folder: str | Path, chosen: dict[str, tuple[tuple[str, ...], int]] = PHOTOS) -> Path:
    """Write the missing views as PNG files below folder/<split>; return folder.

    A view is a seeded crop of 35 to 100 % of the photo's shorter side, at an aspect between 3:4 and
    4:3, mirrored in half of the cases. chosen: {split: (photos, views of each)}.
    """
    for split, (names, views) in chosen.items():
        for name in names:
            photo = None
            for view in range(views):
                path = Path(folder, split, f"{Path(name).stem}-{view:03d}.png")
                if not path.exists():
                    if photo is None:
                        photo = from_opencv(cv2.imread(str(find(name)), cv2.IMREAD_COLOR))
                    png = photos.png(_cut(photo, [*name.encode(), view]))
                    with files.replacing(path) as temporary:
                        temporary.write_bytes(png)
    return Path(folder)


def _cut(photo, seed):
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    side = rng.uniform(0.35, 1) * min(height, width)
    aspect = rng.uniform(3 / 4, 4 / 3)
    h = int(min(side / aspect, height))
    w = int(min(side * aspect, width))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    view = photo[top : top + h, left : left + w]
    return view[:, ::-1] if rng.random() < 0.5 else view
