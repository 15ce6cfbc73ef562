"""The numbers of a TFLite file: which steps work on integers, and where those and floats are turned into each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.plain import Network, Operator, Step
from edgewise.export.quantization import Affine, Numerics, Weights, affine, quantized_bias, quantized_kernel
from edgewise.export.tflite_file import Codes, TfliteFile, schema

_VERSIONS: Mapping[int, tuple[int, int, int]] = {
    Codes.CONV_2D: (1, 3, 4),
    Codes.DEPTHWISE_CONV_2D: (1, 3, 5),
    Codes.FULLY_CONNECTED: (1, 4, 7),
    Codes.MAX_POOL_2D: (1, 2, 3),
    Codes.AVERAGE_POOL_2D: (1, 2, 3),
    Codes.MEAN: (1, 2, 3),
    Codes.CONCATENATION: (1, 2, 3),
    Codes.ADD: (1, 2, 4),
    Codes.MUL: (1, 2, 4),
    Codes.PAD: (1, 2, 3),
    Codes.SOFTMAX: (1, 2, 3),
    Codes.LOGISTIC: (1, 2, 3),
    Codes.RELU: (1, 2, 3),
    Codes.RELU6: (1, 2, 3),
    Codes.RESHAPE: (1, 1, 1),
    Codes.HARD_SWISH: (1, 1, 1),
}
"""Versions of the operators on floats, on int8 and on int16."""

_HYBRID: Mapping[Operator, int] = {Operator.CONVOLUTION: 5, Operator.DEPTHWISE: 6}
"""Versions of the operators that take floats and an int8 kernel with a scale per channel. A classifier keeps floats:
it is small, and old interpreters have no such kernel for it."""

_FLOAT_FOR_16_BITS = (
    *(Operator.SOFTMAX, Operator.SCALING, Operator.MULTIPLICATION, Operator.DEPTHWISE, Operator.MEAN),
    *(Operator.ACTIVATION, Operator.PADDING, Operator.RESHAPE),
)
"""Steps without a kernel for 16 bits that every interpreter has: they work on floats."""


class Numbers:
    """Collects operators, and knows in which form each step's output is there."""

    def __init__(self, network: Network, numerics: Numerics) -> None:
        self.file = TfliteFile()
        self._network, self._numerics = network, numerics
        self._real: dict[str, int] = {}  # step -> the tensor of its output in floats
        self._integer: dict[str, int] = {}  # step -> the tensor of its output in integers

    def pixels(self, name: str) -> int:
        """The input, turned into what the first step takes; gives the tensor of the input itself."""
        step = self._network.input
        shape = (1, *step.shape)
        if self._numerics.ranges is None or self._numerics.bits == 16:
            given = self.file.tensor(name, shape, "uint8", any_batch=True)
            self._real[step.name] = self.file.tensor(f"{step.name}/float", shape, "float32", any_batch=True)
            options = schema.CastOptionsT()
            options.inDataType, options.outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
            self.file.operator(Codes.CAST, 1, [given], self._real[step.name], options)
            return given
        given = self.file.tensor(name, shape, "uint8", [1.0], any_batch=True)
        self._integer[step.name] = self.file.tensor(step.name, shape, "int8", [1.0], -128, any_batch=True)
        self.file.operator(Codes.QUANTIZE, 1, [given], self._integer[step.name], schema.QuantizeOptionsT())
        return given

    def probabilities(self, name: str) -> int:
        """The tensor of the network's output as floats."""
        step = self._network.output
        if step.name not in self._real:
            return self._dequantized(step.name, name)
        self.file.rename(self._real[step.name], name)
        return self._real[step.name]

    def take(self, step: Step, name: str) -> int:
        """The tensor that ``step`` works on, of the output of the step ``name``."""
        if self.whole(step):
            return self._quantized(name)
        return self._real[name] if name in self._real else self._dequantized(name, f"{name}/float")

    def operator(self, step: Step, code: int, inputs: Sequence[int], options: Any) -> None:
        """Add the operator that gives the output of ``step``."""
        whole = self.whole(step)
        shape = (1, *step.shape)
        if whole:
            form, dtype = self._form(step.name)
            output = self.file.tensor(step.name, shape, dtype, [form.scale], form.zero_point, any_batch=True)
            self._integer[step.name] = output
        else:
            output = self._real[step.name] = self.file.tensor(step.name, shape, "float32", any_batch=True)
        self.file.operator(code, self._version(code, step), inputs, output, options)

    def inner(self, step: Step, code: int, inputs: Sequence[int], options: Any, name: str) -> int:
        """Add an operator whose output only ``step`` itself uses: a sigmoid, or floats."""
        shape = (1, *step.shape)
        if self.whole(step):
            # TFLite demands this scale of a sigmoid.
            output = self.file.tensor(f"{step.name}/{name}", shape, "int8", [1 / 256], -128, any_batch=True)
        else:
            output = self.file.tensor(f"{step.name}/{name}", shape, "float32", any_batch=True)
        self.file.operator(code, self._version(code, step), inputs, output, options)
        return output

    def weights(self, step: Step, layout: Callable[[NDArray[Any]], NDArray[Any]], axis: int) -> list[int]:
        """The tensors of kernel and bias; ``layout`` brings a kernel into TFLite's order, ``axis`` counts outputs."""
        assert step.kernel is not None
        assert step.bias is not None
        name = f"{step.name}/kernel"
        stored = Weights.FLOAT32 if step.name in self._numerics.floats else self._numerics.weights
        if stored is Weights.FLOAT16:
            half = self.file.constant(f"{name}/half", layout(step.kernel.astype(np.float16)))
            kernel = self._restored(name, layout(step.kernel).shape, half)
        elif stored is Weights.INT8 and (self.whole(step) or self._hybrid(step)):
            whole, scales = quantized_kernel(step)
            kernel = self.file.constant(name, layout(whole), scales, axis)
            if self.whole(step):
                return [kernel, self._whole_bias(step, scales)]
        else:
            kernel = self.file.constant(name, layout(step.kernel))
        return [kernel, self.file.constant(f"{step.name}/bias", step.bias.astype(np.float32))]

    def floats(self, name: str, values: NDArray[np.float32]) -> int:
        """A constant of 32-bit floats."""
        return self.file.constant(name, values.astype(np.float32))

    def whole(self, step: Step) -> bool:
        """Whether a step works on integers."""
        if self._numerics.ranges is None or step.name in self._numerics.floats:
            return False
        if self._numerics.bits == 16:
            return step.operator not in _FLOAT_FOR_16_BITS
        return step.operator is not Operator.SCALING

    def _whole_bias(self, step: Step, scales: NDArray[np.float32]) -> int:
        form, _ = self._form(step.inputs[0])
        bias = quantized_bias(step, form.scale, scales)
        kind = np.int64 if self._numerics.bits == 16 else np.int32
        return self.file.constant(f"{step.name}/bias", bias.astype(kind), np.float32(form.scale) * scales)

    def _form(self, name: str) -> tuple[Affine, str]:
        """How the output of the step ``name`` is stored in integers."""
        assert self._numerics.ranges is not None
        form = affine(self._numerics.ranges[name], self._numerics.bits)
        if self._numerics.bits == 16:
            return form, "int16"
        return Affine(form.scale, form.zero_point - 128), "int8"

    def _quantized(self, name: str) -> int:
        if name not in self._integer:
            form, dtype = self._form(name)
            shape = (1, *self._network.by_name[name].shape)
            self._integer[name] = self.file.tensor(
                f"{name}/integers", shape, dtype, [form.scale], form.zero_point, any_batch=True
            )
            version = 1 if dtype == "int8" else 2
            self.file.operator(
                Codes.QUANTIZE, version, [self._real[name]], self._integer[name], schema.QuantizeOptionsT()
            )
        return self._integer[name]

    def _dequantized(self, name: str, title: str) -> int:
        shape = (1, *self._network.by_name[name].shape)
        self._real[name] = self.file.tensor(title, shape, "float32", any_batch=True)
        version = 2 if self._numerics.bits == 8 else 3
        self.file.operator(
            Codes.DEQUANTIZE, version, [self._integer[name]], self._real[name], schema.DequantizeOptionsT()
        )
        return self._real[name]

    def _hybrid(self, step: Step) -> bool:
        """Whether a step takes floats and an int8 kernel: the interpreter rounds the floats for each picture."""
        return self._numerics.ranges is None and self._numerics.weights is Weights.INT8 and step.operator in _HYBRID

    def _restored(self, name: str, shape: tuple[int, ...], half: int) -> int:
        """A constant of 16-bit floats as 32-bit ones, turned when the file is loaded."""
        output = self.file.tensor(f"{name}/float", shape, "float32")
        self.file.operator(Codes.DEQUANTIZE, 3, [half], output, schema.DequantizeOptionsT())
        return output

    def _version(self, code: int, step: Step) -> int:
        floats, small, wide = _VERSIONS[code]
        if self._hybrid(step):
            return _HYBRID[step.operator]
        if not self.whole(step):
            return floats
        return wide if self._numerics.bits == 16 else small
