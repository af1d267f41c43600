"""The sample photos that scikit-image and matplotlib bring, by name."""

from pathlib import Path


def find(name: str) -> Path:
    """The path of a photo that scikit-image or matplotlib ships."""
    import matplotlib.cbook
    import skimage.data

    shipped = Path(skimage.data.__file__).parent / name
    if shipped.exists():
        return shipped
    return Path(matplotlib.cbook.get_sample_data(name, asfileobj=False))
