"""A network as a file describes it, whichever the format: tensors, and the nodes between them in the file's order.

Nothing is executed and no weight is looked at, except the few numbers that shapes depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

MAX_RANK = 16
"""Most dimensions of a tensor. Products of more could grow into numbers that take for ever."""

MAX_ELEMENTS = 1 << 63
"""A constant of more numbers than that cannot be."""

MAX_VALUES = 32
"""Constants of up to so many numbers are read: axes, shapes, scales."""

BITS = {
    **dict.fromkeys(("int2", "uint2"), 2),
    **dict.fromkeys(("int4", "uint4", "float4"), 4),
    **dict.fromkeys(("int8", "uint8", "bool", "float8"), 8),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 16),
    **dict.fromkeys(("int32", "uint32", "float32"), 32),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 64),
    "complex128": 128,
}
"""Bits of one number of each dtype. Texts and unknown dtypes have no entry."""

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
INTEGERS = frozenset(("int8", "uint8", "int16"))
"""Dtypes that the activations of quantized networks have."""

INDEX_DTYPES = frozenset(("int32", "uint32", "int64", "uint64", "bool", "text"))
"""Dtypes of axes, shapes and the like: a constant of these is a weight only where it has a scale."""

Shape = tuple["int | None", ...]  # None: a dimension that is only known when the network runs
Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point), for the first channel."""

    scale: float | None  # None: not a finite number
    zero_point: int
    channels: int = 1  # how many pairs there are


@dataclass(frozen=True)
class Tensor:
    """What goes along one edge of the graph, or a constant."""

    name: str  # from the file: not fit to be printed as it is
    shape: Shape | None  # None: unknown
    dtype: str  # a key of BITS, or "text", or "unknown"
    quantization: Quantization | None = None
    constant: bool = False
    size: int = 0  # bytes in the file, of a constant
    values: tuple[float, ...] | None = None  # of a constant of up to MAX_VALUES numbers, where they were read


@dataclass(frozen=True)
class Node:
    """One operator call. Inputs and outputs are keys of `Graph.tensors`; "" stands for one that is left out."""

    operator: str
    name: str  # from the file, or "" where the format has none
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)  # those that shapes depend on


@dataclass(frozen=True)
class Graph:
    """The main graph of a file."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]  # the constants that are weights: not axes, shapes, scales, zero points
    remarks: tuple[str, ...] = ()  # what was not looked at

    def shape(self, key: str) -> Shape | None:
        """The shape of a tensor, None where it is unknown."""
        tensor = self.tensors.get(key)
        return tensor.shape if tensor else None

    def dtype(self, key: str) -> str:
        """The dtype of a tensor, ``"unknown"`` where it is."""
        tensor = self.tensors.get(key)
        return tensor.dtype if tensor else "unknown"


def elements(shape: Shape | None) -> int | None:
    """How many numbers a tensor has, None where a dimension is unknown."""
    if shape is None or None in shape:
        return None
    return prod(size for size in shape if size is not None)


# Operator -> which input holds the filters, (outputs, [inputs of one filter], ...) in both formats.
_CONVOLUTIONS = {"CONV_2D": 1, "Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = frozenset(
    ("FULLY_CONNECTED", "BATCH_MATMUL", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul")
)


def macs(graph: Graph, node: Node) -> int | None:
    """Multiply-accumulates of a node for one picture, from shapes; the first dimension is taken for the batch.

    Returns:
        0 for everything but convolutions and matrix products; None where it is one and a shape is unknown.
    """
    if node.operator in _CONVOLUTIONS:
        per_output = _filter(graph, node, _CONVOLUTIONS[node.operator], slice(1, None))
    elif node.operator == "DEPTHWISE_CONV_2D":  # filters are (1, height, width, outputs)
        per_output = _filter(graph, node, 1, slice(1, 3))
    elif node.operator in _PRODUCTS:
        per_output = _inner(graph, node)
    else:
        return 0
    shape = graph.shape(node.outputs[0]) if node.outputs else None
    outputs = elements(shape[1:] if shape and len(shape) > 1 else shape)
    return None if outputs is None or per_output is None else outputs * per_output


def _filter(graph: Graph, node: Node, index: int, part: slice) -> int | None:
    shape = graph.shape(node.inputs[index]) if index < len(node.inputs) else None
    return None if shape is None else elements(shape[part])


def _inner(graph: Graph, node: Node) -> int | None:
    """The dimension that a matrix product sums over."""
    # A fully connected layer flattens its input, so that only its weights tell.
    index = 1 if node.operator == "FULLY_CONNECTED" else 0
    shape = graph.shape(node.inputs[index]) if index < len(node.inputs) else None
    return shape[0 if node.attributes.get("transA") else -1] if shape else None
