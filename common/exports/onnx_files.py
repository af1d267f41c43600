"""An exported .h5 as an .onnx, with the metadata inside.

The file has the arrays of `outputs` as its outputs, and one text of metadata, `colorization`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from common import files
from common.exports import conversion, extras, onnx_checks
from common.networks.metadata import ATTRIBUTE


def write(network: keras.Model, target: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a network of `outputs` as an .onnx of float32, whole or not at all.

    `UserError` as of `conversion.convert`, and for an operator that no colorizer has.
    """
    onnx = extras.module("onnx")
    with files.replacing(target) as temporary:
        conversion.convert(network, temporary, "onnx")
        model = onnx.load(temporary, load_external_data=False)
        onnx.helper.set_model_props(model, {ATTRIBUTE: json.dumps(metadata)})
        onnx_checks.check_graph(model, target)
        onnx.save(model, temporary)
