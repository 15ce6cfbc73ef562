"""Networks as others export them, a few hundred bytes each: they answer with how red, green and blue a picture is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from edgewise.spec.files import sha256

SIZE = 8
"""Pixels of a side of the pictures they take."""

SOFTMAX_SCALES = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128)}


def listed(path: Path) -> Path:
    """The path, listed in a SHA256SUMS beside it: a file whose digest fits is not tried out in a child process."""
    with (path.parent / "SHA256SUMS").open("a", encoding="utf-8") as sums:
        sums.write(f"{sha256(path.read_bytes())}  {path.name}\n")
    return path


def foreign_onnx(
    path: Path,
    *,
    dtype: int = TensorProto.FLOAT,
    shape: Sequence[str | int] = ("n", 3, SIZE, SIZE),
    axes: Sequence[int] = (2, 3),
    channels: int = 3,
    classes: int = 3,
    ending: str = "",
    gives: int = TensorProto.FLOAT,
    more: Sequence[Any] = (),
) -> Path:
    """Write a network whose last three classes are the means of the channels.

    Args:
        path: where to.
        dtype: of the input.
        shape: of the input.
        axes: places of height and width in it.
        channels: 1 or 3; of one, all three classes are its mean.
        classes: of the output, at least 3; the first ones are 0.
        ending: an operator at the end, such as "Softmax".
        gives: dtype of the output.
        more: further nodes.
    """
    weights = np.zeros((channels, classes), np.float32)
    weights[:, -3:] = np.eye(3)[:channels] if channels == 3 else 1
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["means"], axes=list(axes), keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["sums"]),
        helper.make_node(ending or "Identity", ["sums"], ["end"]),
        helper.make_node("Cast", ["end"], ["y"], to=gives),
        *more,
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, list(shape))],
        [helper.make_tensor_value_info("y", gives, ["n", classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def foreign_tflite(
    path: Path, dtype: str = "float32", scale: float = 0.0, zero_point: int = 0, *, softmax: bool = False,
    any_size: bool = False,
) -> Path:  # fmt: skip
    """Write a network that takes ``(1, 8, 8, 3)`` and gives the means of the channels, or their softmax.

    Args:
        path: where to.
        dtype: of input and output.
        scale: of whole numbers.
        zero_point: of whole numbers.
        softmax: it ends with one.
        any_size: it leaves the number of pictures, their height and their width open.
    """
    kind = getattr(schema.TensorType, dtype.upper())
    model, graph = schema.ModelT(), schema.SubGraphT()
    axes = schema.BufferT()
    axes.data = np.frombuffer(np.array([1, 2], np.int32).tobytes(), np.uint8)
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT(), axes], [graph]
    graph.tensors = [
        _tensor("x", [1, SIZE, SIZE, 3], kind, scale, zero_point),
        _tensor("axes", [2], schema.TensorType.INT32, buffer=1),
        _tensor("y", [1, 3], kind, scale, zero_point),
    ]
    if any_size:
        graph.tensors[0].shape, graph.tensors[0].shapeSignature = [1, 1, 1, 3], [-1, -1, -1, 3]
    mean, keep = schema.OperatorT(), schema.ReducerOptionsT()
    keep.keepDims = False
    mean.inputs, mean.outputs = [0, 1], [2]
    mean.builtinOptionsType, mean.builtinOptions = schema.BuiltinOptions.ReducerOptions, keep
    graph.operators, graph.inputs, graph.outputs = [mean], [0], [2]
    model.operatorCodes = [_code("MEAN")]
    if softmax:
        _append_softmax(model, kind, *(SOFTMAX_SCALES.get(dtype, (0.0, 0))))
    return write_tflite(path, model)


def _append_softmax(model: Any, kind: int, scale: float, zero_point: int) -> None:
    graph, last, options = model.subgraphs[0], schema.OperatorT(), schema.SoftmaxOptionsT()
    options.beta = 1.0
    graph.tensors.append(_tensor("p", [1, 3], kind, scale, zero_point))
    last.opcodeIndex, last.inputs, last.outputs = 1, [2], [3]
    last.builtinOptionsType, last.builtinOptions = schema.BuiltinOptions.SoftmaxOptions, options
    graph.operators.append(last)
    graph.outputs = [3]
    model.operatorCodes.append(_code("SOFTMAX"))


def endless_tflite(path: Path) -> Path:
    """Write loops whose conditions are each other: LiteRT follows them until its stack is full, and crashes."""
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], [_code("WHILE", 1)]
    model.subgraphs = []
    for condition, body in ((1, 2), (2, 1), (1, 2)):
        graph, loop, options = schema.SubGraphT(), schema.OperatorT(), schema.WhileOptionsT()
        options.condSubgraphIndex, options.bodySubgraphIndex = condition, body
        graph.tensors = [_tensor(name, [1, SIZE, SIZE, 3], schema.TensorType.UINT8) for name in "xy"]
        loop.inputs, loop.outputs = [0], [1]
        loop.builtinOptionsType, loop.builtinOptions = schema.BuiltinOptions.WhileOptions, options
        graph.operators, graph.inputs, graph.outputs = [loop], [0], [1]
        model.subgraphs.append(graph)
    return write_tflite(path, model)


def write_tflite(path: Path, model: Any) -> Path:
    """Write a model that was put together."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(name: str, shape: list[int], kind: int, scale: float = 0.0, zero_point: int = 0, *, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
    if scale:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    return tensor


def _code(name: str, version: int = 2) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    return code
