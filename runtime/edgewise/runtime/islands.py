"""Which nodes of a quantized network work in float, and so cost what quantization was to save."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgewise.runtime.graph import FLOATS, INTEGERS, Graph, Node

_CONVERTING = frozenset(
    (
        "QUANTIZE",
        "DEQUANTIZE",
        "CAST",
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Cast",
        "Constant",
    )
)
_MOVING = frozenset(
    (
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SHAPE", "SLICE", "STRIDED_SLICE", "PACK", "UNPACK"),
        *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Identity", "Shape", "Slice", "Dropout"),
    )
)
_CLIPPING = frozenset(("Relu", "Clip"))
"""ONNX Runtime makes these part of the quantization that follows them."""

_BOUNDS = frozenset(("Clip", "Resize", "Pad"))
"""ONNX operators whose inputs after the first are settings and need not be quantized."""


class Arithmetic(str, Enum):
    """What the activations of a network are, for the most part."""

    INTEGER = "integer"
    FLOAT = "float"


@dataclass(frozen=True)
class Numerics:
    """How a network computes."""

    arithmetic: Arithmetic
    dtypes: tuple[str, ...]  # of its activations where nodes compute, the most frequent first
    islands: tuple[int, ...]  # indices of nodes that work in float although the network computes in integers


def numerics(graph: Graph) -> Numerics:
    """Tell whether a network computes in integers, and which of its nodes do not.

    A node of an ONNX network counts as quantized if all its inputs come from DequantizeLinear and its output goes to
    QuantizeLinear only, where nodes that only move numbers are looked through. Everything else goes by dtype.
    """
    flow = _Flow(graph)
    work = [index for index, node in enumerate(graph.nodes) if node.operator not in _CONVERTING | _MOVING]
    dtypes = {index: flow.dtype(graph.nodes[index]) for index in work}
    integer = [index for index in work if dtypes[index] in INTEGERS]
    counts: dict[str, int] = {}
    for dtype in dtypes.values():
        counts[dtype] = counts.get(dtype, 0) + 1
    ranked = tuple(sorted(counts, key=lambda dtype: -counts[dtype]))
    if not integer:
        return Numerics(Arithmetic.FLOAT, ranked, ())
    return Numerics(Arithmetic.INTEGER, ranked, tuple(index for index in work if dtypes[index] in FLOATS))


class _Flow:
    """Where tensors come from and go to; two passes over the nodes, in the order in which they can be computed."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._sources: dict[str, Node] = {}  # tensor -> who made it, through nodes that only move numbers
        takers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            source = self._sources.get(node.inputs[0]) if node.operator in _MOVING and node.inputs else node
            if source is not None:
                self._sources.update((key, source) for key in node.outputs if key)
            for key in node.inputs:
                takers.setdefault(key, []).append(node)
        self._answers: dict[int, str | None] = {}  # of `_dequantized`, by the id of the node
        self._quantized = self._find_quantized(takers)  # tensors that go to QuantizeLinear only

    def _find_quantized(self, takers: dict[str, list[Node]]) -> set[str]:
        outputs, seen, found = frozenset(self._graph.outputs), set[str](), set[str]()

        def fine(taker: Node) -> bool:
            passes = taker.operator in _MOVING | _CLIPPING and not found.isdisjoint(taker.outputs[:1])
            return taker.operator == "QuantizeLinear" or passes

        for node in reversed(self._graph.nodes):
            for key in node.outputs:
                if key in seen:
                    continue
                seen.add(key)
                if key in takers and key not in outputs and all(map(fine, takers[key])):
                    found.add(key)
        return found

    def dtype(self, node: Node) -> str:
        """What a node computes in: the dtype of its activations, or what they are dequantized from."""
        keys = [*node.outputs[:1], *(key for key in node.inputs if key and not self._is_constant(key))]
        if node.operator.startswith("QLinear") or node.operator.endswith("Integer"):
            return self._graph.dtype(keys[-1] if len(keys) < 2 else keys[1]) if keys else "unknown"
        key = next((key for key in keys if self._graph.dtype(key) in FLOATS | INTEGERS), "")
        dtype = self._graph.dtype(key)
        if dtype in FLOATS:
            return self._dequantized(node) or dtype
        # Whole numbers without a scale stand for themselves: pixels before they are converted, places, characters.
        scaled = key in self._graph.tensors and self._graph.tensors[key].quantization
        return dtype if scaled else "unknown"

    def _dequantized(self, node: Node) -> str | None:
        """The integers that a node between DequantizeLinear and QuantizeLinear stands for, None elsewhere."""
        if id(node) not in self._answers:
            self._answers[id(node)] = self._look_around(node)
        return self._answers[id(node)]

    def _look_around(self, node: Node) -> str | None:
        inputs = [key for key in (node.inputs[:1] if node.operator in _BOUNDS else node.inputs) if key]
        sources = [self._sources.get(key) for key in inputs]
        if not sources or not all(key in self._quantized for key in node.outputs if key):
            return None
        first = sources[0]
        if first and node.operator in _CLIPPING and first.operator not in _CLIPPING | _CONVERTING:
            return self._dequantized(first)
        if any(source is None or source.operator != "DequantizeLinear" for source in sources):
            return None
        return self._graph.dtype(first.inputs[0]) if first and first.inputs else None

    def _is_constant(self, key: str) -> bool:
        tensor = self._graph.tensors.get(key)
        return bool(tensor and tensor.constant)
