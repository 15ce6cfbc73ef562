"""Shapes and dtypes that an ONNX file leaves out, for the operators that image classifiers are made of.

Source: the operator documentation of the ONNX project. What cannot be told stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

from edgewise.runtime.graph import MAX_ELEMENTS, MAX_RANK, Node, Shape, Tensor, elements
from edgewise.runtime.onnx_constants import dtype_name

Tensors = Mapping[str, Tensor]
Rule = Callable[[Node, Tensors], "Shape | None"]


def inferred(nodes: Iterable[Node], tensors: Tensors) -> dict[str, Tensor]:
    """Fill in what is unknown, in the order of the nodes.

    Args:
        nodes: in an order in which they can be computed, as ONNX demands.
        tensors: what the file tells; its word stands.

    Returns:
        ``tensors`` and the first output of every node.
    """
    known = dict(tensors)
    for node in nodes:
        for position, key in enumerate(node.outputs):
            told = known.get(key)
            if not key or (told and told.shape is not None and told.dtype != "unknown"):
                continue
            shape = told.shape if told else None
            if shape is None and position == 0:
                shape = _shape(node, known)
            dtype = told.dtype if told and told.dtype != "unknown" else _dtype(node, known)
            known[key] = Tensor(key, shape, dtype)
    return known


def _dtype(node: Node, tensors: Tensors) -> str:
    if node.operator == "Cast":
        return dtype_name(_number(node, "to", 0))
    if node.operator in ("Shape", "Size", "ArgMax", "ArgMin", "NonZero"):
        return "int64"
    if node.operator in ("ConvInteger", "MatMulInteger"):
        return "int32"
    if node.operator in ("QuantizeLinear", "DynamicQuantizeLinear"):
        zero_point = tensors.get(node.inputs[2]) if len(node.inputs) > 2 else None
        return zero_point.dtype if zero_point else "uint8"
    # The scale of a DequantizeLinear has the dtype that comes out; all others give what they take.
    index = 1 if node.operator == "DequantizeLinear" else 0
    source = tensors.get(node.inputs[index]) if index < len(node.inputs) else None
    return source.dtype if source else "unknown"


def _shape(node: Node, tensors: Tensors) -> Shape | None:
    rule = _RULES.get(node.operator)
    if rule is None:
        return None
    try:
        shape = rule(node, tensors)
    except (IndexError, OverflowError, TypeError, ValueError, ZeroDivisionError):
        return None  # attributes or shapes that do not fit together: the file is wrong, or newer than this table
    if (
        shape is None
        or len(shape) > MAX_RANK
        or any(size is not None and not 0 <= size < MAX_ELEMENTS for size in shape)
    ):
        return None
    return shape


def _of(node: Node, tensors: Tensors, index: int = 0) -> Shape:
    """The shape of an input. Raises ValueError where it is unknown."""
    tensor = tensors.get(node.inputs[index])
    if tensor is None or tensor.shape is None:
        raise ValueError(node.inputs[index])
    return tensor.shape


def _list(node: Node, name: str, default: int, count: int) -> tuple[int, ...]:
    value = node.attributes.get(name)
    return value if isinstance(value, tuple) else (default,) * count


def _number(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    return value if isinstance(value, int) else default


def _same(node: Node, tensors: Tensors) -> Shape:
    return _of(node, tensors)


def _broadcast(node: Node, tensors: Tensors) -> Shape:
    shapes = [reversed(_of(node, tensors, index)) for index in range(len(node.inputs))]
    together = []
    for sizes in zip_longest(*shapes, fillvalue=1):
        larger = {size for size in sizes if size != 1}
        together.append(larger.pop() if len(larger) == 1 else None if larger else 1)
    return tuple(reversed(together))


def _windows(node: Node, tensors: Tensors) -> Shape:
    """Of a convolution or pooling."""
    shape, weights = _of(node, tensors), None
    if "Conv" in node.operator:
        weights = _of(node, tensors, 3 if node.operator == "QLinearConv" else 1)
    window = weights[2:] if weights else _list(node, "kernel_shape", 1, 0)
    count = len(shape) - 2
    strides, dilations = (_list(node, name, 1, count) for name in ("strides", "dilations"))
    pads, auto = _list(node, "pads", 0, 2 * count), node.attributes.get("auto_pad", "NOTSET")
    sizes: list[int | None] = []
    for axis, size in enumerate(shape[2:]):
        reach = window[axis]
        if size is None or reach is None:
            sizes.append(None)
            continue
        span = size - (reach - 1) * dilations[axis] - 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            sizes.append(-(-size // strides[axis]))
            continue
        span += pads[axis] + pads[axis + count] if auto == "NOTSET" else 0
        steps = -(-span // strides[axis]) if _number(node, "ceil_mode", 0) else span // strides[axis]
        sizes.append(steps + 1)
    return (shape[0], weights[0] if weights else shape[1], *sizes)


def _global_pool(node: Node, tensors: Tensors) -> Shape:
    shape = _of(node, tensors)
    return (*shape[:2], *(1 for _ in shape[2:]))


def _gemm(node: Node, tensors: Tensors) -> Shape:
    left, right = _of(node, tensors), _of(node, tensors, 1)
    return (left[_number(node, "transA", 0)], right[1 - _number(node, "transB", 0)])


def _matmul(node: Node, tensors: Tensors) -> Shape:
    left, right = _of(node, tensors), _of(node, tensors, 3 if node.operator == "QLinearMatMul" else 1)
    if len(right) == 1:
        return left[:-1]
    longer = left[:-2] if len(left) >= len(right) else right[:-2]
    return (*longer, *left[:-1][-1:], right[-1])


def _concat(node: Node, tensors: Tensors) -> Shape:
    shapes = [_of(node, tensors, index) for index in range(len(node.inputs))]
    axis = _number(node, "axis", 0) % len(shapes[0])
    parts = [shape[axis] for shape in shapes]
    size = None if None in parts else sum(part for part in parts if part is not None)
    return (*shapes[0][:axis], size, *shapes[0][axis + 1 :])


def _transpose(node: Node, tensors: Tensors) -> Shape:
    shape = _of(node, tensors)
    order = node.attributes.get("perm")
    return tuple(shape[axis] for axis in order) if isinstance(order, tuple) else shape[::-1]


def _flatten(node: Node, tensors: Tensors) -> Shape:
    shape, axis = _of(node, tensors), _number(node, "axis", 1)
    return (shape[0] if axis == 1 else elements(shape[:axis]), elements(shape[axis:]))


def _reshape(node: Node, tensors: Tensors) -> Shape | None:
    source, wanted = _of(node, tensors), _whole(tensors.get(node.inputs[1]))
    if wanted is None:
        return None
    shape = [source[index] if size == 0 else size for index, size in enumerate(wanted)]
    if -1 in shape:
        at = shape.index(-1)
        # A batch of unknown size that is kept cancels out.
        kept = int(bool(source) and at != 0 and source[0] == shape[0])
        total, rest = elements(source[kept:]), elements(tuple(shape[kept:at] + shape[at + 1 :]))
        shape[at] = total // rest if total is not None and rest else None
    return tuple(shape)


def _reduce(node: Node, tensors: Tensors) -> Shape:
    shape, axes = _of(node, tensors), _axes(node, tensors)
    dropped = {axis % len(shape) for axis in axes} if axes else set(range(len(shape)))
    keep = node.operator.startswith("Reduce") and _number(node, "keepdims", 1)
    if node.operator == "Squeeze" and not axes:
        dropped = {axis for axis, size in enumerate(shape) if size == 1}
    return tuple(1 if axis in dropped else size for axis, size in enumerate(shape) if keep or axis not in dropped)


def _unsqueeze(node: Node, tensors: Tensors) -> Shape:
    shape, axes = _of(node, tensors), _axes(node, tensors)
    rank = len(shape) + len(axes)
    added, rest = {axis % rank for axis in axes}, iter(shape)
    return tuple(1 if axis in added else next(rest, None) for axis in range(rank))


def _pad(node: Node, tensors: Tensors) -> Shape | None:
    shape = _of(node, tensors)
    pads = _whole(tensors.get(node.inputs[1])) if len(node.inputs) > 1 else _list(node, "pads", 0, 2 * len(shape))
    if pads is None or len(pads) != 2 * len(shape):
        return None
    around = zip(shape, pads, pads[len(shape) :], strict=False)
    return tuple(None if size is None else size + before + after for size, before, after in around)


def _axes(node: Node, tensors: Tensors) -> tuple[int, ...]:
    """From the second input, as newer files have them, or from the attribute."""
    told = _whole(tensors.get(node.inputs[1])) if len(node.inputs) > 1 else None
    return told if told is not None else _list(node, "axes", 0, 0)


def _whole(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None or tensor.values is None else tuple(int(value) for value in tensor.values)


_SAME = (
    *("BatchNormalization", "Cast", "Clip", "DequantizeLinear", "Dropout", "Elu", "Erf", "Exp", "HardSigmoid"),
    *("HardSwish", "Identity", "LeakyRelu", "LogSoftmax", "LRN", "Neg", "QuantizeLinear", "Relu", "Sigmoid"),
    *("Softmax", "Sqrt", "Tanh", "LayerNormalization", "Gelu", "Mish"),
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"), _broadcast),
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool"), _windows),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"), _global_pool),
    **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceSum", "Squeeze"), _reduce),
    "Concat": _concat,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Pad": _pad,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
