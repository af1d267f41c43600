"""Models as .tflite, computed by TensorFlow's own interpreter."""

import keras
import numpy as np
import pytest
from packaging.version import Version

from common.exports import conversion, export, tflite_files
from common.networks import h5
from common.networks.interface import predict
from tests import drawn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        Version(keras.__version__) < Version(conversion.KERAS["litert"]),
        reason=f"needs Keras {conversion.KERAS['litert']}",
    ),
]


@pytest.mark.parametrize(("numbers", "most"), [("float32", 0.05), ("float16", 0.2), ("int8", 5)])
def test_ab_are_keras_own_and_the_metadata_are_inside(tmp_path, numbers, most):
    """most: Lab units; of int8 each of several layers may add a step of its 255."""
    path = drawn.exported(tmp_path / "tiny.h5")
    source = export.Source.of(path)
    photos = drawn.folder(tmp_path / "photos", 3)
    (written,) = export.to_tflite(source, tmp_path / "tiny.tflite", numbers, photos)
    l = next(export.pictures(photos, source))
    ab = tflite_files.computed(written)({"l": l})["ab"]
    expected = predict(source.model, {"l": l})
    assert expected.shape == ab.shape == (1, 32, 32, 2) and np.abs(expected).max() > 10
    assert np.abs(ab - expected).max() <= most
    inside = tflite_files.metadata(written)
    assert inside.pop("export")["numbers"] == numbers and inside == h5.metadata(path)
