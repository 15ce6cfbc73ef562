"""How much of each step's output is left after quantization, and which steps lose most of it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.observation import Observation, open_session
from edgewise.export.onnx_graph import INPUT
from edgewise.export.plain import WEIGHTED, Floats, Network, Step
from edgewise.export.quantization import Numerics, Range, per_output, quantized_kernel
from edgewise.export.ranges import quantized

PHOTOS = 16
"""Calibration photos on which whole networks are compared; more change no figure noticeably."""

_SILENCE = 1e-20
"""Power that stands for none, so that ratios stay finite."""


@dataclass(frozen=True)
class LayerError:
    """One step of a quantized network against the same step of the float one."""

    name: str
    operator: str
    own_sqnr: float  # dB, signal to the noise that this step alone adds: its kernel's and its output's rounding
    sqnr: float  # dB, signal to all noise that has come together up to its output
    cosine: float  # of the angle between both outputs, -1 to 1

    def to_data(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def layer_errors(
    network: Network, numerics: Numerics, seen: Observation, photos: NDArray[np.uint8], threads: int | None = None
) -> tuple[LayerError, ...]:
    """Measure every step that computes.

    Args:
        network: in floats.
        numerics: with ranges.
        seen: of the float network.
        photos: ``(n, rows, columns, 3)`` uint8, n >= 1; at most `PHOTOS` of them are taken.
        threads: CPU threads, >= 1; None takes all cores.
    """
    assert numerics.ranges is not None
    steps = [step for step in network.steps if step.inputs]
    names = [step.name for step in steps]
    sums = np.zeros((len(steps), 4))  # signal, noise, product, power of the quantized one
    sessions = [open_session(network, each, threads, watched=names) for each in (Numerics(), numerics)]
    for photo in photos[:PHOTOS]:
        exact, rounded = (session.run(None, {INPUT: photo[np.newaxis]})[1:] for session in sessions)
        for number, (one, other) in enumerate(zip(exact, rounded, strict=True)):
            a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
            sums[number] += a @ a, (a - b) @ (a - b), a @ b, b @ b
    return tuple(
        LayerError(
            step.name, step.operator.value,
            _decibels(1.0, 0.0) if step.name in numerics.floats
            else own_sqnr(step, seen.samples[step.name], numerics.ranges[step.name], numerics.bits),
            _decibels(signal, noise), float(product / max(np.sqrt(signal * power), _SILENCE)),
        )
        for step, (signal, noise, product, power) in zip(steps, sums, strict=True)
    )  # fmt: skip


def own_sqnr(step: Step, samples: Floats, bounds: Range, bits: int = 8) -> float:
    """Signal to the noise that one step adds by itself, in dB: its kernel's rounding and its output's."""
    values = samples.astype(np.float64)
    noise = float(np.square(values - quantized(samples, bounds, bits)).mean() / max(np.square(values).mean(), _SILENCE))
    if step.operator in WEIGHTED:
        whole, scales = quantized_kernel(step)
        exact = per_output(step).astype(np.float64)
        rounded = whole.reshape(exact.shape) * scales
        noise += float(np.square(exact - rounded).sum() / max(np.square(exact).sum(), _SILENCE))
    return _decibels(1.0, noise)


def worst_steps(network: Network, seen: Observation, ranges: Mapping[str, Range], count: int) -> tuple[str, ...]:
    """The weighted steps that add most noise by themselves, the worst first."""
    errors = {step.name: own_sqnr(step, seen.samples[step.name], ranges[step.name]) for step in network.weighted()}
    return tuple(sorted(errors, key=lambda name: errors[name])[:count])


def draw(errors: Sequence[LayerError], title: str) -> bytes:
    """A picture of the errors of all steps, in order, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    numbers = range(1, len(errors) + 1)
    axes.plot(numbers, [error.sqnr for error in errors], label="all noise up to here")
    axes.plot(numbers, [error.own_sqnr for error in errors], ".", markersize=4, label="the step's own noise")
    for number in sorted(range(len(errors)), key=lambda n: errors[n].own_sqnr)[:3]:
        left = number < len(errors) / 2
        axes.annotate(
            errors[number].name, (number + 1, errors[number].own_sqnr), xytext=(4 if left else -4, -9),
            textcoords="offset points", ha="left" if left else "right", fontsize=7,
        )  # fmt: skip
    axes.set(title=title, xlabel="step of the network", ylabel="signal to noise, dB", xlim=(0, len(errors) + 1))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    axes.grid(alpha=0.3)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120)
    return target.getvalue()


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(max(signal, _SILENCE) / max(noise, _SILENCE)))
