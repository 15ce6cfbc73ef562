"""A trained network as the plain convolutions that a device runs.

Three linear steps disappear into kernels and biases, computed in float64:

- every normalization layer into the convolution before it: ``w / sqrt(var + eps)``, ``beta - mean / sqrt(var + eps)``
  (these layers have no scale, see `edgewise.train.network`);
- the input normalization ``x / 127.5 - 1`` into the first convolution. That is exact, because its padding is 'valid':
  no zero from outside of the picture, which would be grey after normalization, ever reaches it;
- the temperature of a calibrated network into the classifier: ``softmax(z / T)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.train.architecture import Architecture
from edgewise.train.network import NORMALIZATION_EPSILON, build

FIRST_CONVOLUTION = "stem_1"
CLASSIFIER = "predictions"

Float64 = NDArray[np.float64]


def fold(model: Any, architecture: Architecture, temperature: float = 1.0) -> Any:
    """Fold normalization, input normalization and temperature into the weights.

    Args:
        model: built by `edgewise.train.network.build` from ``architecture``, with normalization layers.
        architecture: of ``model``.
        temperature: > 0.

    Returns:
        A ``keras.Model`` from float32 ``(batch, size, size, 3)`` raw pixels 0-255 to the same probabilities as
        ``model`` gives for the normalized pixels.
    """
    folded = build(architecture, normalized=False)
    for layer in folded.layers:
        if not layer.weights:
            continue
        kernel, bias = _kernel_and_bias(model, layer.name)
        if layer.name == FIRST_CONVOLUTION:
            kernel, bias = fold_pixels(kernel, bias)
        if layer.name == CLASSIFIER:
            kernel, bias = kernel / temperature, bias / temperature
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return folded


def fold_normalization(kernel: Float64, beta: Float64, mean: Float64, variance: Float64) -> tuple[Float64, Float64]:
    """Kernel ``(h, w, in, out)`` and bias ``(out,)`` of a convolution followed by a normalization without scale."""
    factor = 1 / np.sqrt(variance + NORMALIZATION_EPSILON)
    return kernel * factor, beta - mean * factor


def fold_pixels(kernel: Float64, bias: Float64) -> tuple[Float64, Float64]:
    """Kernel and bias that do to raw pixels x what the given ones do to ``x / 127.5 - 1``, with 'valid' padding."""
    return kernel / 127.5, bias - kernel.sum(axis=(0, 1, 2))


def _kernel_and_bias(model: Any, name: str) -> tuple[Float64, Float64]:
    arrays = [array.astype(np.float64) for array in model.get_layer(name).get_weights()]
    if len(arrays) == 2:
        return arrays[0], arrays[1]
    beta, mean, variance = (array.astype(np.float64) for array in model.get_layer(f"{name}_bn").get_weights())
    return fold_normalization(arrays[0], beta, mean, variance)
