"""Photos to try the page with: grey copies of those that scikit-image and matplotlib ship."""

from pathlib import Path

import cv2

from common import files, photos
from common.photos import shipped

PHOTOS = {
    "Cat": "chelsea.png",
    "Coffee": "coffee.png",
    "Grace Hopper": "grace_hopper.jpg",
    "Rocket": "rocket.jpg",
}


def write(folder: Path) -> dict[str, Path]:
    """Write the grey copies into a folder: {what it shows: path}."""
    paths = {}
    for title, name in PHOTOS.items():
        path = folder / f"{Path(name).stem}.png"
        grey = cv2.imread(str(shipped.find(name)), cv2.IMREAD_GRAYSCALE)
        assert grey is not None  # the library brings it
        with files.replacing(path) as temporary:
            temporary.write_bytes(photos.png(grey))
        paths[title] = path
    return paths
