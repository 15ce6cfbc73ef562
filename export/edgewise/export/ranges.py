"""Ways to choose the range of a quantized tensor from the activations that calibration saw.

A wide range cuts nothing off and has coarse steps; a narrow one has fine steps and cuts large activations off. No way
is best for every network, so `calibration` tries them and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgewise.export.observation import Observation
from edgewise.export.plain import Floats
from edgewise.export.quantization import Range, affine
from edgewise.runtime.cpu import usable_cores

PERCENTILE = 99.99
"""Of the absolute activations, those that the percentile method keeps."""

SHARES = np.linspace(0.3, 1.0, 29)
"""Parts of the widest range that the error method tries."""

_BINS, _LEVELS = 2048, 128


def min_max(seen: Observation) -> dict[str, Range]:
    """Everything that was seen fits."""
    return seen.bounds()


def percentile(seen: Observation) -> dict[str, Range]:
    """All but the 0.01% largest activations fit."""

    def cut(values: Floats, bounds: Range) -> Range:
        limit = float(np.percentile(np.abs(values), PERCENTILE))
        return max(bounds[0], -limit), min(bounds[1], limit)

    return _each(seen, cut)


def least_error(seen: Observation) -> dict[str, Range]:
    """The mean squared error between activations and their integers is smallest.

    Source: Shin et al. 2016, https://arxiv.org/abs/1511.06488.
    """

    def best(values: Floats, bounds: Range) -> Range:
        candidates = [(share * bounds[0], share * bounds[1]) for share in SHARES]
        errors = [float(np.square(values - quantized(values, each)).mean()) for each in candidates]
        return candidates[int(np.argmin(errors))]

    return _each(seen, best)


def least_entropy(seen: Observation) -> dict[str, Range]:
    """The distribution of the integers is closest to that of the activations (Kullback-Leibler).

    Source: Migacz 2017, "8-bit Inference with TensorRT", GPU Technology Conference.
    """

    def best(values: Floats, bounds: Range) -> Range:
        widest = max(-bounds[0], bounds[1])
        # Zero is exact in every range, and ReLU makes so many that they would drown everything else.
        sizes = np.abs(values[values != 0])
        counts, _ = np.histogram(sizes, _BINS, (0, widest or 1))
        ends = range(_LEVELS, _BINS + 1, _LEVELS)
        end = min(ends, key=lambda each: _divergence(counts.astype(np.float64), each))
        limit = widest * end / _BINS
        return max(bounds[0], -limit), min(bounds[1], limit)

    return _each(seen, best)


METHODS: Mapping[str, Callable[[Observation], dict[str, Range]]] = {
    "min-max": min_max,
    "percentile": percentile,
    "least error": least_error,
    "entropy": least_entropy,
}
"""All ways, by the name that a manifest tells."""


def quantized(values: Floats, bounds: Range, bits: int = 8) -> Floats:
    """Numbers as their integers of so many bits say them."""
    form = affine(bounds, bits)
    low, high = (0, 255) if bits == 8 else (-32768, 32767)
    whole = np.clip(np.rint(values / form.scale) + form.zero_point, low, high)
    return np.asarray((whole - form.zero_point) * form.scale, np.float32)


def _each(seen: Observation, choose: Callable[[Floats, Range], Range]) -> dict[str, Range]:
    bounds = seen.bounds()
    # NumPy lets other threads work.
    with ThreadPoolExecutor(usable_cores()) as pool:
        return dict(zip(bounds, pool.map(lambda name: choose(seen.samples[name], bounds[name]), bounds), strict=True))


def _divergence(counts: Floats, end: int) -> float:
    """Between the activations cut off at bin ``end`` and the same in `_LEVELS` levels."""
    kept = counts[:end].copy()
    kept[-1] += counts[end:].sum()
    levels = counts[:end].reshape(_LEVELS, -1)
    used = levels > 0
    means = levels.sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    spread = (means[:, None] * used).reshape(-1)
    p, q = kept / max(kept.sum(), 1), spread / max(spread.sum(), 1)
    there = p > 0
    return float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))).sum())
