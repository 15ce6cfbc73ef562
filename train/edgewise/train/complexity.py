"""What a network costs: parameters, and multiply-accumulates for one picture, counted from the shapes of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from edgewise.train.framework import keras

layers = keras.layers


@dataclass(frozen=True)
class Complexity:
    """The cost of a network."""

    parameters: int  # all of them, normalization statistics included
    macs: int  # multiply-accumulates of convolutions and dense layers for one picture

    def __str__(self) -> str:
        return f"{self.parameters / 1e6:.1f} million parameters, {self.macs / 1e9:.2f} GMAC per picture"


def complexity(model: Any) -> Complexity:
    """Count the cost of a functional Keras network of a fixed input size.

    Normalization, activations, pooling and additions are left out, as in the tables of the papers.
    """
    return Complexity(model.count_params(), sum(map(_macs, model.layers)))


def _macs(layer: Any) -> int:
    if isinstance(layer, layers.Dense):
        return prod(map(int, layer.kernel.shape))
    if isinstance(layer, layers.DepthwiseConv2D):
        return prod(map(int, (*layer.output_shape[1:], *layer.kernel_size)))
    if isinstance(layer, layers.Conv2D):
        # The kernel's third dimension is what one filter takes: fewer channels where there are groups.
        return prod(map(int, (*layer.output_shape[1:], *layer.kernel.shape[:3])))
    return 0
