"""An .onnx of fewer bits a number: float16, or int8 calibrated on photos.

What follows the network's last convolution stays in float32: a softmax over 313 bins, and ab
itself, whose 256 levels would be seen as bands.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from common.exports import conversion, extras

CONVOLUTIONS = ("Conv", "ConvTranspose")
DENSE = ("MatMul", "Gemm")


def to_float16(source: Path, target: Path) -> None:
    """Write `source`, an .onnx, with weights and arithmetic of float16; arrays stay float32."""
    extras.module("onnxruntime")
    import onnx
    from onnxruntime.transformers import float16, onnx_model

    model = onnx.load(source, load_external_data=False)
    smaller = float16.convert_float_to_float16(
        model, keep_io_types=True, op_block_list=["Resize"], node_block_list=_ends(model)
    )
    onnx_model.OnnxModel(smaller).topological_sort()  # casts were put at the end
    onnx.save(smaller, target)


def to_int8(source: Path, target: Path, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write `source`, an .onnx of float32, with convolutions of int8, each channel with its scale.

    batches: inputs by name, by which the range of every map is measured.
    """
    extras.module("onnxruntime")
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self._batches = iter(batches)

        def get_next(self):
            return next(self._batches, None)

    with conversion.quiet():  # advice to optimise first, which changes nothing here
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            op_types_to_quantize=list(CONVOLUTIONS + DENSE),
            nodes_to_exclude=_ends(onnx.load(source, load_external_data=False)),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )


def _ends(model) -> list[str]:
    """Names of the first convolution, of that which makes ab or logits, and of all after it."""
    logits = any(output.name == "logits" for output in model.graph.output)
    makers = {name: node for node in model.graph.node for name in node.output}
    last = makers["logits" if logits else "ab"]
    while last.op_type not in CONVOLUTIONS + DENSE:
        source = next((makers[name] for name in last.input if name in makers), None)
        if source is None:
            break
        last = source
    after, names = set(last.output), [last.name]
    for node in model.graph.node:  # in an order in which no node comes before its inputs
        if after & set(node.input):
            after |= set(node.output)
            names.append(node.name)
    first = next((node.name for node in model.graph.node if node.op_type in CONVOLUTIONS), None)
    return [*names, *([first] if first else [])]
