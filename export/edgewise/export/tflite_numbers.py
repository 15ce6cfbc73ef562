"""The numbers of a TFLite file: which steps work on integers, and where those and floats are turned into each other.

Source: the registration of LiteRT's kernels, and its tools/versioning/op_version.cc for the versions of operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.plain import SAME_SCALE, Activation, Network, Operator, Step
from edgewise.export.quantization import (
    Affine,
    Numerics,
    Weights,
    affine,
    quantized_bias,
    quantized_kernel,
)
from edgewise.export.tflite_file import Codes, TfliteFile, schema

SHARE_8_BITS, SHARE_16_BITS = Affine(1 / 256, -128), Affine(1 / 32768, 0)
"""What the kernels of sigmoid and softmax demand of their output."""

SMALL_KERNEL = 1024
"""Numbers of a kernel below which it stays in floats where activations are floats: it would save nothing, and the first
convolution, which is that small, makes half of all the noise."""

_VERSIONS: Mapping[int, tuple[int, int, int]] = {
    Codes.CONV_2D: (1, 3, 4),
    Codes.DEPTHWISE_CONV_2D: (1, 3, 5),
    Codes.FULLY_CONNECTED: (1, 4, 7),
    Codes.MAX_POOL_2D: (1, 2, 3),
    Codes.AVERAGE_POOL_2D: (1, 2, 3),
    Codes.MEAN: (1, 2, 3),
    Codes.CONCATENATION: (1, 2, 3),
    Codes.ADD: (1, 2, 3),
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

_HYBRID_VERSION = 5  # of a convolution of floats whose int8 kernel has a scale for each output channel
_DILATED_VERSION = 2  # of a depthwise convolution of floats
_GROWING_VERSION = 3  # of a multiplication of int8 whose output has finer steps than its inputs multiplied
_RESTORED_VERSIONS = {"int8": 5, "float16": 3}  # of DEQUANTIZE of weights; int8 with a scale for each channel


class Numbers:
    """Collects operators, and knows in which form each step's output is there."""

    def __init__(self, network: Network, numerics: Numerics, output: str) -> None:
        """See `tflite_graph`; ``output`` is the name of the tensor of the answers."""
        self.file = TfliteFile()
        self._network, self._numerics, self._title = network, numerics, output
        self._pixels = -1
        self._real: dict[str, int] = {}  # step -> the tensor of its output in floats
        self._integer: dict[str, int] = {}  # step -> the tensor of its output in integers

    def pixels(self, name: str) -> int:
        """The tensor of the input itself. It is turned into what steps take when one takes it."""
        # Among 8-bit integers, what comes in is a quantized tensor: its scale is 1 and its zero point 0.
        scale = None if self._numerics.ranges is None or self._wide else [1.0]
        self._pixels = self.file.tensor(name, (1, *self._network.input.shape), "uint8", scale, any_batch=True)
        return self._pixels

    def probabilities(self) -> int:
        """The tensor of the network's output as floats."""
        return self._floats(self._network.output)

    def take(self, step: Step, name: str) -> int:
        """The tensor that ``step`` works on, of the output of the step ``name``."""
        source = self._network.by_name[name]
        return self._integers(source) if self.whole(step) else self._floats(source)

    def operator(self, step: Step, code: int, inputs: Sequence[int], options: Any) -> None:
        """Add the operator that gives the output of ``step``."""
        if self.whole(step):
            self._integer[step.name] = output = self._tensor(step, step.name, self._form(step))
        else:
            title = self._title if step is self._network.output else step.name
            self._real[step.name] = output = self._tensor(step, title)
        self.file.operator(code, self._version(step, code, inputs, output), inputs, output, options)

    def stand_for(self, step: Step, tensor: int) -> None:
        """Say that a tensor of floats is the output of ``step``, which changes nothing."""
        self._real[step.name] = tensor

    def inner(self, step: Step, code: int, inputs: Sequence[int], options: Any, name: str) -> int:
        """Add an operator whose output only ``step`` itself uses: of integers it is a sigmoid."""
        output = self._tensor(step, f"{step.name}/{name}", self._share if self.whole(step) else None)
        self.file.operator(code, self._version(step, code, inputs, output), inputs, output, options)
        return output

    def weights(self, step: Step, layout: Callable[[NDArray[Any]], NDArray[Any]], axis: int) -> list[int]:
        """The tensors of kernel and bias; ``layout`` brings a kernel into TFLite's order, ``axis`` counts outputs."""
        assert step.kernel is not None
        assert step.bias is not None
        name, stored, scales = f"{step.name}/kernel", self._stored(step), None
        if stored is Weights.INT8:
            taken = self._taken(step).scale if self.whole(step) else None
            whole, scales = quantized_kernel(step, taken, self._numerics.bits)
            array = layout(whole)
        else:
            array = layout(step.kernel.astype(stored.value, copy=False))
        kernel = self.file.constant(name, array, scales, axis)
        if self.whole(step):
            assert scales is not None
            return [kernel, self._whole_bias(step, scales)]
        if stored is not Weights.FLOAT32 and not self._hybrid(step):
            kernel = self._restored(f"{name}/float", kernel, array)
        return [kernel, self.floats(f"{step.name}/bias", step.bias)]

    def floats(self, name: str, values: NDArray[np.float32]) -> int:
        """A constant of 32-bit floats."""
        return self.file.constant(name, values.astype(np.float32))

    def whole(self, step: Step) -> bool:
        """Whether a step works on integers."""
        if self._numerics.ranges is None or step.name in self._numerics.floats:
            return False
        if step.operator is Operator.SCALING and len(step.shape) != 3:  # it becomes a convolution
            return False
        if self._wide and step.activation is Activation.HARD_SWISH:  # which has no kernel for 16 bits
            return False
        if not _gives_shares(step) or self._range_form(step) == self._share:
            return True
        # What only moves the numbers about has the scale of the range, which is not the one that is demanded.
        return not any(each.operator in SAME_SCALE for each in self._network.takers[step.name])

    @property
    def _wide(self) -> bool:
        return self._numerics.bits == 16

    @property
    def _share(self) -> Affine:
        return SHARE_16_BITS if self._wide else SHARE_8_BITS

    def _form(self, step: Step) -> Affine:
        """How the output of ``step`` is stored in integers."""
        return self._share if _gives_shares(step) and self.whole(step) else self._range_form(step)

    def _range_form(self, step: Step) -> Affine:
        assert self._numerics.ranges is not None
        form = affine(self._numerics.ranges[step.name], self._numerics.bits)
        return form if self._wide else Affine(form.scale, form.zero_point - 128)

    def _tensor(self, step: Step, title: str, form: Affine | None = None) -> int:
        """A tensor of the shape of a step's output, of integers in the given form or of floats."""
        shape = (1, *step.shape)
        if form is None:
            return self.file.tensor(title, shape, "float32", any_batch=True)
        dtype = "int16" if self._wide else "int8"
        return self.file.tensor(title, shape, dtype, [form.scale], form.zero_point, any_batch=True)

    def _hybrid(self, step: Step) -> bool:
        """Whether a step takes floats and an int8 kernel: the interpreter rounds the floats for each picture."""
        if step.operator is not Operator.CONVOLUTION or self.whole(step):
            return False
        return self._stored(step) is Weights.INT8

    def _stored(self, step: Step) -> Weights:
        """How the kernel of a weighted step is in the file."""
        assert step.kernel is not None
        if self.whole(step):
            return Weights.INT8
        if self._numerics.ranges is not None or step.name in self._numerics.floats:
            return Weights.FLOAT32
        # A classifier is small, and old interpreters have no hybrid kernel for it.
        small = step.kernel.size < SMALL_KERNEL or step.operator is Operator.DENSE
        return Weights.FLOAT32 if small and self._numerics.weights is Weights.INT8 else self._numerics.weights

    def _restored(self, title: str, kernel: int, array: NDArray[Any]) -> int:
        """A kernel as floats, which it is turned into once, when the file is loaded."""
        output = self.file.tensor(title, array.shape, "float32")
        self.file.operator(
            Codes.DEQUANTIZE, _RESTORED_VERSIONS[array.dtype.name], [kernel], output, schema.DequantizeOptionsT()
        )
        return output

    def _whole_bias(self, step: Step, scales: NDArray[np.float32]) -> int:
        scale = self._taken(step).scale
        bias = quantized_bias(step, scale, scales, self._numerics.bits).astype(np.int64 if self._wide else np.int32)
        return self.file.constant(f"{step.name}/bias", bias, np.float32(scale) * scales)

    def _taken(self, step: Step) -> Affine:
        """The form of the integers that a step takes."""
        return self._form(self._network.by_name[step.inputs[0]])

    def _integers(self, step: Step) -> int:
        """The output of ``step`` in integers; quantized if it is there in floats."""
        if step.name not in self._integer:
            is_input = step is self._network.input
            source = self._pixels if is_input and not self._wide else self._floats(step)
            title = step.name if is_input else f"{step.name}/integers"
            self._integer[step.name] = output = self._tensor(step, title, self._form(step))
            self.file.operator(Codes.QUANTIZE, 2 if self._wide else 1, [source], output, schema.QuantizeOptionsT())
        return self._integer[step.name]

    def _floats(self, step: Step) -> int:
        """The output of ``step`` in floats; converted if it is there in integers."""
        if step.name in self._real:
            return self._real[step.name]
        title = self._title if step is self._network.output else f"{step.name}/float"
        self._real[step.name] = output = self._tensor(step, title)
        if step is self._network.input:
            options = schema.CastOptionsT()
            options.inDataType, options.outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
            self.file.operator(Codes.CAST, 1, [self._pixels], output, options)
        else:
            version = 3 if self._wide else 2
            source = self._integer[step.name]
            self.file.operator(Codes.DEQUANTIZE, version, [source], output, schema.DequantizeOptionsT())
        return output

    def _version(self, step: Step, code: int, inputs: Sequence[int], output: int) -> int:
        floats, small, wide = _VERSIONS[code]
        if not self.whole(step):
            if self._hybrid(step):
                return _HYBRID_VERSION
            dilated = step.operator is Operator.DEPTHWISE and step.window and step.window.dilation != (1, 1)
            return _DILATED_VERSION if dilated else floats
        if code == Codes.MUL and not self._wide:
            one, other, result = (self.file.scale(number) for number in (*inputs, output))
            return _GROWING_VERSION if one * other / result >= 1 else small
        return wide if self._wide else small


def _gives_shares(step: Step) -> bool:
    """Whether a step gives numbers from 0 to 1 by a kernel that demands a scale."""
    sigmoid = step.operator is Operator.ACTIVATION and step.activation is Activation.SIGMOID
    return sigmoid or step.operator is Operator.SOFTMAX
