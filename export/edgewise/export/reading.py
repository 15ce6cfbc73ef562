"""A folded Keras network read as the plain steps of `edgewise.export.plain`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from edgewise.export.plain import FUSED, WEIGHTED, Activation, Network, Operator, Step, Window
from edgewise.train.graph import sources

_ACTIVATIONS = {each.value: each for each in Activation if each is not Activation.HARD_SWISH}


def readable(network: Any) -> bool:
    """Whether `read_network` knows every layer of a Keras network."""
    return all(map(_known, network.layers))


def read_network(network: Any) -> Network:
    """Read a Keras network.

    Args:
        network: from `edgewise.export.folding.fold`, for which `readable` is true.

    Returns:
        The same computation: every layer that computes is one step, with a following activation fused into it where
        one step can do both.
    """
    steps: dict[str, Step] = {}
    alias: dict[str, str] = {}  # what does nothing outside of training stands for what it takes
    for layer in network.layers:
        inputs = tuple(alias.get(source.name, source.name) for source in _sources(layer))
        if type(layer).__name__ == "Dropout":
            alias[layer.name] = inputs[0]
            continue
        step = (
            Step(inputs=inputs, shape=tuple(layer.output_shape[1:]), **_READERS[type(layer).__name__](layer))
            if (type(layer).__name__ != "InputLayer")
            else Step(Operator.INPUT, layer.name, (), tuple(layer.output_shape[0][1:]))
        )
        for part in _split(step):
            steps[part.name] = part
    return _fused(_hard_swishes(Network(network.name, tuple(steps.values()))))


def _sources(layer: Any) -> list[Any]:
    return [] if type(layer).__name__ == "InputLayer" else sources(layer)


def _split(step: Step) -> list[Step]:
    """Softmax and what cannot be fused become steps of their own; the last part keeps the name that others know."""
    if step.operator in WEIGHTED and step.activation not in FUSED:
        inner = replace(step, name=f"{step.name}_linear", activation=Activation.LINEAR)
        return [inner, Step(Operator.ACTIVATION, step.name, (inner.name,), step.shape, step.activation)]
    if step.operator is Operator.SOFTMAX and step.kernel is not None:
        inner = replace(step, operator=Operator.DENSE, name=f"{step.name}_logits")
        return [inner, Step(Operator.SOFTMAX, step.name, (inner.name,), step.shape)]
    return [step]


def _fused(network: Network) -> Network:
    """Activations done by the step before them, where nobody else takes that step's plain output."""
    done: dict[str, Step] = {}
    renamed: dict[str, str] = {}
    for step in network.steps:
        step = replace(step, inputs=tuple(renamed.get(name, name) for name in step.inputs))
        before = done.get(step.inputs[0]) if step.inputs else None
        if (
            step.operator is Operator.ACTIVATION
            and step.activation in FUSED
            and before is not None
            and before.operator in (*WEIGHTED, Operator.ADDITION)
            and before.activation is Activation.LINEAR
            and len(network.takers[before.name]) == 1
        ):
            done[before.name] = replace(before, activation=step.activation)
            renamed[step.name] = before.name
        else:
            done[step.name] = step
    return replace(network, steps=tuple(done.values()))


def _hard_swishes(network: Network) -> Network:
    """``x * relu6(x + 3) / 6``, which Keras writes in four layers, as one activation."""
    found: dict[str, Step] = {}
    gone: set[str] = set()
    for step in network.steps:
        chain = _hard_swish(network, step)
        if chain:
            found[step.name] = Step(Operator.ACTIVATION, step.name, (chain[0],), step.shape, Activation.HARD_SWISH)
            # From the last to the first: what others take stays, and with it all that it is computed from.
            gone.update(takewhile(lambda name: len(network.takers[name]) == 1, reversed(chain[1:])))
    return replace(network, steps=tuple(found.get(s.name, s) for s in network.steps if s.name not in gone))


def _hard_swish(network: Network, step: Step) -> tuple[str, ...]:
    """The name of x, and of the steps between x and the product ``step``; empty: it is something else."""
    if step.operator is not Operator.MULTIPLICATION:
        return ()
    for x, product in (step.inputs, step.inputs[::-1]):
        sixth = network.by_name[product]
        if not _scales(sixth, 1 / 6, 0):
            continue
        clipped = network.by_name[sixth.inputs[0]]
        if clipped.operator is not Operator.ACTIVATION or clipped.activation is not Activation.RELU6:
            continue
        plus = network.by_name[clipped.inputs[0]]
        if _scales(plus, 1, 3) and plus.inputs == (x,):
            return (x, plus.name, clipped.name, sixth.name)
    return ()


def _scales(step: Step, factor: float, offset: float) -> bool:
    if step.operator is not Operator.SCALING:
        return False
    assert step.kernel is not None
    assert step.bias is not None
    return bool(np.allclose(step.kernel, factor) and np.allclose(step.bias, offset))


def _convolution(layer: Any, operator: Operator = Operator.CONVOLUTION) -> dict[str, Any]:
    kernel, *bias = layer.get_weights()
    return {
        "operator": operator,
        "name": layer.name,
        "activation": _ACTIVATIONS[_activation(layer)],
        "kernel": kernel,
        "bias": bias[0] if bias else np.zeros(layer.output_shape[-1], np.float32),
        "window": Window(layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding == "same"),
    }


def _depthwise(layer: Any) -> dict[str, Any]:
    return _convolution(layer, Operator.DEPTHWISE)


def _dense(layer: Any) -> dict[str, Any]:
    kernel, bias = layer.get_weights()
    softmax = _activation(layer) == "softmax"
    return {
        "operator": Operator.SOFTMAX if softmax else Operator.DENSE,
        "name": layer.name,
        "activation": Activation.LINEAR if softmax else _ACTIVATIONS[_activation(layer)],
        "kernel": kernel,
        "bias": bias,
    }


def _pool(layer: Any) -> dict[str, Any]:
    operator = Operator.MAX_POOL if type(layer).__name__ == "MaxPooling2D" else Operator.AVERAGE_POOL
    window = Window(layer.pool_size, layer.strides, same=layer.padding == "same")
    return {"operator": operator, "name": layer.name, "window": window}


def _rectification(layer: Any) -> dict[str, Any]:
    activation = Activation.RELU if layer.max_value is None else Activation.RELU6
    return {"operator": Operator.ACTIVATION, "name": layer.name, "activation": activation}


def _scaling(layer: Any) -> dict[str, Any]:
    kernel, bias = (np.asarray(value, np.float32).reshape(-1) for value in (layer.scale, layer.offset))
    return {"operator": Operator.SCALING, "name": layer.name, "kernel": kernel, "bias": bias}


def _padding(layer: Any) -> dict[str, Any]:
    (top, bottom), (left, right) = layer.padding
    return {"operator": Operator.PADDING, "name": layer.name, "padding": (top, bottom, left, right)}


def _activation_layer(layer: Any) -> dict[str, Any]:
    return {"operator": Operator.ACTIVATION, "name": layer.name, "activation": _ACTIVATIONS[_activation(layer)]}


def _plain(operator: Operator) -> Callable[[Any], dict[str, Any]]:
    return lambda layer: {"operator": operator, "name": layer.name}


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


_READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "Activation": _activation_layer,
    "ReLU": _rectification,
    "ZeroPadding2D": _padding,
    "Rescaling": _scaling,
    "Reshape": _plain(Operator.RESHAPE),
    "Multiply": _plain(Operator.MULTIPLICATION),
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _plain(Operator.MEAN),
    "Concatenate": _plain(Operator.CONCATENATION),
    "Add": _plain(Operator.ADDITION),
}


def _known(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind in ("InputLayer", "Dropout"):
        return True
    if kind not in _READERS or len(layer.inbound_nodes) != 1:
        return False
    if _activation(layer) not in {*_ACTIVATIONS, *(["softmax"] if kind == "Dense" else [])}:
        return False
    return _CONDITIONS.get(kind, lambda _: True)(layer)


def _is_plain_rectification(layer: Any) -> bool:
    return not layer.negative_slope and not layer.threshold and layer.max_value in (None, 6)


def _makes_one_pixel(layer: Any) -> bool:
    return len(layer.input_shape) == 2 and layer.output_shape[1:3] == (1, 1)


_CONDITIONS: dict[str, Callable[[Any], bool]] = {
    "Conv2D": lambda layer: layer.groups == 1,
    "ReLU": _is_plain_rectification,
    "Reshape": _makes_one_pixel,
}
"""What a layer of a known kind must be like to be read."""
