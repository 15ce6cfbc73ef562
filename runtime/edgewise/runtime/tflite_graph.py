"""The graph of a TFLite file, read without loading it.

Source of the field numbers: schema.fbs of TensorFlow Lite, schema version 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from edgewise.runtime.flatbuffer import Table
from edgewise.runtime.graph import (
    BITS,
    INDEX_DTYPES,
    MAX_ELEMENTS,
    MAX_RANK,
    Graph,
    Node,
    Quantization,
    Shape,
    Tensor,
    elements,
)
from edgewise.runtime.onnxfile import EXPECTED, EXPORT_AGAIN, MAX_FIELDS
from edgewise.runtime.protobuf import Budget, WireError
from edgewise.spec import ModelError

_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # of the model
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3  # of a subgraph
_CUSTOM = "CUSTOM"
_NO_TENSOR = -1  # an optional input that is left out
_SPELLED = {"string": "text", "float8_e4m3fn": "float8", "float8_e5m2": "float8"}


def tflite_graph(content: bytes, name: str) -> Graph:
    """Read the main graph of a TFLite file.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: not a TFLite file, damaged, or made to take for ever.
    """
    try:
        return _Reader(memoryview(content)).graph()
    except WireError as error:
        raise ModelError(f"{name} is not a readable TFLite file: {error}", EXPECTED, EXPORT_AGAIN) from error


@cache
def _names(enumeration: str) -> dict[int, str]:
    """What the members of an enumeration of the schema are called."""
    # Generated code of 18,000 lines: it is loaded only when a TFLite file is looked at.
    from ai_edge_litert import schema_py_generated

    members: dict[str, Any] = vars(getattr(schema_py_generated, enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int) and not name.startswith("_")}


@dataclass(frozen=True)
class _Stored:
    """A tensor and the number of the buffer that holds it; 0 and empty buffers are activations."""

    tensor: Tensor
    buffer: int


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._model = Table.root(data, Budget(MAX_FIELDS))

    def graph(self) -> Graph:
        buffers = [self._buffer(table) for table in self._model.tables(_BUFFERS)]
        codes = [_operator(table) for table in self._model.tables(_CODES)]
        subgraphs = list(self._model.tables(_SUBGRAPHS))
        if not subgraphs:
            raise WireError("it holds no graph")
        main, more = subgraphs[0], len(subgraphs) - 1
        stored = [_tensor(table, buffers) for table in main.tables(_TENSORS)]
        produced: set[str] = set()
        nodes = []
        for table in main.tables(_OPERATORS):
            nodes.append(_node(table, codes, len(stored)))
            produced.update(nodes[-1].outputs)
        inputs, outputs = (_keys(main, field, len(stored)) for field in (_INPUTS, _OUTPUTS))
        used = {key for node in nodes for key in node.inputs} - {""} - produced - set(inputs)
        return Graph(
            nodes=tuple(nodes),
            tensors={str(index): each.tensor for index, each in enumerate(stored)},
            inputs=inputs,
            outputs=outputs,
            parameters=_parameters(used, stored),
            remarks=(f"{more} further graphs (bodies of loops and branches, other entries) are not counted",)
            if more
            else (),
        )

    def _buffer(self, table: Table) -> int:
        """Bytes of a buffer, wherever in the file it is."""
        _, size = table.span(0)
        offset, outside = table.number(1, "Q"), table.number(2, "Q")
        if offset <= 1:  # as the schema says: 0 and 1 mean that there is nothing behind the graph
            return size
        if offset + outside > len(self._data):
            raise WireError(f"a buffer of {outside} bytes at byte {offset} reaches past its end")
        return outside


def _operator(table: Table) -> str:
    # Codes above 127 are in the new field only, older files have the old one only.
    code = max(table.number(0, "b"), table.number(3, "i"))
    name = _names("BuiltinOperator").get(code, f"operator {code}")
    return table.text(1) or _CUSTOM if name == _CUSTOM else name


def _tensor(table: Table, buffers: list[int]) -> _Stored:
    number = table.number(1, "b")
    dtype = _names("TensorType").get(number, "unknown").lower()
    index = table.number(2, "I")
    if index >= len(buffers):
        raise WireError(f"a tensor is in buffer {index}, and there are {len(buffers)}")
    quantization, sparse = table.table(4), table.table(6)
    tensor = Tensor(
        name=table.text(3),
        shape=_shape(table),
        dtype=_SPELLED.get(dtype, dtype),
        quantization=_quantization(quantization) if quantization else None,
        constant=buffers[index] > 0,
        size=buffers[index],
    )
    if tensor.constant and not sparse:
        _check_size(tensor)
    return _Stored(tensor, index)


def _shape(table: Table) -> Shape:
    if max(table.count(0, 4), table.count(7, 4)) > MAX_RANK:
        raise WireError(f"a tensor has more than {MAX_RANK} dimensions")
    # The signature has -1 where the shape has 1 for any size.
    shape = table.numbers(7, "i") or table.numbers(0, "i")
    return tuple(int(size) if size >= 0 else None for size in shape)


def _check_size(tensor: Tensor) -> None:
    count, bits = elements(tensor.shape), BITS.get(tensor.dtype)
    if count is None or bits is None:
        return
    if count > MAX_ELEMENTS or (count * bits + 7) // 8 > tensor.size:
        raise WireError(f"a tensor of {count} numbers of {tensor.dtype} is in a buffer of {tensor.size} bytes")


def _quantization(table: Table) -> Quantization | None:
    channels = table.count(2, 4)
    if not channels:
        return None
    (scale,) = table.numbers(2, "f", most=1)
    zero_points = table.numbers(3, "q", most=1)
    return Quantization(scale if isfinite(scale) else None, int(zero_points[0]) if zero_points else 0, channels)


def _keys(table: Table, field: int, tensors: int) -> tuple[str, ...]:
    indices = [int(index) for index in table.numbers(field, "i")]
    for index in indices:
        if not _NO_TENSOR <= index < tensors:
            raise WireError(f"tensor {index} is asked for, and there are {tensors}")
    return tuple("" if index == _NO_TENSOR else str(index) for index in indices)


def _node(table: Table, codes: list[str], tensors: int) -> Node:
    code = table.number(0, "I")
    if code >= len(codes):
        raise WireError(f"operator {code} is asked for, and there are {len(codes)}")
    return Node(codes[code], "", _keys(table, 1, tensors), _keys(table, 2, tensors))


def _parameters(used: set[str], stored: list[_Stored]) -> tuple[str, ...]:
    """The constants that are weights, each buffer once: whole numbers without a scale are axes and shapes."""
    chosen: dict[int, str] = {}
    for key in sorted(used, key=int):
        tensor, buffer = stored[int(key)].tensor, stored[int(key)].buffer
        if tensor.constant and (tensor.dtype not in INDEX_DTYPES or tensor.quantization):
            chosen.setdefault(buffer, key)
    return tuple(chosen.values())
