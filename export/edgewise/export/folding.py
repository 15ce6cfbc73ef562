"""A trained network as the plain convolutions that a device runs, from raw pixels on.

Linear steps disappear into kernels and biases, computed in float64:

- every normalization layer into the convolution before it, with ``factor = gamma / sqrt(var + eps)``: the kernel
  becomes ``w * factor``, the bias ``beta + (bias - mean) * factor``;
- what the backbone does with pixels, ``(x - center) / spread`` for each colour, into the first convolution. Where its
  padding is 'valid', all of it is. Where it is 'same', zeros from outside of the picture have to stay what they were,
  the center: then only the division goes into the kernel, and the subtraction stays as a layer in front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.train.applications import PREPROCESSING
from edgewise.train.framework import keras
from edgewise.train.graph import made_again, rebuilt, sources

layers = keras.layers

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)

Float64 = NDArray[np.float64]


def fold(model: Any) -> Any:
    """Fold normalization and the scaling of pixels into the weights.

    Args:
        model: built by `edgewise.train.network.build`; it stays as it is.

    Returns:
        A ``keras.Model`` from float32 ``(batch, size, size, 3)`` raw pixels 0-255 to the same probabilities as
        ``model`` gives for the normalized pixels ``x / 127.5 - 1``.
    """
    folding = _Folding(model)
    pixels = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    return keras.Model(pixels, rebuilt(model, pixels, folding.convert), name=model.name)


def fold_normalization(kernel: Float64, bias: Float64, layer: Any) -> tuple[Float64, Float64]:
    """Kernel and bias of a convolution that does what a convolution and the normalization after it did.

    Args:
        kernel: ``(h, w, in, out)``, or ``(h, w, in, multiplier)`` of a depthwise one with in * multiplier outputs.
        bias: ``(out,)``.
        layer: the ``BatchNormalization`` with its statistics.
    """
    mean, variance = (np.asarray(v, np.float64) for v in (layer.moving_mean, layer.moving_variance))
    factor = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        factor = factor * np.asarray(layer.gamma, np.float64)
    per_output = factor if kernel.shape[-1] == len(factor) else factor.reshape(kernel.shape[2:])
    return kernel * per_output, np.asarray(layer.beta, np.float64) + (bias - mean) * factor


def fold_pixels(kernel: Float64, bias: Float64, center: Float64, spread: Float64) -> tuple[Float64, Float64]:
    """Kernel and bias that do to raw pixels x what the given ones do to ``(x - center) / spread``, without padding.

    Args:
        kernel: ``(h, w, 3, out)``.
        bias: ``(out,)``.
        center: ``(3,)``, in pixel values.
        spread: ``(3,)``, in pixel values, > 0.
    """
    middle = kernel * (center / spread)[:, None]
    return kernel / spread[:, None], bias - middle.sum(axis=(0, 1, 2))


class _Folding:
    """Makes the layers of the folded network one by one."""

    def __init__(self, model: Any) -> None:
        takers = Counter(source.name for layer in model.layers[1:] for source in sources(layer))
        pairs = [
            (source, layer)
            for layer in model.layers
            if isinstance(layer, layers.BatchNormalization)
            for source in sources(layer)
            if isinstance(source, CONVOLUTIONS) and takers[source.name] == 1
        ]
        self._normalization = {source.name: layer for source, layer in pairs}
        self._without = {layer.name for _, layer in pairs}
        self._first = next(layer.name for layer in model.layers if isinstance(layer, CONVOLUTIONS))
        # What every network is given: x / 127.5 - 1.
        self._center, self._spread = np.full(3, 127.5), np.full(3, 127.5)

    def convert(self, layer: Any, inputs: Any) -> Any:
        """What a layer gives in the folded network, from what it takes there."""
        if layer.name == PREPROCESSING:
            self._preprocess(layer)
            return inputs
        if layer.name in self._without or isinstance(layer, layers.Dropout):
            return inputs
        if isinstance(layer, CONVOLUTIONS):
            return self._convolution(layer, inputs)
        return _applied(made_again(layer), inputs, layer.get_weights())

    def _preprocess(self, layer: Any) -> None:
        """Put ``y * scale + offset`` behind ``y = (x - center) / spread``."""
        scale, offset = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
        self._center = self._center - self._spread * offset / scale
        self._spread = self._spread / scale

    def _convolution(self, layer: Any, inputs: Any) -> Any:
        kernel, *biases = (array.astype(np.float64) for array in layer.get_weights())
        bias = biases[0] if biases else np.zeros(layer.output_shape[-1])
        if layer.name in self._normalization:
            kernel, bias = fold_normalization(kernel, bias, self._normalization[layer.name])
        if layer.name == self._first:
            center = self._center
            if layer.padding != "valid":
                inputs, center = layers.Rescaling(1.0, (-center).tolist(), name="centered")(inputs), np.zeros(3)
            kernel, bias = fold_pixels(kernel, bias, center, self._spread)
        return _applied(made_again(layer, use_bias=True), inputs, [kernel, bias])


def _applied(layer: Any, inputs: Any, weights: Sequence[NDArray[Any]]) -> Any:
    output = layer(inputs)
    layer.set_weights([array.astype(np.float32) for array in weights])
    return output
