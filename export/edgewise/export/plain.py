"""A folded network as plain data: a list of steps with their weights, which every file format is written from.

It knows nothing of Keras, TFLite or ONNX. Compression works on it (`equalization`, `ranges`, `quantization`), and what
it gives is written by `onnx_graph` and `tflite_graph` alike, so that the files of both formats compute the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Operator(str, Enum):
    """What a step does."""

    INPUT = "input"
    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise convolution"
    DENSE = "dense"
    MAX_POOL = "max pool"
    AVERAGE_POOL = "average pool"  # what lies outside of the picture does not count
    MEAN = "mean"  # over the picture
    CONCATENATION = "concatenation"  # of channels
    ADDITION = "addition"
    MULTIPLICATION = "multiplication"
    SCALING = "scaling"  # x * kernel + bias, for each channel
    PADDING = "padding"  # with zeros
    ACTIVATION = "activation"
    RESHAPE = "reshape"  # from (channels,) to (1, 1, channels)
    SOFTMAX = "softmax"


class Activation(str, Enum):
    """What happens to each number a step gives."""

    LINEAR = "linear"
    RELU = "relu"
    RELU6 = "relu6"
    SIGMOID = "sigmoid"
    SWISH = "swish"  # x * sigmoid(x)
    HARD_SWISH = "hard swish"  # x * relu6(x + 3) / 6


WEIGHTED = (Operator.CONVOLUTION, Operator.DEPTHWISE, Operator.DENSE)
"""What has a kernel that multiplies and adds up."""

SAME_SCALE = (Operator.MAX_POOL, Operator.AVERAGE_POOL, Operator.CONCATENATION, Operator.PADDING, Operator.RESHAPE)
"""What moves numbers about: TFLite demands that its output is quantized as its inputs are."""

FUSED = (Activation.LINEAR, Activation.RELU, Activation.RELU6)
"""Activations that are done by the step that computes the numbers; others are steps of their own."""


@dataclass(frozen=True)
class Window:
    """How a convolution or a pool moves over the picture."""

    size: tuple[int, int]  # rows, columns
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    same: bool = False  # padded so that the output has ceil(input / stride) rows and columns; False: not padded


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a network; its output has its name."""

    operator: Operator
    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]  # of the output without the batch: (rows, columns, channels) or (channels,)
    activation: Activation = Activation.LINEAR  # after the operator; only INPUT..ADDITION have fused ones
    kernel: Floats | None = None
    """CONVOLUTION: (rows, columns, in, out); DEPTHWISE: (rows, columns, in, multiplier); DENSE: (in, out);
    SCALING: (channels,) or (1,)."""
    bias: Floats | None = None  # (out,); SCALING: (channels,) or (1,)
    window: Window | None = None  # CONVOLUTION, DEPTHWISE, MAX_POOL, AVERAGE_POOL
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # PADDING: rows above, below, columns left, right

    @property
    def channels(self) -> int:
        """Of the output."""
        return self.shape[-1]


@dataclass(frozen=True, eq=False)
class Network:
    """Steps in an order in which they can be done. The first is the INPUT, raw pixels 0-255; the last is the output."""

    name: str
    steps: tuple[Step, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Step]:
        """All steps."""
        return {step.name: step for step in self.steps}

    @cached_property
    def takers(self) -> Mapping[str, tuple[Step, ...]]:
        """Of each step, the steps that take its output."""
        found: dict[str, list[Step]] = {step.name: [] for step in self.steps}
        for step in self.steps:
            for name in dict.fromkeys(step.inputs):
                found[name].append(step)
        return {name: tuple(steps) for name, steps in found.items()}

    @property
    def input(self) -> Step:
        """Its shape is (rows, columns, 3)."""
        return self.steps[0]

    @property
    def output(self) -> Step:
        """Probabilities (classes,)."""
        return self.steps[-1]

    def weighted(self) -> Iterable[Step]:
        """The steps with kernels that are quantized."""
        return (step for step in self.steps if step.operator in WEIGHTED)

    def counts(self) -> Counter[Operator]:
        """How many steps of each kind there are."""
        return Counter(step.operator for step in self.steps)

    def with_weights(self, weights: Mapping[str, tuple[Floats, Floats]]) -> Network:
        """The same network with other kernels and biases of the named steps."""
        return replace(
            self,
            steps=tuple(
                replace(step, kernel=weights[step.name][0], bias=weights[step.name][1])
                if step.name in weights
                else step
                for step in self.steps
            ),
        )


def pads(size: tuple[int, ...], window: Window) -> tuple[int, int, int, int]:
    """Rows above, columns left, rows below, columns right that a window adds to a picture; the odd one at the end.

    Args:
        size: of the input; the first two are rows and columns.
        window: of the step.
    """
    if not window.same:
        return (0, 0, 0, 0)
    totals = []
    for length, width, stride, dilation in zip(size[:2], window.size, window.strides, window.dilation, strict=True):
        reach = (width - 1) * dilation + 1
        totals.append(max((-(-length // stride) - 1) * stride + reach - length, 0))
    top, left = (total // 2 for total in totals)
    return top, left, totals[0] - top, totals[1] - left
