"""The numbers of an ONNX graph: which steps work on integers, and where integers and floats are turned into each other.

In the QDQ form every operator is written on floats, and a pair of QuantizeLinear and DequantizeLinear between two
operators says which integers stand for them; a runtime that can compute on the integers itself does so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.plain import Network, Step
from edgewise.export.quantization import (
    PROBABILITIES,
    Numerics,
    Range,
    Weights,
    affine,
    quantized_bias,
    quantized_kernel,
)
from edgewise.spec import ExtraMissingError

try:
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnx") from error


class Numbers:
    """Collects nodes and constants, and knows in which form each tensor is there."""

    def __init__(self, network: Network, numerics: Numerics) -> None:
        self._network, self._numerics = network, numerics
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._real: dict[str, str] = {}  # step -> its output in floats, as computed
        self._integer: dict[str, str] = {}  # step -> its output in integers
        self._restored: dict[str, str] = {}  # step -> floats made from the integers
        self._scales: dict[str, list[str]] = {}  # step, or gate -> its scale and zero point

    @property
    def bits(self) -> int:
        """Of the activations: 8, 16 or 32."""
        return self._numerics.bits if self._numerics.ranges is not None else 32

    @property
    def takes_pixels_as_they_are(self) -> bool:
        """Whether the uint8 input needs no change of type."""
        return self.bits == 8 and self._network.input.name not in self._numerics.floats

    @property
    def float_type(self) -> int:
        """ONNX' number of the type that floats have."""
        half = self._numerics.weights is Weights.FLOAT16
        return int(TensorProto.FLOAT16 if half else TensorProto.FLOAT)

    def take(self, step: Step, name: str) -> str:
        """The tensor that ``step`` computes from, of the output of the step ``name``; always floats by type."""
        if self._whole(step) or name not in self._real:
            self._quantize(name)
            return self._dequantized(name)
        return self._real[name]

    def give(self, step: Step, tensor: str) -> None:
        """Say that ``tensor`` is the output of ``step``, as floats."""
        self._real[step.name] = tensor
        if self._whole(step) and step is not self._network.output:
            self._quantize(step.name)
            del self._real[step.name]  # the integers are the truth

    def integers(self, name: str, tensor: str) -> None:
        """Say that ``tensor`` is the output of the step ``name``, as integers."""
        self._integer[name] = tensor

    def gate(self, step: Step, tensor: str) -> str:
        """A sigmoid that only ``step`` itself uses, as floats; rounded as TFLite does where the step is in integers."""
        if not self._whole(step):
            return tensor
        bounds = PROBABILITIES if self.bits == 8 else (0.0, 1.0)
        integers = self._pair("QuantizeLinear", tensor, tensor, bounds)
        return self._pair("DequantizeLinear", integers, tensor, bounds)

    def watch(self, name: str) -> str:
        """The output of the step ``name`` as floats."""
        if name in self._real:
            return self._real[name]
        return self._dequantized(name)

    def finish(self, step: Step, name: str) -> None:
        """Give the last step's output as float32 under ``name``."""
        if self.float_type == TensorProto.FLOAT:
            self.nodes[-1].output[0] = name
        else:
            self.node("Cast", [self._real[step.name]], name, to=TensorProto.FLOAT)
        self._real[step.name] = name

    def weights(self, step: Step, layout: Callable[[NDArray[Any]], NDArray[Any]], axis: int) -> list[str]:
        """The tensors of kernel and bias; ``layout`` brings a kernel into ONNX' order, ``axis`` counts outputs."""
        assert step.kernel is not None
        assert step.bias is not None
        if self._numerics.weights is not Weights.INT8 or step.name in self._numerics.floats:
            return [
                self.floats(f"{step.name}_kernel", layout(step.kernel)),
                self.floats(f"{step.name}_bias", step.bias),
            ]
        # Products of 16-bit activations do not fit into the 32 bits that ONNX has for biases.
        has_floats = self._numerics.ranges is None or self._numerics.bits == 16
        scale = None if has_floats else affine(self._bounds(step.inputs[0])).scale
        whole, scales = quantized_kernel(step, scale)
        kernel = self._restore(f"{step.name}_kernel", layout(whole), scales, axis)
        if scale is None:
            return [kernel, self.floats(f"{step.name}_bias", step.bias)]
        bias = quantized_bias(step, scale, scales).astype(np.int32)
        return [kernel, self._restore(f"{step.name}_bias", bias, np.float32(scale) * scales, 0)]

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output of the same name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant."""
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def floats(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant in the type that floats have."""
        return self.constant(name, array.astype(helper.tensor_dtype_to_np_dtype(self.float_type)))

    def _whole(self, step: Step) -> bool:
        """Whether a step works on integers."""
        return self._numerics.ranges is not None and step.name not in self._numerics.floats

    def _quantize(self, name: str) -> None:
        if name not in self._integer:
            self._integer[name] = self._pair("QuantizeLinear", self._real[name], name, self._bounds(name))

    def _dequantized(self, name: str) -> str:
        if name not in self._restored:
            self._restored[name] = self._pair("DequantizeLinear", self._integer[name], name, self._bounds(name))
        return self._restored[name]

    def _bounds(self, name: str) -> Range:
        assert self._numerics.ranges is not None
        return self._numerics.ranges[name]

    def _pair(self, operator: str, tensor: str, name: str, bounds: Range) -> str:
        """One half of a quantize-dequantize pair for what is called ``name``."""
        if name not in self._scales:
            form = affine(bounds, self.bits)
            kind = np.int16 if self.bits == 16 else np.uint8
            self._scales[name] = [
                self.constant(f"{name}_scale", np.array(form.scale, np.float32)),
                self.constant(f"{name}_zero", np.array(form.zero_point, kind)),
            ]
        suffix = "quantized" if operator == "QuantizeLinear" else "dequantized"
        return self.node(operator, [tensor, *self._scales[name]], f"{name}_{suffix}")

    def _restore(self, name: str, whole: NDArray[Any], scales: NDArray[np.float32], axis: int) -> str:
        """A constant that is stored as integers."""
        inputs = [
            self.constant(f"{name}_quantized", whole),
            self.constant(f"{name}_scale", scales),
            self.constant(f"{name}_zero", np.zeros(scales.shape, whole.dtype)),
        ]
        return self.node("DequantizeLinear", inputs, name, axis=axis)
