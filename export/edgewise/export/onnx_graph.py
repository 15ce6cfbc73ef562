"""A Keras network of plain layers, written as an ONNX graph layer by layer.

A general converter takes the traced TensorFlow graph apart and spends most of its time on undoing what tracing did:
transposing every convolution to ONNX' channels-first layout and back, and optimizing the transposes away. Written from
the layers, the graph is in that layout from the start.

Source: the operator specifications of ONNX, https://onnx.ai/onnx/operators/, operator set 17.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import ExtraMissingError
from edgewise.train.graph import sources

try:
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnx") from error

OPSET = 17
"""ONNX operator set of exported files: new enough for per-channel QDQ, old enough for the runtimes on boards."""

IR_VERSION = 8
"""ONNX file format version that belongs to this operator set."""

Floats = NDArray[np.float32]

INPUT, OUTPUT = "pixels", "probabilities"
"""Names of the input and the output in ONNX files."""

FLOAT_PIXELS = "pixels_float"
"""The pixels as the network takes them: float32, channels first."""


def writable(network: Any) -> bool:
    """Whether `onnx_graph` knows every layer of a Keras network."""
    return all(map(_known, network.layers))


def onnx_graph(network: Any) -> Any:
    """Write a Keras network as ONNX.

    Args:
        network: a ``keras.Model`` from ``(batch, height, width, 3)`` raw pixels 0-255 to ``(batch, classes)``
            probabilities, for which `writable` is true.

    Returns:
        An ``onnx.ModelProto`` from uint8 ``(batch, height, width, 3)`` to float32 ``(batch, classes)``, with any batch
        size.
    """
    return _Writer(network).model()


class _Writer:
    def __init__(self, network: Any) -> None:
        self._network = network
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._names: dict[str, str] = {}  # Keras layer -> ONNX tensor

    def model(self) -> Any:
        _, height, width, channels = self._network.input_shape
        self._node("Cast", [INPUT], "pixels_cast", to=TensorProto.FLOAT)
        self._node("Transpose", ["pixels_cast"], FLOAT_PIXELS, perm=[0, 3, 1, 2])
        for layer in self._network.layers:
            self._names[layer.name] = _WRITERS[type(layer).__name__](self, layer)
        self._nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self._nodes, self._network.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", height, width, channels])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", self._network.output_shape[-1]])],
            self._weights,
        )  # fmt: skip
        return helper.make_model(
            graph, producer_name="edgewise", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )

    def inputs(self, layer: Any) -> list[str]:
        return [self._names[source.name] for source in sources(layer)]

    def entrance(self, _: Any) -> str:
        return FLOAT_PIXELS

    def same(self, layer: Any) -> str:
        """Of layers that do nothing outside of training."""
        return self.inputs(layer)[0]

    def convolution(self, layer: Any) -> str:
        kernel, *bias = layer.get_weights()
        return self._convolved(layer, kernel.transpose(3, 2, 0, 1), bias, layer.groups)

    def depthwise_convolution(self, layer: Any) -> str:
        kernel, *bias = layer.get_weights()
        rows, columns, channels, _ = kernel.shape
        # One group per channel; the filters of a channel follow each other in both worlds.
        filters = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, rows, columns)
        return self._convolved(layer, filters, bias, channels)

    def _convolved(self, layer: Any, kernel: Floats, bias: list[Floats], groups: int) -> str:
        inputs = [*self.inputs(layer), self._weight(f"{layer.name}_kernel", kernel)]
        inputs += [self._weight(f"{layer.name}_bias", array) for array in bias]
        output = self._node(
            "Conv", inputs, layer.name, kernel_shape=layer.kernel_size, strides=layer.strides,
            dilations=layer.dilation_rate, group=groups, pads=_pads(layer, layer.kernel_size),
        )  # fmt: skip
        return self._activated(layer, output)

    def pooling(self, layer: Any) -> str:
        # An average leaves out what lies outside of the picture in both worlds: count_include_pad is 0 by default.
        kind = "MaxPool" if type(layer).__name__ == "MaxPooling2D" else "AveragePool"
        pads = _pads(layer, layer.pool_size)
        return self._node(
            kind, self.inputs(layer), layer.name, kernel_shape=layer.pool_size, strides=layer.strides, pads=pads
        )

    def global_average(self, layer: Any) -> str:
        if layer.keepdims:
            return self._node("GlobalAveragePool", self.inputs(layer), layer.name)
        pooled = self._node("GlobalAveragePool", self.inputs(layer), f"{layer.name}_mean")
        return self._node("Flatten", [pooled], layer.name)

    def picture_of_one_pixel(self, layer: Any) -> str:
        shape = self._weight(f"{layer.name}_shape", np.array([0, -1, 1, 1], np.int64))
        return self._node("Reshape", [*self.inputs(layer), shape], layer.name)

    def padding(self, layer: Any) -> str:
        (top, bottom), (left, right) = layer.padding
        pads = self._weight(f"{layer.name}_pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        return self._node("Pad", [*self.inputs(layer), pads], layer.name)

    def rescaling(self, layer: Any) -> str:
        name = self.inputs(layer)[0]
        for operator, value, nothing in (("Mul", layer.scale, 1), ("Add", layer.offset, 0)):
            array = np.asarray(value, np.float32).reshape(-1, 1, 1)
            if (array != nothing).any():
                weight = self._weight(f"{layer.name}_{operator.lower()}_by", array)
                name = self._node(operator, [name, weight], f"{layer.name}_{operator.lower()}")
        return name

    def rectification(self, layer: Any) -> str:
        if layer.max_value is None:
            return self._node("Relu", self.inputs(layer), layer.name)
        bounds = [
            self._weight(f"{layer.name}_{end}", np.array(value, np.float32))
            for end, value in (("min", 0), ("max", layer.max_value))
        ]
        return self._node("Clip", [*self.inputs(layer), *bounds], layer.name)

    def multiplication(self, layer: Any) -> str:
        return self._node("Mul", self.inputs(layer), layer.name)

    def concatenation(self, layer: Any) -> str:
        return self._node("Concat", self.inputs(layer), layer.name, axis=1)

    def addition(self, layer: Any) -> str:
        return self._node("Add", self.inputs(layer), layer.name)

    def activation(self, layer: Any) -> str:
        return self._activated(layer, self.inputs(layer)[0])

    def dense(self, layer: Any) -> str:
        kernel, bias = layer.get_weights()
        weights = [self._weight(f"{layer.name}_kernel", kernel), self._weight(f"{layer.name}_bias", bias)]
        return self._activated(layer, self._node("Gemm", [*self.inputs(layer), *weights], layer.name))

    def _activated(self, layer: Any, name: str) -> str:
        activation = _activation(layer)
        operator = _ACTIVATIONS[activation]
        if operator is None:
            return name
        options = {"axis": 1} if operator == "Softmax" else {}
        output = self._node(operator, [name], f"{layer.name}_{operator.lower()}", **options)
        if activation == "swish":  # x * sigmoid(x)
            return self._node("Mul", [name, output], f"{layer.name}_swish")
        return output

    def _node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def _weight(self, name: str, array: NDArray[Any]) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _known(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind not in _WRITERS or _activation(layer) not in _ACTIVATIONS or len(layer.inbound_nodes) != 1:
        return False
    return _CONDITIONS.get(kind, _always)(layer)


def _always(_: Any) -> bool:
    return True


def _is_plain_rectification(layer: Any) -> bool:
    return not layer.negative_slope and not layer.threshold


def _makes_one_pixel(layer: Any) -> bool:
    """From ``(batch, channels)`` to ``(batch, 1, 1, channels)``: no value changes its place in ONNX' layout."""
    return len(layer.input_shape) == 2 and layer.output_shape[1:3] == (1, 1)


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _pads(layer: Any, window: tuple[int, int]) -> list[int]:
    """Rows above, columns left, rows below, columns right; TensorFlow puts the odd one at the end."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    totals = []
    for size, length, stride in zip(layer.input_shape[1:3], window, layer.strides, strict=True):
        steps = -(-size // stride)
        totals.append(max((steps - 1) * stride + length - size, 0))
    begin = [total // 2 for total in totals]
    return begin + [total - first for total, first in zip(totals, begin, strict=True)]


_ACTIVATIONS = {"linear": None, "relu": "Relu", "softmax": "Softmax", "sigmoid": "Sigmoid", "swish": "Sigmoid"}

_WRITERS: dict[str, Callable[[_Writer, Any], str]] = {
    "InputLayer": _Writer.entrance,
    "Conv2D": _Writer.convolution,
    "DepthwiseConv2D": _Writer.depthwise_convolution,
    "Activation": _Writer.activation,
    "ReLU": _Writer.rectification,
    "ZeroPadding2D": _Writer.padding,
    "Rescaling": _Writer.rescaling,
    "Reshape": _Writer.picture_of_one_pixel,
    "Multiply": _Writer.multiplication,
    "MaxPooling2D": _Writer.pooling,
    "AveragePooling2D": _Writer.pooling,
    "GlobalAveragePooling2D": _Writer.global_average,
    "Concatenate": _Writer.concatenation,
    "Add": _Writer.addition,
    "Dropout": _Writer.same,
    "Dense": _Writer.dense,
}

_CONDITIONS: dict[str, Callable[[Any], bool]] = {"ReLU": _is_plain_rectification, "Reshape": _makes_one_pixel}
"""What a layer of a known kind must be like to be written."""
