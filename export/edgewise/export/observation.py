"""What the activations of a network look like on photos: the raw material of calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.onnx_graph import INPUT, onnx_graph
from edgewise.export.plain import Activation, Floats, Network, Step
from edgewise.export.quantization import Numerics, Range
from edgewise.export.sharing import each_in_turn, shared
from edgewise.spec import ExtraMissingError
from edgewise.spec.progress import Reporter, Silent
from edgewise.spec.quiet import refuse_telemetry

refuse_telemetry()
try:
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession, SessionOptions
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnx") from error

SAMPLES = 256
"""Activations of each photo in each tensor that are kept, evenly spread; more do not change the ranges."""

TYPICAL_SHARE = 0.9
"""Share of the photos that `Observation.typical` keeps."""

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
    session = _session(_watching(network), threads)

    def watch(start: int) -> list[Floats]:
        found: list[Floats] = session.run(None, {INPUT: photos[start : start + _BATCH]})
        return found

    parts = []
    with (reporter or Silent()).task("calibrating", len(photos)) as step_done:
        for part in each_in_turn([watch] * side_by_side, range(0, len(photos), _BATCH)):
            parts.append(part)
            step_done(len(part[0]))
    probabilities, highs, some_lows, samples = (np.concatenate(each) for each in zip(*parts, strict=True))
    lows = np.zeros_like(highs)
    lows[:, [not _begins_at_zero(step) for step in network.steps]] = some_lows
    ends = np.cumsum([len(range(*_spread(step))) for step in network.steps])
    return Observation(
        names, lows, highs, dict(zip(names, np.split(samples, ends[:-1], axis=1), strict=True)), probabilities
    )


def _watching(network: Network) -> Any:
    """The network as ONNX, with what `Observation` wants to know of its steps as outputs.

    The extremes are found where the activations are. To hand all of these over, 200 MB for a photo of 299 pixels, took
    as long again as computing them.
    """
    model = onnx_graph(network, watched=[step.name for step in network.steps])
    graph, highs, lows, samples = model.graph, list[str](), list[str](), list[str]()
    tensors = [output.name for output in graph.output][1:]
    del graph.output[1:]

    def add(operator: str, inputs: list[str], output: str, **options: Any) -> str:
        graph.node.append(helper.make_node(operator, inputs, [output], **options))
        return output

    def number(value: int) -> str:
        name = f"watched_{len(graph.initializer)}"
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name

    for step, tensor in zip(network.steps, tensors, strict=True):
        flat = add("Flatten", [tensor], f"{tensor}_flat", axis=1)
        highs.append(add("ReduceMax", [flat], f"{tensor}_high", axes=[1]))
        if not _begins_at_zero(step):
            lows.append(add("ReduceMin", [flat], f"{tensor}_low", axes=[1]))
        begin, end, stride = map(number, _spread(step))
        samples.append(add("Slice", [flat, begin, end, number(1), stride], f"{tensor}_samples"))
    for name, parts in (("highs", highs), ("lows", lows), ("samples", samples)):
        add("Concat", parts, name, axis=1)
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model


def _begins_at_zero(step: Step) -> bool:
    """What ReLU gives begins at zero, or might as well: looking for it would take as long again."""
    return step.activation is Activation.RELU


def _spread(step: Step) -> tuple[int, int, int]:
    """The range of at most SAMPLES places from all over a step's output."""
    size = int(np.prod(step.shape))
    # An odd stride visits all channels and places of a picture whose sides are powers of two.
    stride = (size // SAMPLES) | 1
    return 0, min(size, stride * SAMPLES), stride


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
    return _session(onnx_graph(network, numerics, watched=watched), threads)


def _session(model: Any, threads: int | None) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
