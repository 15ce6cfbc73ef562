"""The plain steps of `edgewise.export.plain` as a Keras network again, to be trained further."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

from edgewise.export.plain import WEIGHTED, Activation, Floats, Network, Operator, Step
from edgewise.export.quantization import PIXELS, PROBABILITIES, Range
from edgewise.train.framework import keras, tf

layers = keras.layers

Wrap = Callable[[Step, Any], Any]
"""From a step with a kernel and its layer, which has its weights, to the layer that takes its place."""

After = Callable[[Step, Any], Any]
"""From a step and what it gives to what the next steps take."""

ACTIVATIONS: Mapping[Activation, Any] = {
    Activation.LINEAR: tf.identity,
    Activation.RELU: tf.nn.relu,
    Activation.RELU6: tf.nn.relu6,
    Activation.SIGMOID: tf.sigmoid,
    Activation.SWISH: tf.nn.silu,
    Activation.HARD_SWISH: lambda x: x * tf.nn.relu6(x + 3) / 6,
}


class Computed(keras.layers.Layer):  # type: ignore[misc]
    """A function without weights as a layer.

    Args:
        function: from what the layer takes, one object or a list, to what it gives.
        name: of the layer.
    """

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        super().__init__(name=name)
        self._function = function

    def call(self, inputs: Any) -> Any:
        """Apply the function."""
        return self._function(inputs)


def keras_network(network: Network, wrap: Wrap | None = None, after: After | None = None) -> Any:
    """Build a Keras network with a layer for each step, of the same name, and the step's weights.

    Args:
        network: ends in a softmax.
        wrap: what to do with each layer that has a kernel.
        after: what to do with the output of each step.

    Returns:
        A ``keras.Model`` from float32 ``(batch, size, size, 3)`` pixels 0-255 to the float32 ``(batch, classes)``
        logits: the softmax is left out.
    """
    made = {network.input.name: keras.Input(network.input.shape, name=network.input.name)}
    for step in network.steps[1:]:
        if step.operator is Operator.SOFTMAX:
            continue
        inputs = [made[name] for name in step.inputs]
        layer = _LAYERS[step.operator](step)
        if step.operator in WEIGHTED:
            layer.build(inputs[0].shape)
            layer.set_weights([step.kernel, step.bias])
            layer = wrap(step, layer) if wrap else layer
        output = layer(inputs[0] if len(inputs) == 1 else inputs)
        made[step.name] = after(step, output) if after else output
    return keras.Model(made[network.input.name], made[logits_of(network)], name=network.name)


def logits_of(network: Network) -> str:
    """The name of the step that the softmax at the end of a network takes."""
    return network.output.inputs[0]


def implied_ranges(network: Network, known: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges of all steps from those of the steps that calculate.

    Args:
        network: whose steps they are.
        known: of the output of every step except of the input, the softmax and those that only move numbers about.
    """
    ranges: dict[str, Range] = {network.input.name: PIXELS, network.output.name: PROBABILITIES, **known}
    for step in network.steps:
        if step.name not in ranges:
            taken = [ranges[name] for name in step.inputs]
            ranges[step.name] = min(low for low, _ in taken), max(high for _, high in taken)
    return ranges


def _padding(step: Step) -> str:
    assert step.window is not None
    return "same" if step.window.same else "valid"


def _convolution(step: Step) -> Any:
    assert step.window is not None
    return layers.Conv2D(
        step.channels, step.window.size, step.window.strides, _padding(step), dilation_rate=step.window.dilation,
        activation=ACTIVATIONS[step.activation], name=step.name,
    )  # fmt: skip


def _depthwise(step: Step) -> Any:
    assert step.window is not None
    assert step.kernel is not None
    return layers.DepthwiseConv2D(
        step.window.size, step.window.strides, _padding(step), step.kernel.shape[3],
        dilation_rate=step.window.dilation, activation=ACTIVATIONS[step.activation], name=step.name,
    )  # fmt: skip


def _dense(step: Step) -> Any:
    return layers.Dense(step.channels, activation=ACTIVATIONS[step.activation], name=step.name)


def _pool(kind: Any) -> Callable[[Step], Any]:
    def make(step: Step) -> Any:
        assert step.window is not None
        return kind(step.window.size, step.window.strides, _padding(step), name=step.name)

    return make


def _combined(function: Callable[[Any, Any], Any]) -> Callable[[Step], Any]:
    def make(step: Step) -> Any:
        return Computed(lambda inputs: ACTIVATIONS[step.activation](reduce(function, _listed(inputs))), step.name)

    return make


def _listed(inputs: Any) -> Sequence[Any]:
    return inputs if isinstance(inputs, (list, tuple)) else [inputs]


def _scaling(step: Step) -> Any:
    kernel, bias = _constant(step.kernel), _constant(step.bias)
    return Computed(lambda x: x * kernel + bias, step.name)


def _constant(values: Floats | None) -> Any:
    assert values is not None
    return tf.constant(values)


def _zeros(step: Step) -> Any:
    top, bottom, left, right = step.padding
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=step.name)


_LAYERS: Mapping[Operator, Callable[[Step], Any]] = {
    Operator.CONVOLUTION: _convolution,
    Operator.DEPTHWISE: _depthwise,
    Operator.DENSE: _dense,
    Operator.MAX_POOL: _pool(layers.MaxPooling2D),
    Operator.AVERAGE_POOL: _pool(layers.AveragePooling2D),
    Operator.MEAN: lambda step: layers.GlobalAveragePooling2D(name=step.name),
    Operator.CONCATENATION: lambda step: layers.Concatenate(name=step.name),
    Operator.ADDITION: _combined(add),
    Operator.MULTIPLICATION: _combined(mul),
    Operator.SCALING: _scaling,
    Operator.PADDING: _zeros,
    Operator.ACTIVATION: lambda step: Computed(ACTIVATIONS[step.activation], step.name),
    Operator.RESHAPE: lambda step: layers.Reshape(step.shape, name=step.name),
}
