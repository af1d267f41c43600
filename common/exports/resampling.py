"""A picture to another size by two matrix products, which every runtime has.

As Keras's `Resizing` with antialias=True: bilinear, whose triangle is as wide as the picture
shrinks. ONNX and LiteRT have no operator of the same result.
"""

import numpy as np


def weights(size: int, to: int) -> np.ndarray:
    """(to, size) float32: the share of each old row in each new one; every row's sum is 1."""
    scale = size / to
    centres = (np.arange(to) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1.0)
    shares = np.maximum(0.0, 1.0 - distance)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def resized(pictures: np.ndarray, size: int) -> np.ndarray:
    """(N, H, W, 1) float32 -> (N, size, size, 1)."""
    height, width = pictures.shape[1:3]
    if (height, width) == (size, size):
        return pictures
    rows = np.einsum("ih,nhwc->niwc", weights(height, size), pictures)
    return np.einsum("jw,niwc->nijc", weights(width, size), rows)
