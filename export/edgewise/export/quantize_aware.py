"""Quantization-aware training: a network whose kernels and activations are rounded while it learns.

Built from the wrappers and quantizers of tensorflow-model-optimization (Jacob et al. 2018, arXiv:1712.05877), placed
as `edgewise.export.quantization` rounds and not as the library's default scheme does, which would train another network
than the one that is written. Seen in version 0.8: the default scheme does not round the kernel of a convolution that an
activation follows without a normalization between them, 38 of 41 in a folded InceptionResNetV2 of one block per stage;
its schemes that keep zeros and clusters do not keep them there, for the same reason; and it gives one scale to all of a
dense or depthwise kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgewise.export.keras_network import implied_ranges, keras_network
from edgewise.export.plain import SAME_SCALE, Floats, Network, Operator, Step
from edgewise.export.quantization import TINY, WEIGHT_LIMIT, Range, per_output, quantized_kernel, settled
from edgewise.spec import ExtraMissingError
from edgewise.spec.quiet import quiet_stderr
from edgewise.train.framework import keras, tf

try:
    with quiet_stderr():
        import tensorflow_model_optimization as tfmot

        # These have no public name.
        from tensorflow_model_optimization.python.core.quantization.keras import quant_ops
        from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "tensorflow_model_optimization") from error


class KernelQuantizer(tfmot.quantization.keras.quantizers.LastValueQuantizer):  # type: ignore[misc]
    """Rounds a kernel to int8, symmetric, with a scale for each output channel.

    The library's own quantizer of convolutions takes the last axis for the output channels, which in a depthwise
    kernel it is not.

    Args:
        step: with the kernel as training begins.
    """

    def __init__(self, step: Step) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
        self._channels = step.channels
        self._depthwise = step.operator is Operator.DEPTHWISE

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:  # noqa: ARG002 - the library's
        """Make the variables for the limits of each output channel."""
        self.limits = {
            f"{end}_var": layer.add_weight(f"{name}_{end}", (self._channels,), initializer="zeros", trainable=False)
            for end in ("min", "max")
        }
        return self.limits

    def kernel(self, variable: Any) -> Any:
        """The kernel before rounding, from the variable of the layer."""
        return variable

    def __call__(self, inputs: Any, training: bool, weights: Mapping[str, Any], **options: Any) -> Any:
        """Round, to the limits of now in training, and to those of the last training step else."""
        kernel = self.kernel(inputs)
        flat = tf.reshape(kernel, (*kernel.shape[:2], 1, -1)) if self._depthwise else kernel
        return tf.reshape(super().__call__(flat, training, weights, **options), kernel.shape)


class SparseKernelQuantizer(KernelQuantizer):
    """Rounds a pruned kernel and keeps its zeros (the library's "PQAT")."""

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        assert step.kernel is not None
        self._mask = tf.constant((step.kernel != 0).astype(np.float32))

    def kernel(self, variable: Any) -> Any:
        """See `KernelQuantizer`."""
        return variable * self._mask


class ClusteredKernelQuantizer(KernelQuantizer):
    """Rounds a clustered kernel, and trains the few values that it has in place of the many weights.

    The library's own ("CQAT", "PCQAT") makes a part of the graph for each output channel, 10,459 nodes for a single
    convolution of 384 channels, and compares each weight with each value in each step. Here a weight stays with its
    value, and zeros stay zeros.
    """

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        assert step.kernel is not None
        values, places = np.unique(step.kernel, return_inverse=True)
        self._values = values
        self._places = places.reshape(step.kernel.shape).astype(np.int32)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the variables, the values among them."""
        start = keras.initializers.Constant(self._values)
        self._trained = layer.add_weight(f"{name}_values", self._values.shape, initializer=start, trainable=True)
        return super().build(tensor_shape, name, layer)

    def kernel(self, variable: Any) -> Any:  # noqa: ARG002 - the values stand in for it
        """See `KernelQuantizer`."""
        return tf.gather(self._trained * tf.constant((self._values != 0).astype(np.float32)), self._places)


class RangeQuantizer(tfmot.quantization.keras.quantizers.MovingAverageQuantizer):  # type: ignore[misc]
    """Rounds activations to 8 bits within a range that begins where calibration found it.

    Args:
        bounds: the range to begin with.
        decay: of the moving average of the range in training; 1: it stays as it is.
    """

    def __init__(self, bounds: Range, decay: float) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
        self._bounds = widened(bounds)
        self._decay = decay

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:  # noqa: ARG002 - the library's
        """Make the variables for the ends of the range."""
        return {
            f"{end}_var": layer.add_weight(
                f"{name}_{end}", initializer=keras.initializers.Constant(bound), trainable=False
            )
            for end, bound in zip(("min", "max"), self._bounds, strict=True)
        }

    def __call__(self, inputs: Any, training: bool, weights: Mapping[str, Any], **options: Any) -> Any:  # noqa: ARG002
        """Round, and in training follow the range of the batch."""
        return quant_ops.MovingAvgQuantize(
            inputs, weights["min_var"], weights["max_var"], ema_decay=self._decay,
            is_training=training and self._decay < 1,
        )  # fmt: skip


class _KernelConfig(tfmot.quantization.keras.QuantizeConfig):  # type: ignore[misc]
    """Tells the library's wrapper to round the kernel, and nothing else."""

    def __init__(self, step: Step, quantizer: KernelQuantizer) -> None:
        self._attribute = "depthwise_kernel" if step.operator is Operator.DEPTHWISE else "kernel"
        self._quantizer = quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return [(getattr(layer, self._attribute), self._quantizer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        setattr(layer, self._attribute, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002 - the library's signature
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return []

    def get_config(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class _Kernel:
    """Of one step in training."""

    variable: Any
    bias: Any
    quantizer: KernelQuantizer | None  # None: it computes in floats


class QuantizeAware:
    """A network in quantization-aware training.

    Args:
        network: to begin with; zeros and clusters in its kernels are kept where ``zeros`` and ``clusters`` say so.
        ranges: of every step's output, to begin with.
        decay: of the moving averages of the ranges; 1: they stay as they are.
        floats: steps that compute in floats, as in `Numerics.floats`.
        zeros: keep weights that are zero at zero.
        clusters: keep equal weights equal.

    Attributes:
        model: the Keras network, from pixels to logits, which rounds as the files will.
    """

    def __init__(
        self,
        network: Network,
        ranges: Mapping[str, Range],
        decay: float = 1.0,
        *,
        floats: frozenset[str] = frozenset(),
        zeros: bool = False,
        clusters: bool = False,
    ) -> None:
        self._network, self._decay, self._floats = network, decay, floats
        self._zeros, self._clusters = zeros, clusters
        self._bounds = settled(network, ranges)
        self._kernels: dict[str, _Kernel] = {}
        self._ranges: dict[str, Mapping[str, Any]] = {}
        self.model = keras_network(network, self._wrap, self._round)
        self.settle()

    def settle(self) -> None:
        """Let the Keras network round exactly as a file of `result` does; to be called after each epoch."""
        network, ranges = self.result()
        for name, bounds in settled(network, ranges).items():
            if name in self._ranges:
                for end, bound in zip(("min", "max"), widened(bounds), strict=True):
                    self._ranges[name][f"{end}_var"].assign(bound)
        for step in network.weighted():
            quantizer = self._kernels[step.name].quantizer
            if quantizer is None:
                continue
            scales, limits = quantized_kernel(step)[1], quantizer.limits
            limits["max_var"].assign(scales * WEIGHT_LIMIT)
            limits["min_var"].assign(-scales * WEIGHT_LIMIT)

    def result(self) -> tuple[Network, dict[str, Range]]:
        """The network with the weights of now, and the range of every step's output."""
        weights = {name: self._weights(name, kernel) for name, kernel in self._kernels.items()}
        known = {name: self._bounds[name] for name in self._floats}
        known |= {
            name: (float(ends["min_var"].numpy()), float(ends["max_var"].numpy()))
            for name, ends in self._ranges.items()
        }
        return self._network.with_weights(weights), implied_ranges(self._network, known)

    def _weights(self, name: str, kernel: _Kernel) -> tuple[Floats, Floats]:
        """As they are written: kernels already on the grid of int8, unless that would tear clusters apart."""
        if kernel.quantizer is None:
            return kernel.variable.numpy(), kernel.bias.numpy()
        trained = kernel.quantizer.kernel(kernel.variable).numpy()
        if not isinstance(kernel.quantizer, ClusteredKernelQuantizer):
            step = replace(self._network.by_name[name], kernel=trained)
            whole, scales = quantized_kernel(step)
            trained = (whole.reshape(per_output(step).shape) * scales).astype(np.float32).reshape(trained.shape)
        return trained, kernel.bias.numpy()

    def _wrap(self, step: Step, layer: Any) -> Any:
        depthwise = step.operator is Operator.DEPTHWISE
        quantizer = None if step.name in self._floats else self._quantizer(step)
        variable = layer.depthwise_kernel if depthwise else layer.kernel
        self._kernels[step.name] = _Kernel(variable, layer.bias, quantizer)
        if quantizer is None:
            # Nothing would keep its zeros and clusters.
            layer.trainable = not (self._zeros or self._clusters)
            return layer
        return tfmot.quantization.keras.QuantizeWrapperV2(layer, _KernelConfig(step, quantizer))

    def _quantizer(self, step: Step) -> KernelQuantizer:
        if self._clusters and step.operator is not Operator.DEPTHWISE:  # the library does not cluster these
            return ClusteredKernelQuantizer(step)
        return SparseKernelQuantizer(step) if self._zeros else KernelQuantizer(step)

    def _round(self, step: Step, output: Any) -> Any:
        # What only moves numbers about has its input's scale: rounding again would change nothing.
        moved = step.operator in SAME_SCALE and step.operator is not Operator.AVERAGE_POOL
        if moved or step.name in self._floats:
            return output
        layer = QuantizeLayer(RangeQuantizer(self._bounds[step.name], self._decay), name=f"{step.name}_rounded")
        rounded = layer(output)
        self._ranges[step.name] = layer.quantizer_vars
        return rounded


def widened(bounds: Range) -> Range:
    """A range that can be divided into steps: it holds zero, and is not empty."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    return low, max(high, low + TINY)
