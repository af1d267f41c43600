"""What an .onnx may hold, checked before ONNX Runtime reads it.

A stranger's file may name operators that run code of one's own libraries, point to other files,
loop without end or ask for more memory than there is. Here it may hold the operators that
colorizers are made of, its own numbers, and tensors of known size.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.cli import UserError, first_line, one_line
from common.exports import extras

MOST_BYTES = 1 << 30  # of the file; wombat's has 29 MB, the report's largest networks 300
ELEMENTS = 1 << 28  # of a tensor between two operators, for one picture: 1 GiB
# fmt: off
OPERATORS = frozenset({
    "Abs", "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip",
    "Concat", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose",
    "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal",
    "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "Gelu", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "Greater", "GroupNormalization", "HardSigmoid", "HardSwish", "Identity",
    "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less", "Log", "LogSoftmax",
    "MatMul", "MatMulInteger", "Max", "MaxPool", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad",
    "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Reciprocal", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
    "Resize", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Slice", "Softmax", "Softplus",
    "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile",
    "Transpose", "Unsqueeze", "Upsample", "Where",
})
# fmt: on
DOMAINS = ("", "ai.onnx")


def read(path: str | Path) -> Any:
    """A `ModelProto` that may be given to ONNX Runtime; `UserError` for anything else."""
    onnx = extras.module("onnx")
    if not Path(path).is_file():
        raise UserError(f"There is no model {path}.")
    size = os.path.getsize(path)
    if size > MOST_BYTES:
        raise UserError(f"{path} is refused: it has {size:,} bytes, more than {MOST_BYTES:,}.")
    try:
        model = onnx.load_model_from_string(Path(path).read_bytes())
    except OSError:
        raise
    except Exception:  # whatever protobuf makes of other bytes
        model = None
    if model is None or not model.graph.node:
        raise UserError(f"{path} is no ONNX model, or is damaged. Copy or export it again.")
    check_graph(model, path)
    return model


def check_graph(model: Any, path: str | Path) -> None:
    """`UserError` for operators, data and sizes that a colorizer has not."""
    onnx = extras.module("onnx")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise _refusal(path, "functions, training steps or sparse numbers")
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        if node.domain not in DOMAINS or node.op_type not in OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise _refusal(path, f"the operator {name}, of which no colorizer is made")
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise _refusal(path, f"a graph within {node.op_type}")
            tensors += [attribute.t, *attribute.tensors] if attribute.HasField("t") else []
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise _refusal(path, f"{tensor.name or 'numbers'}, whose data are in another file")
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > _stored(tensor):
            raise _refusal(path, f"{tensor.name or 'numbers'}, of which most are not stored")
    try:
        sizes = dict(_sizes(onnx, model))
    except Exception as error:  # shape inference has no class of its own in every version
        raise UserError(
            f"{path} is damaged: its operators do not fit together ({first_line(error)})."
        ) from None
    for node in model.graph.node:
        for name in filter(None, node.output):
            if name not in sizes:
                raise _refusal(path, f"{name}, whose size is not known before it is computed")
            if sizes[name] > ELEMENTS:
                raise _refusal(path, f"{name}, of {sizes[name]:,} numbers a picture")


def _sizes(onnx, model) -> Iterable[tuple[str, int]]:
    """(name, count of numbers) of every tensor of fixed size, for one picture of 256 x 256."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value"):
                dimension.dim_value = 1 if axis == 0 else 256
    single.graph.ClearField("value_info")  # what the file says of sizes is not what they are
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(
        single, check_type=True, strict_mode=True, data_prop=True
    ).graph
    for value in [*inferred.value_info, *inferred.output]:
        shape = value.type.tensor_type
        if shape.HasField("shape") and all(d.HasField("dim_value") for d in shape.shape.dim):
            yield value.name, math.prod(d.dim_value for d in shape.shape.dim)


def _stored(tensor):
    """The most numbers that a tensor's data can hold: two a byte, or one an entry of a list."""
    lists = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
    return 2 * (len(tensor.raw_data) + sum(map(len, (*lists, tensor.uint64_data))))


def _refusal(path, what):
    return UserError(f"{path} is refused: it holds {one_line(what, 240)}.")
