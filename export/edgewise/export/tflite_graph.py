"""A network written as a TFLite file, step by step, in floats or in integers.

Source: the TFLite operator semantics and the 8-bit quantization specification,
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.plain import Activation, Network, Operator, Step, Window
from edgewise.export.quantization import Numerics
from edgewise.export.tflite_file import Codes, schema
from edgewise.export.tflite_numbers import Numbers

INPUT, OUTPUT = "pixels", "probabilities"
"""Names of the input and the output in TFLite files."""

FLOAT32 = Numerics()

_FUSED = {
    Activation.LINEAR: schema.ActivationFunctionType.NONE,
    Activation.RELU: schema.ActivationFunctionType.RELU,
    Activation.RELU6: schema.ActivationFunctionType.RELU6,
}

_ALONE = {
    Activation.RELU: Codes.RELU,
    Activation.RELU6: Codes.RELU6,
    Activation.SIGMOID: Codes.LOGISTIC,
    Activation.HARD_SWISH: Codes.HARD_SWISH,
}


def tflite_graph(network: Network, numerics: Numerics = FLOAT32) -> bytes:
    """Write a network as TFLite.

    With int8 weights but no ranges, convolutions are hybrid: their kernels bring what they take to 8 bits as they run.
    XNNPACK has no such kernel for depthwise convolutions, which get their weights as floats when the file is loaded.
    With 16 bits, hard swish computes in floats, because it has no kernel for them.

    Args:
        network: what to write.
        numerics: in which numbers.

    Returns:
        A flatbuffer from uint8 ``(1, rows, columns, 3)`` to float32 ``(1, classes)``; the batch may be changed.
    """
    return _Writer(network, numerics).content()


class _Writer:
    def __init__(self, network: Network, numerics: Numerics) -> None:
        self._network = network
        self._numbers = Numbers(network, numerics, OUTPUT)

    def content(self) -> bytes:
        numbers = self._numbers
        pixels = numbers.pixels(INPUT)
        for step in self._network.steps[1:]:
            _WRITERS[step.operator](self, step)
        return numbers.file.content([pixels], [numbers.probabilities()])

    def convolution(self, step: Step) -> None:
        assert step.window is not None
        options = schema.Conv2DOptionsT()
        self._window(options, step)
        self._weighted(step, Codes.CONV_2D, options, lambda kernel: kernel.transpose(3, 0, 1, 2), axis=0)

    def depthwise(self, step: Step) -> None:
        assert step.kernel is not None
        rows, columns, _, multiplier = step.kernel.shape
        options = schema.DepthwiseConv2DOptionsT()
        self._window(options, step)
        options.depthMultiplier = multiplier
        self._weighted(
            step, Codes.DEPTHWISE_CONV_2D, options, lambda kernel: kernel.reshape(1, rows, columns, -1), axis=3
        )

    def _window(self, options: Any, step: Step) -> None:
        assert step.window is not None
        options.padding = schema.Padding.SAME if step.window.same else schema.Padding.VALID
        options.strideH, options.strideW = step.window.strides
        options.dilationHFactor, options.dilationWFactor = step.window.dilation

    def dense(self, step: Step) -> None:
        self._weighted(
            step, Codes.FULLY_CONNECTED, schema.FullyConnectedOptionsT(), lambda kernel: kernel.transpose(), axis=0
        )

    def _weighted(
        self, step: Step, code: int, options: Any, layout: Callable[[NDArray[Any]], NDArray[Any]], axis: int
    ) -> None:
        numbers = self._numbers
        options.fusedActivationFunction = _FUSED[step.activation]
        inputs = [numbers.take(step, step.inputs[0]), *numbers.weights(step, layout, axis)]
        numbers.operator(step, code, inputs, options)

    def pool(self, step: Step) -> None:
        assert step.window is not None
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.SAME if step.window.same else schema.Padding.VALID
        options.strideH, options.strideW = step.window.strides
        options.filterHeight, options.filterWidth = step.window.size
        code = Codes.MAX_POOL_2D if step.operator is Operator.MAX_POOL else Codes.AVERAGE_POOL_2D
        self._plain(step, code, options)

    def mean(self, step: Step) -> None:
        options = schema.ReducerOptionsT()
        options.keepDims = len(step.shape) == 3
        self._plain(step, Codes.MEAN, options, np.array([1, 2], np.int32))

    def concatenation(self, step: Step) -> None:
        options = schema.ConcatenationOptionsT()
        options.axis = 3 if len(step.shape) == 3 else 1
        self._plain(step, Codes.CONCATENATION, options)

    def addition(self, step: Step) -> None:
        options = schema.AddOptionsT()
        options.fusedActivationFunction = _FUSED[step.activation]
        options.potScaleInt16 = False  # any scale
        self._plain(step, Codes.ADD, options)

    def multiplication(self, step: Step) -> None:
        self._plain(step, Codes.MUL, schema.MulOptionsT())

    def scaling(self, step: Step) -> None:
        """On floats, two operators on constants, those that change something."""
        numbers, (before,) = self._numbers, step.inputs
        assert step.kernel is not None
        assert step.bias is not None
        if numbers.whole(step):
            self.depthwise(_as_depthwise(step))
            return
        tensor = numbers.take(step, before)
        parts = [
            (Codes.MUL, schema.MulOptionsT(), step.kernel, 1, "factor"),
            (Codes.ADD, schema.AddOptionsT(), step.bias, 0, "offset"),
        ]
        used = [part for part in parts if (part[2] != part[3]).any()]
        if not used:
            numbers.stand_for(step, tensor)
        for number, (code, options, values, _, name) in enumerate(used):
            constant = numbers.floats(f"{step.name}/{name}", values)
            if number == len(used) - 1:
                numbers.operator(step, code, [tensor, constant], options)
            else:
                tensor = numbers.inner(step, code, [tensor, constant], options, name)

    def padding(self, step: Step) -> None:
        top, bottom, left, right = step.padding
        self._plain(
            step, Codes.PAD, schema.PadOptionsT(), np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        )

    def reshape(self, step: Step) -> None:
        shape = np.array([-1, *step.shape], np.int32)
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        self._plain(step, Codes.RESHAPE, options, shape)

    def softmax(self, step: Step) -> None:
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        self._plain(step, Codes.SOFTMAX, options)

    def activation(self, step: Step) -> None:
        numbers = self._numbers
        tensor = numbers.take(step, step.inputs[0])
        if step.activation is Activation.SWISH:
            gate = numbers.inner(step, Codes.LOGISTIC, [tensor], None, "sigmoid")
            numbers.operator(step, Codes.MUL, [tensor, gate], schema.MulOptionsT())
        else:
            code = _ALONE[step.activation]
            options = schema.HardSwishOptionsT() if step.activation is Activation.HARD_SWISH else None
            numbers.operator(step, code, [tensor], options)

    def _plain(self, step: Step, code: int, options: Any, constant: NDArray[np.int32] | None = None) -> None:
        numbers = self._numbers
        inputs = [numbers.take(step, name) for name in step.inputs]
        if constant is not None:
            inputs.append(numbers.file.constant(f"{step.name}/by", constant))
        numbers.operator(step, code, inputs, options)


def _as_depthwise(step: Step) -> Step:
    """A scaling as a convolution of one place, whose int8 kernel has a scale for each channel and so is exact."""
    assert step.kernel is not None
    assert step.bias is not None
    kernel, bias = (np.broadcast_to(values, step.channels) for values in (step.kernel, step.bias))
    return replace(
        step, operator=Operator.DEPTHWISE, kernel=kernel.reshape(1, 1, -1, 1), bias=bias, window=Window((1, 1))
    )


_WRITERS: dict[Operator, Callable[[_Writer, Step], None]] = {
    Operator.CONVOLUTION: _Writer.convolution,
    Operator.DEPTHWISE: _Writer.depthwise,
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
