"""A network written as an ONNX graph, step by step, in floats or with quantize-dequantize pairs (QDQ).

The pixels are brought into ONNX' channels-first layout once, in front; nothing is transposed after that.

Source: the operator specifications of ONNX, https://onnx.ai/onnx/operators/, operator set 17 (21 for 16-bit integers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.onnx_numbers import Numbers
from edgewise.export.plain import Activation, Network, Operator, Step, pads
from edgewise.export.quantization import Numerics
from edgewise.spec import ExtraMissingError

try:
    from onnx import TensorProto, helper
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnx") from error

OPSET, OPSET_16_BITS = 17, 21
"""ONNX operator sets of exported files: new enough for per-channel QDQ, old enough for the runtimes on boards; 16-bit
integers need the newer one."""

IR_VERSION, IR_VERSION_16_BITS = 8, 10
"""ONNX file format versions that belong to the operator sets."""

INPUT, OUTPUT = "pixels", "probabilities"
"""Names of the input and the output in ONNX files."""

FLOAT32 = Numerics()


def onnx_graph(network: Network, numerics: Numerics = FLOAT32, *, watched: Sequence[str] = ()) -> Any:
    """Write a network as ONNX.

    Args:
        network: what to write.
        numerics: in which numbers.
        watched: names of steps whose outputs the graph gives too, channels first, after the probabilities.

    Returns:
        An ``onnx.ModelProto`` from uint8 ``(batch, rows, columns, 3)`` to float32 ``(batch, classes)``, with any batch
        size.
    """
    return _Writer(network, numerics).model(watched)


class _Writer:
    def __init__(self, network: Network, numerics: Numerics) -> None:
        self._network = network
        self._numbers = Numbers(network, numerics)

    def model(self, watched: Sequence[str]) -> Any:
        for step in self._network.steps:
            _WRITERS[step.operator](self, step)
        numbers, (*shape, channels) = self._numbers, self._network.input.shape
        numbers.finish(self._network.output, OUTPUT)
        rows = ["batch", *shape, channels]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", self._network.output.channels])]
        outputs += [helper.make_tensor_value_info(numbers.watch(name), TensorProto.FLOAT, None) for name in watched]
        graph = helper.make_graph(
            numbers.nodes, self._network.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, rows)], outputs, numbers.constants,
        )  # fmt: skip
        wide = numbers.bits == 16
        return helper.make_model(
            graph, producer_name="edgewise", ir_version=IR_VERSION_16_BITS if wide else IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET_16_BITS if wide else OPSET)],
        )  # fmt: skip

    def entrance(self, step: Step) -> None:
        numbers = self._numbers
        # The integers that come in are the quantized tensor itself: its scale is 1 and its zero point 0.
        if numbers.takes_pixels_as_they_are:
            name = numbers.node("Transpose", [INPUT], f"{step.name}_first", perm=[0, 3, 1, 2])
            numbers.integers(step.name, name)
            return
        name = numbers.node("Cast", [INPUT], f"{step.name}_float", to=numbers.float_type)
        numbers.give(step, numbers.node("Transpose", [name], f"{step.name}_first", perm=[0, 3, 1, 2]))

    def convolution(self, step: Step) -> None:
        assert step.kernel is not None
        assert step.window is not None
        if step.operator is Operator.DEPTHWISE:
            # One group per channel; the filters of a channel follow each other in both worlds.
            rows, columns, channels, _ = step.kernel.shape
            groups = channels

            def layout(kernel: NDArray[Any]) -> NDArray[Any]:
                return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, rows, columns)
        else:
            groups = 1

            def layout(kernel: NDArray[Any]) -> NDArray[Any]:
                return kernel.transpose(3, 2, 0, 1)

        before = self._network.by_name[step.inputs[0]]
        self._weighted(
            step, "Conv", layout, axis=0, kernel_shape=step.window.size, strides=step.window.strides,
            dilations=step.window.dilation, group=groups, pads=pads(before.shape, step.window),
        )  # fmt: skip

    def dense(self, step: Step) -> None:
        self._weighted(step, "Gemm", lambda kernel: kernel, axis=1)

    def _weighted(self, step: Step, operator: str, layout: Callable[..., Any], axis: int, **options: Any) -> None:
        numbers = self._numbers
        inputs = [numbers.take(step, step.inputs[0]), *numbers.weights(step, layout, axis)]
        name = numbers.node(operator, inputs, f"{step.name}_{operator.lower()}", **options)
        numbers.give(step, self._activated(step, name))

    def pool(self, step: Step) -> None:
        # An average leaves out what lies outside of the picture in both worlds: count_include_pad is 0 by default.
        assert step.window is not None
        before = self._network.by_name[step.inputs[0]]
        self._plain(
            step, "MaxPool" if step.operator is Operator.MAX_POOL else "AveragePool", kernel_shape=step.window.size,
            strides=step.window.strides, pads=pads(before.shape, step.window),
        )  # fmt: skip

    def mean(self, step: Step) -> None:
        numbers = self._numbers
        name = numbers.node("GlobalAveragePool", [numbers.take(step, step.inputs[0])], f"{step.name}_mean")
        if len(step.shape) == 1:
            name = numbers.node("Flatten", [name], f"{step.name}_flat")
        numbers.give(step, name)

    def reshape(self, step: Step) -> None:
        shape = self._numbers.constant(f"{step.name}_shape", np.array([0, -1, 1, 1], np.int64))
        self._plain(step, "Reshape", shape)

    def padding(self, step: Step) -> None:
        top, bottom, left, right = step.padding
        amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        self._plain(step, "Pad", self._numbers.constant(f"{step.name}_pads", amounts))

    def scaling(self, step: Step) -> None:
        numbers = self._numbers
        name = numbers.take(step, step.inputs[0])
        for operator, values, nothing in (("Mul", step.kernel, 1), ("Add", step.bias, 0)):
            assert values is not None
            if (values != nothing).any():
                shape = (-1, 1, 1) if len(step.shape) == 3 else (-1,)
                by = numbers.floats(f"{step.name}_{operator.lower()}_by", values.reshape(shape))
                name = numbers.node(operator, [name, by], f"{step.name}_{operator.lower()}")
        numbers.give(step, name)

    def addition(self, step: Step) -> None:
        numbers = self._numbers
        inputs = [numbers.take(step, name) for name in step.inputs]
        numbers.give(step, self._activated(step, numbers.node("Add", inputs, f"{step.name}_sum")))

    def multiplication(self, step: Step) -> None:
        self._plain(step, "Mul")

    def concatenation(self, step: Step) -> None:
        self._plain(step, "Concat", axis=1)

    def softmax(self, step: Step) -> None:
        self._plain(step, "Softmax", axis=-1)

    def activation(self, step: Step) -> None:
        numbers = self._numbers
        numbers.give(step, self._activated(step, numbers.take(step, step.inputs[0])))

    def _plain(self, step: Step, operator: str, *more: str, **options: Any) -> None:
        numbers = self._numbers
        inputs = [numbers.take(step, name) for name in step.inputs]
        numbers.give(step, numbers.node(operator, [*inputs, *more], f"{step.name}_{operator.lower()}", **options))

    def _activated(self, step: Step, name: str) -> str:
        numbers, kind = self._numbers, step.activation
        if kind is Activation.LINEAR:
            return name
        if kind is Activation.RELU6:
            bounds = [numbers.floats(f"{step.name}_{end}", np.array(end, np.float32)) for end in (0, 6)]
            return numbers.node("Clip", [name, *bounds], f"{step.name}_clip")
        operator = {Activation.RELU: "Relu", Activation.HARD_SWISH: "HardSwish"}.get(kind, "Sigmoid")
        output = numbers.node(operator, [name], f"{step.name}_{operator.lower()}")
        if kind is not Activation.SWISH:
            return output
        return numbers.node("Mul", [name, numbers.gate(step, output)], f"{step.name}_swish")


_WRITERS: dict[Operator, Callable[[_Writer, Step], None]] = {
    Operator.INPUT: _Writer.entrance,
    Operator.CONVOLUTION: _Writer.convolution,
    Operator.DEPTHWISE: _Writer.convolution,
    Operator.DENSE: _Writer.dense,
    Operator.MAX_POOL: _Writer.pool,
    Operator.AVERAGE_POOL: _Writer.pool,
    Operator.MEAN: _Writer.mean,
    Operator.CONCATENATION: _Writer.concatenation,
    Operator.ADDITION: _Writer.addition,
    Operator.MULTIPLICATION: _Writer.multiplication,
    Operator.SCALING: _Writer.scaling,
    Operator.PADDING: _Writer.padding,
    Operator.ACTIVATION: _Writer.activation,
    Operator.RESHAPE: _Writer.reshape,
    Operator.SOFTMAX: _Writer.softmax,
}
