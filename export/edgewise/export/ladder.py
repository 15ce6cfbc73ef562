"""What is tried, one after the other, until a quantized file loses no more than it may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.export.layer_errors import worst_steps
from edgewise.export.plain import Network
from edgewise.export.preparation import Preparation
from edgewise.export.quantization import Numerics, Weights, settled
from edgewise.spec import Scheme

FLOAT_SHARES = (0.03, 0.1, 0.25)
"""Shares of the weighted steps, those with most noise of their own, that stay in float, one try after the other."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """One way to make a file."""

    scheme: Scheme
    description: str  # for people and for the manifest
    network: Network
    numerics: Numerics
    method: str | None = None  # of calibration


def attempts(preparation: Preparation, scheme: Scheme) -> Iterator[Attempt]:
    """Ways to make a file of a scheme, the one that asks least first; only quantized activations have several.

    What an attempt needs, such as a fine-tuning, is done when it is asked for.
    """
    if scheme is Scheme.INT8:
        yield from _int8(preparation)
    elif scheme is Scheme.W8A16:
        yield w8a16(preparation)
    elif scheme is Scheme.INT8_QAT:
        yield int8_qat(preparation)
    else:
        weights = {Scheme.FP32: Weights.FLOAT32, Scheme.FP16: Weights.FLOAT16, Scheme.DYNAMIC: Weights.INT8}[scheme]
        yield Attempt(scheme, f"{weights.value} weights", preparation.network, Numerics(weights))


def _int8(preparation: Preparation) -> Iterator[Attempt]:
    network, calibration = preparation.network, preparation.calibration
    for trial in calibration.trials:
        numerics = Numerics(Weights.INT8, trial.ranges, floats=preparation.float_head)
        yield Attempt(Scheme.INT8, f"ranges by {trial.method}", network, numerics, trial.method)
    best = calibration.best
    weighted = sum(1 for _ in network.weighted())
    for count in dict.fromkeys(max(round(part * weighted), 1) for part in FLOAT_SHARES):
        worst = frozenset(worst_steps(network, calibration.seen, best.ranges, count))
        numerics = Numerics(Weights.INT8, best.ranges, floats=preparation.float_head | worst)
        yield Attempt(Scheme.INT8, f"{count} of {weighted} layers in float", network, numerics, best.method)
    yield w8a16(preparation)
    yield int8_qat(preparation)


def w8a16(preparation: Preparation) -> Attempt:
    """int8 weights and 16-bit activations, which need no narrow ranges: everything that was seen fits."""
    network = preparation.network
    ranges = settled(network, preparation.calibration.widest, bits=16)
    numerics = Numerics(Weights.INT8, ranges, bits=16, floats=preparation.float_head)
    return Attempt(Scheme.W8A16, "16-bit activations", network, numerics, "min-max")


def int8_qat(preparation: Preparation) -> Attempt:
    """Weights and ranges after a training that knows of the rounding."""
    compressed = preparation.quantization_aware
    assert compressed.ranges is not None
    numerics = Numerics(Weights.INT8, settled(compressed.network, compressed.ranges), floats=preparation.float_head)
    description = f"trained with quantization for {compressed.figures['epochs']:.0f} epochs"
    return Attempt(Scheme.INT8_QAT, description, compressed.network, numerics, preparation.calibration.best.method)
