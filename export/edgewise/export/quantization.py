"""How a network computes in few bits: what is stored and calculated in which numbers, for both file formats.

A real number r is stored as an integer q with r = scale * (q - zero point). Weights are int8, symmetric, with a scale
for each output channel; activations have one scale for each tensor, from a range that calibration found.
Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", https://arxiv.org/abs/1712.05877; the TFLite 8-bit quantization specification,
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edgewise.export.plain import SAME_SCALE, Activation, Floats, Network, Operator, Step

Range = tuple[float, float]
"""Smallest and largest number of a tensor."""

PIXELS: Range = (0.0, 255.0)
"""Of the input: its scale is 1 and its zero point 0, so that pixels are what they are."""

PROBABILITIES: Range = (0.0, 255 / 256)
"""Of the softmax and of sigmoids: TFLite demands a scale of 1/256 in 8 bits."""

WEIGHT_LIMIT = 127
"""Largest absolute value of an int8 weight; -128 is not used."""

TINY = 1e-8
"""Smallest width of a range: a tensor that is always zero needs some scale."""


class Weights(str, Enum):
    """How kernels are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


@dataclass(frozen=True)
class Numerics:
    """How a network is stored and computes."""

    weights: Weights = Weights.FLOAT32
    ranges: Mapping[str, Range] | None = None
    """Of the output of every step, the input's included, as `settled` gives them; None: activations are floats."""
    bits: int = 8  # of activations, 8 or 16; only with ranges
    floats: frozenset[str] = field(default_factory=frozenset)
    """Steps that take and give floats and keep float32 weights though there are ranges; their outputs have ranges
    too, which are used where an integer step takes them."""


BIAS_BITS = {8: 31, 16: 47}
"""Bits of a bias, without its sign, by those of the activations; TFLite's kernels for 16 bits take as many."""


@dataclass(frozen=True)
class Affine:
    """The scale and the zero point of a tensor of unsigned 8-bit or signed 16-bit integers."""

    scale: float  # > 0
    zero_point: int  # 0-255 for 8 bits, as uint8; int8 needs 128 less. 0 for 16 bits


def affine(bounds: Range, bits: int = 8) -> Affine:
    """Scale and zero point of a tensor: 8 bits span the range, with zero exactly; 16 bits are symmetric about zero."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    if bits == 16:
        return Affine(float(np.float32(max(-low, high, TINY) / 32767)), 0)
    scale = float(np.float32(max(high - low, TINY) / 255))
    return Affine(scale, int(np.clip(round(-low / scale), 0, 255)))


def quantized_kernel(step: Step, input_scale: float | None = None, bits: int = 8) -> tuple[NDArray[np.int8], Floats]:
    """The kernel of a weighted step as int8, in its own layout, and the scale of each output channel ``(out,)``.

    Args:
        step: one with a kernel.
        input_scale: of the integers it takes. A channel whose weights are all (nearly) zero then has a scale in which
            its bias fits, too; None: it has floats as bias.
        bits: of these integers, 8 or 16.
    """
    assert step.kernel is not None
    flat = per_output(step)
    scales = np.maximum(np.abs(flat).max(axis=0), TINY).astype(np.float32) / np.float32(WEIGHT_LIMIT)
    if input_scale is not None and step.bias is not None:
        needed = np.abs(step.bias) / (np.float64(input_scale) * 2.0 ** (BIAS_BITS[bits] - 1))
        scales = np.maximum(scales, needed).astype(np.float32)
    whole = np.rint(flat / scales).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
    return whole.reshape(step.kernel.shape), scales


def per_output(step: Step) -> Floats:
    """The kernel as ``(weights of one output channel, output channels)``."""
    assert step.kernel is not None
    if step.operator is Operator.DEPTHWISE:
        return step.kernel.reshape(-1, step.kernel.shape[2] * step.kernel.shape[3])
    return step.kernel.reshape(-1, step.kernel.shape[-1])


def quantized_bias(step: Step, input_scale: float, kernel_scales: Floats, bits: int = 8) -> NDArray[np.int64]:
    """The bias in units of input scale times kernel scale; of so many bits as `BIAS_BITS` says of the activations'."""
    assert step.bias is not None
    limit = 2.0 ** BIAS_BITS[bits] - 1
    return np.rint(step.bias / (np.float64(input_scale) * kernel_scales)).clip(-limit, limit).astype(np.int64)


def settled(network: Network, ranges: Mapping[str, Range], bits: int = 8) -> dict[str, Range]:
    """Ranges as both formats need them.

    Args:
        network: whose steps they are.
        ranges: of the output of every step, as calibration saw them.
        bits: of the activations.

    Returns:
        Of every step: zero is within; steps that only move numbers about share one range with what they take; the
        input has `PIXELS`, the output `PROBABILITIES`, and so have sigmoids in 8 bits.
    """
    leader = {step.name: step.name for step in network.steps}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for step in network.steps:
        if step.operator in SAME_SCALE:
            for name in step.inputs:
                leader[find(name)] = find(step.name)
    shared: dict[str, Range] = {}
    for name, (low, high) in ranges.items():
        before = shared.get(find(name), (0.0, 0.0))
        shared[find(name)] = min(before[0], low), max(before[1], high)
    computed = Counter(find(step.name) for step in network.steps if step.operator not in SAME_SCALE)
    fixed = {network.input.name: PIXELS}
    if bits == 8:
        fixed |= {step.name: PROBABILITIES for step in network.steps if step.activation is Activation.SIGMOID}
    # What is joined with other numbers has to leave room for those.
    shared |= {find(name): bounds for name, bounds in fixed.items() if computed[find(name)] == 1}
    result = {step.name: shared[find(step.name)] for step in network.steps}
    result[network.input.name] = PIXELS
    if network.output.operator is Operator.SOFTMAX:
        result[network.output.name] = PROBABILITIES
    return result
