"""What the activations of a network look like on photos: the raw material of calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgewise.export.onnx_graph import INPUT, onnx_graph
from edgewise.export.plain import Activation, Floats, Network
from edgewise.export.quantization import Numerics, Range
from edgewise.export.sharing import each_in_turn, shared
from edgewise.runtime.engines.onnxruntime import EXACT_PRODUCTS
from edgewise.spec import ExtraMissingError
from edgewise.spec.progress import Reporter, Silent
from edgewise.spec.quiet import refuse_telemetry

refuse_telemetry()
try:
    from onnxruntime import InferenceSession, SessionOptions
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnxruntime") from error

SAMPLES = 256
"""Activations of each photo in each tensor that are kept, evenly spread; more do not change the ranges."""

TYPICAL_SHARE = 0.9
"""Share of the photos that `Observation.typical` keeps."""

_MEMORY = 64 << 20
"""Bytes of activations that are watched at a time, by each thread."""

_BATCH = 8


@dataclass(frozen=True, eq=False)
class Observation:
    """Of every step of a network, its outputs on some photos."""

    names: tuple[str, ...]
    lows: Floats  # (photos, steps): the smallest activation
    highs: Floats  # (photos, steps): the largest activation
    samples: Mapping[str, Floats]  # (photos, at most SAMPLES)
    probabilities: Floats  # (photos, classes)

    def typical(self) -> Observation:
        """Without the photos whose activations are least like those of the others.

        A quantized tensor has 256 levels between the smallest and the largest activation that calibration saw. A few
        photos on which the activations explode, as they do on what a network hardly learned, would stretch the ranges
        of the residual trunk so far that all other photos share a handful of levels: measured, a network of 98.1% fell
        to 92.4% that way, with ranges 60 times as wide as the typical photo needs. Their own activations saturate,
        which costs them little, because a large activation that is cut is still a large one.
        """
        sizes = np.maximum(np.abs(self.lows), np.abs(self.highs))
        median = np.median(sizes, axis=0)
        # How many times the median photo's size, in the tensor where a photo stands out most. A tensor that is zero
        # for most photos says nothing about a photo.
        extremity = (sizes / np.where(median > 0, median, np.inf)).max(axis=1, initial=0)
        kept = np.sort(np.argsort(extremity, kind="stable")[: max(round(TYPICAL_SHARE * len(sizes)), 1)])
        return replace(
            self,
            lows=self.lows[kept],
            highs=self.highs[kept],
            samples={name: values[kept] for name, values in self.samples.items()},
            probabilities=self.probabilities[kept],
        )

    def bounds(self) -> dict[str, Range]:
        """The smallest and the largest activation of every step."""
        lows, highs = self.lows.min(axis=0), self.highs.max(axis=0)
        return {name: (float(low), float(high)) for name, low, high in zip(self.names, lows, highs, strict=True)}


def observe(
    network: Network, photos: NDArray[np.uint8], threads: int | None = None, reporter: Reporter | None = None
) -> Observation:
    """Run a network on photos and look at every activation.

    Args:
        network: in floats.
        photos: ``(n, rows, columns, 3)`` uint8, n >= 1.
        threads: CPU threads, >= 1; None takes all cores.
        reporter: is told about the progress.
    """
    side_by_side, threads = shared(threads)
    names = tuple(step.name for step in network.steps)
    session = open_session(network, Numerics(), threads, watched=names)
    size = sum(4 * int(np.prod(step.shape)) for step in network.steps)
    batch = max(_MEMORY // size, 1)

    def watch(start: int) -> _Watched:
        answers, *outputs = session.run(None, {INPUT: photos[start : start + batch]})
        return _watched(network, answers, outputs)

    parts = []
    with (reporter or Silent()).task("calibrating", len(photos)) as step_done:
        for part in each_in_turn([watch] * side_by_side, range(0, len(photos), batch)):
            parts.append(part)
            step_done(len(part.probabilities))
    samples = {name: np.concatenate([part.samples[number] for part in parts]) for number, name in enumerate(names)}
    lows, highs, probabilities = (
        np.concatenate([getattr(part, field) for part in parts]) for field in ("lows", "highs", "probabilities")
    )
    return Observation(names, lows, highs, samples, probabilities)


class _Watched(NamedTuple):
    """What `Observation` has, of a few photos."""

    lows: Floats  # (photos, steps)
    highs: Floats  # (photos, steps)
    samples: Sequence[Floats]  # of every step: (photos, at most SAMPLES)
    probabilities: Floats  # (photos, classes)


def _watched(network: Network, answers: Floats, outputs: Sequence[Floats]) -> _Watched:
    lows, highs = (np.zeros((len(answers), len(outputs)), np.float32) for _ in range(2))
    samples = []
    for number, (step, output) in enumerate(zip(network.steps, outputs, strict=True)):
        flat = output.reshape(len(output), -1)
        highs[:, number] = flat.max(axis=1)
        # What ReLU gives begins at zero, or might as well: looking for it would take as long again.
        if step.activation is not Activation.RELU:
            lows[:, number] = flat.min(axis=1)
        samples.append(_spread(flat))
    return _Watched(lows, highs, samples, answers)


def answers(
    network: Network, numerics: Numerics, photos: NDArray[np.uint8], threads: int | None = None
) -> NDArray[np.float32]:
    """The probabilities ``(n, classes)`` that a network gives when it computes in the given numbers."""
    side_by_side, threads = shared(threads)
    session = open_session(network, numerics, threads)

    def run(start: int) -> Floats:
        result: Floats = session.run(None, {INPUT: photos[start : start + _BATCH]})[0]
        return result

    return np.concatenate(list(each_in_turn([run] * side_by_side, range(0, len(photos), _BATCH))))


def open_session(
    network: Network, numerics: Numerics, threads: int | None = None, *, watched: Sequence[str] = ()
) -> InferenceSession:
    """A network in ONNX Runtime, which also gives the outputs of the ``watched`` steps."""
    options = SessionOptions()
    options.add_session_config_entry(*EXACT_PRODUCTS)
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    content = onnx_graph(network, numerics, watched=watched).SerializeToString()
    return InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _spread(flat: Floats) -> Floats:
    """At most SAMPLES numbers of each photo, from all over a tensor; a copy, so that the tensor can go."""
    # An odd step visits all channels and places of a picture whose sides are powers of two.
    return flat[:, :: (flat.shape[1] // SAMPLES) | 1][:, :SAMPLES].copy()
