"""The graph of an ONNX file, read without the onnx package and without loading it.

Source of the field numbers: onnx.proto of the ONNX project. Shapes that the file does not tell are inferred afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

from edgewise.runtime.graph import (
    INDEX_DTYPES,
    Attribute,
    Graph,
    Node,
    Quantization,
    Shape,
    Tensor,
    elements,
)
from edgewise.runtime.onnx_constants import Value, check_rank, constant, dtype_name, signed, varints, view
from edgewise.runtime.onnx_shapes import inferred
from edgewise.runtime.onnxfile import EXPECTED, EXPORT_AGAIN, MAX_FIELDS
from edgewise.runtime.protobuf import Budget, WireError, fields, text
from edgewise.spec import ModelError

_LISTS = frozenset(("axes", "dilations", "kernel_shape", "pads", "perm", "strides", "output_shape", "starts", "ends"))
_NUMBERS = frozenset(("axis", "ceil_mode", "group", "keepdims", "to", "transA", "transB"))
_DEQUANTIZE, _QUANTIZE = "DequantizeLinear", "QuantizeLinear"


def onnx_graph(content: bytes, name: str) -> Graph:
    """Read the main graph of an ONNX file.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: not an ONNX file, damaged, or made to take for ever.
    """
    try:
        return _Reader(memoryview(content)).graph()
    except WireError as error:
        raise ModelError(f"{name} is not a readable ONNX file: {error}", EXPECTED, EXPORT_AGAIN) from error


class _Reader:
    def __init__(self, content: memoryview) -> None:
        self._budget = Budget(MAX_FIELDS)
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, None] = {}
        self._nodes: list[Node] = []
        self._subgraphs = 0
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._graphs = [view(value) for number, value in self._fields(content) if number == 7]

    def graph(self) -> Graph:
        for graph in self._graphs:  # more than one are one that was written in parts
            for number, value in self._fields(graph):
                self._part(number, value)
        # Old files list their weights among the inputs.
        inputs = tuple(key for key in self._inputs if key not in self._constants)
        tensors = inferred(self._nodes, self._tensors)
        for key, quantization in self._edges(inputs, tensors):
            tensors[key] = replace(tensors[key], quantization=quantization)
        note = f"{self._subgraphs} graphs inside of nodes (loops, branches) are not counted"
        return Graph(
            nodes=tuple(self._nodes),
            tensors=tensors,
            inputs=inputs,
            outputs=tuple(self._outputs),
            parameters=self._parameters(),
            remarks=(note,) if self._subgraphs else (),
        )

    def _fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        return fields(message, self._budget)

    def _part(self, number: int, value: Value) -> None:
        if number == 1:
            self._nodes.append(self._node(view(value)))
        elif number == 5:
            self._keep_constant(constant(view(value), self._budget))
        elif number == 15:  # a sparse one: its values are a tensor
            self._keep_constant(
                next((constant(view(v), self._budget) for n, v in self._fields(view(value)) if n == 1), None)
            )
        elif number in (11, 12, 13):
            described = self._described(view(value))
            if described.name not in self._constants:
                self._tensors.setdefault(described.name, described)
            (self._inputs if number == 11 else self._outputs if number == 12 else []).append(described.name)

    def _keep_constant(self, tensor: Tensor | None) -> None:
        if tensor is not None:
            self._tensors[tensor.name] = tensor
            self._constants[tensor.name] = None

    def _node(self, message: memoryview) -> Node:
        inputs, outputs, name, operator, attributes = [], [], "", "", {}
        value_of: Tensor | None = None
        for number, value in self._fields(message):
            if number == 1:
                inputs.append(text(value))
            elif number == 2:
                outputs.append(text(value))
            elif number == 3:
                name = text(value)
            elif number == 4:
                operator = text(value)
            elif number == 5:
                key, attribute, tensor = self._attribute(view(value))
                value_of = tensor if key == "value" else value_of
                if attribute is not None:
                    attributes[key] = attribute
        if operator == "Constant" and value_of and outputs:
            self._keep_constant(replace(value_of, name=outputs[0]))
        return Node(operator, name, tuple(inputs), tuple(outputs), attributes)

    def _attribute(self, message: memoryview) -> tuple[str, Attribute | None, Tensor | None]:
        """Name, value where shapes depend on it, and the tensor in it."""
        key, numbers = "", list[int]()
        attribute: Attribute | None = None
        tensor: Tensor | None = None
        for number, value in self._fields(message):
            if number == 1:
                key = text(value)
            elif number == 3 and key in _NUMBERS and isinstance(value, int):
                attribute = signed(value)
            elif number == 4 and key == "auto_pad":
                attribute = text(value)
            elif number == 5:
                tensor = constant(view(value), self._budget)
            elif number == 8 and key in _LISTS:
                numbers += varints(value, self._budget)
            self._subgraphs += number in (6, 11)
        return key, tuple(numbers) if numbers else attribute, tensor

    def _described(self, message: memoryview) -> Tensor:
        """An input, output or value in between: name and type."""
        name, dtype, shape = "", "unknown", None
        for number, value in self._fields(message):
            if number == 1:
                name = text(value)
            elif number == 2:
                for kind, inner in self._fields(view(value)):
                    if kind == 1:  # a tensor; sequences and maps have no shape
                        dtype, shape = self._type(view(inner))
        return Tensor(name, shape, dtype)

    def _type(self, message: memoryview) -> tuple[str, Shape | None]:
        dtype, shape = "unknown", None
        for number, value in self._fields(message):
            if number == 1:
                dtype = dtype_name(value)
            elif number == 2:
                shape = tuple(self._dimension(view(dim)) for kind, dim in self._fields(view(value)) if kind == 1)
                check_rank(len(shape))
        return dtype, shape

    def _dimension(self, message: memoryview) -> int | None:
        sizes = [value for number, value in self._fields(message) if number == 1 and isinstance(value, int)]
        return sizes[0] if sizes and signed(sizes[0]) >= 0 else None

    def _edges(self, inputs: tuple[str, ...], tensors: dict[str, Tensor]) -> Iterator[tuple[str, Quantization]]:
        """How inputs are dequantized and outputs were quantized, where the graph says it right there."""
        ends = {*inputs, *self._outputs} & tensors.keys()
        for node in self._nodes:
            keys = {_DEQUANTIZE: node.inputs, _QUANTIZE: node.outputs}.get(node.operator, ())[:1]
            scale, zero_point = (tensors.get(key) for key in (*node.inputs[1:3], "", "")[:2])
            if keys and keys[0] in ends and scale and scale.values:
                first = scale.values[0]
                zero = zero_point.values[0] if zero_point and zero_point.values else 0
                yield (
                    keys[0],
                    Quantization(
                        first if isfinite(first) else None,
                        int(zero) if isfinite(zero) else 0,
                        elements(scale.shape) or 1,
                    ),
                )

    def _parameters(self) -> tuple[str, ...]:
        """The constants that are weights: not axes and shapes, and not scales and zero points."""
        used: set[str] = set()
        scaled: set[str] = set()
        helpers: set[str] = set()
        for node in self._nodes:
            used.update(node.inputs)
            if node.operator in (_DEQUANTIZE, _QUANTIZE):
                helpers.update(node.inputs[1:])
                scaled.update(node.inputs[:1])
            elif node.operator.startswith("QLinear"):
                factors = {key for key in node.inputs if self._is_factor(key)}
                helpers.update(factors)
                scaled.update({*node.inputs} - factors)
        names = dict.fromkeys(key for key in self._constants if key in used and key not in helpers)
        return tuple(key for key in names if key in scaled or self._tensors[key].dtype not in INDEX_DTYPES)

    def _is_factor(self, key: str) -> bool:
        """Whether it is a scale or a zero point of one of the operators that work on integers."""
        tensor = self._tensors.get(key)
        return tensor is not None and (tensor.shape in ((), (1,)) or tensor.dtype == "float32")
