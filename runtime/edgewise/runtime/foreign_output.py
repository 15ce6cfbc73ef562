"""How a network of another maker is read: which output is the answer, and what makes probabilities of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.engines.base import Engine, TensorInfo, run_in_batches
from edgewise.runtime.foreign_input import FLOATS, WHOLE, Taken
from edgewise.runtime.interface import Reading
from edgewise.runtime.labels import fit_labels
from edgewise.spec import ModelError
from edgewise.spec.opening import Opening

TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1; in half precision ten times as far."""

SOFTMAX_SCALES = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128), "int16": (1 / 32768, 0)}
"""Scale and zero point of a softmax in whole numbers, by the quantization specification of TensorFlow Lite."""


def find_output(
    engine: Engine, taken: Taken, labels: tuple[str, ...], source: str, name: str, opening: Opening
) -> tuple[Reading, tuple[str, ...]]:
    """Run a network on probe pictures and find out how it is read.

    Args:
        engine: the network.
        taken: how it is fed.
        labels: all that are known.
        source: where they are from, for error messages.
        name: how the file is called in error messages.
        opening: what the user says.

    Returns:
        How it is read, and the labels of what is read.

    Raises:
        ModelError: no output fits the labels, or what it gives cannot be found out; the message names the option.
    """
    pictures = taken.feed.prepared(_probe_pictures(taken.height, taken.width))
    places = [place for place, info in enumerate(engine.outputs) if info.dtype in (*FLOATS, *WHOLE)]
    answers = {place: _rows(run_in_batches(engine, pictures, place), len(pictures), name) for place in places}
    place = _answer(answers, len(labels), name)
    names, background = fit_labels(labels, answers[place].shape[1], source)
    info = engine.outputs[place]
    real = (answers[place].astype(np.float64) - info.zero_point) * (info.scale or 1.0)
    if not np.isfinite(real).all():
        raise ModelError(f"{name} gives numbers that are not finite", "probabilities or logits")
    if info.dtype in WHOLE and not info.scale:
        return _unscaled(place, info, background, name, opening), names
    softmax = opening.output_kind == "logits" if opening.output_kind else _is_logits(real, info, name)
    return Reading(place, info.scale or 1.0, info.zero_point, softmax=softmax, background=background), names


def _probe_pictures(height: int, width: int) -> NDArray[np.uint8]:
    """Black, white and noise: ``(3, height, width, 3)`` uint8, the same every time."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise])


def _rows(answer: NDArray[Any], count: int, name: str) -> NDArray[Any]:
    if answer.ndim < 1 or len(answer) != count or not answer.size:
        raise ModelError(f"{name} gives an array of shape {answer.shape} for {count} pictures", "a row for each")
    return answer.reshape(count, -1)


def _answer(answers: dict[int, NDArray[Any]], labels: int, name: str) -> int:
    """The one output, or the one of several that has a number for each label."""
    if len(answers) == 1:
        return int(next(iter(answers)))
    fitting = [place for place, rows in answers.items() if rows.shape[1] in (labels, labels + 1)]
    if len(fitting) != 1:
        counts = ", ".join(str(rows.shape[1]) for rows in answers.values()) or "none"
        raise ModelError(
            f"{name} has {len(answers)} outputs with so many numbers: {counts}",
            f"one output with {labels} numbers, one for each label",
            "export the network with one output",
        )
    return fitting[0]


def _is_logits(real: NDArray[np.float64], info: TensorInfo, name: str) -> bool:
    """Whether an output is logits, by what it gives for the probe pictures."""
    if info.dtype in SOFTMAX_SCALES and np.isclose((info.scale, info.zero_point), SOFTMAX_SCALES[info.dtype]).all():
        return False
    tolerance = TOLERANCE * (10 if info.dtype in ("float16", *WHOLE) else 1)
    shares = real.min() >= -tolerance and real.max() <= 1 + tolerance
    if shares and np.abs(real.sum(axis=1) - 1).max() > tolerance:
        raise ModelError(
            f"{name} gives numbers from 0 to 1 that do not sum to 1",
            "it to be said whether these are probabilities or logits",
            "add --output-kind probabilities or --output-kind logits",
        )
    return not shares


def _unscaled(place: int, info: TensorInfo, background: bool, name: str, opening: Opening) -> Reading:
    """Whole numbers that nobody says the scale of can be shares of their sum, if the user says so."""
    if opening.output_kind != "probabilities":
        raise ModelError(
            f"{name} gives {info.dtype} and does not say what the numbers stand for",
            "an output of floats, or --output-kind probabilities where they are shares of their sum",
            "add --output-kind probabilities, or export the network with an output of floats",
        )
    return Reading(place, 1.0, int(np.iinfo(info.dtype).min), divide=True, background=background)
