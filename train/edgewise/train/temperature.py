"""How far a network's probabilities can be believed, and what makes them more honest.

Temperature scaling divides the scores before the softmax by one number T, fitted on validation photos by the smallest
negative log-likelihood. No answer changes, only how sure the network says it is. Source: Guo et al., "On Calibration
of Modern Neural Networks", arXiv:1706.04599, as is the expected calibration error with 15 bins of equal width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import exp, floor, log
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edgewise.spec import ModelError

BINS = 15
KEPT_SHARE = 0.95
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MIN_PHOTOS = 10
"""Fewer validation photos say nothing about probabilities."""

MAX_FIGURES_BYTES = 1 << 28
"""Largest file of figures that is read, in bytes."""

Probabilities = NDArray[np.float32]  # (n, classes), rows sum to 1
Truth = NDArray[np.int64]  # (n,) class indices


@dataclass(frozen=True)
class TemperatureScaling:
    """What was fitted on the validation photos. The default changes nothing."""

    temperature: float = 1.0  # > 1 makes the network less sure, < 1 more; see MIN_TEMPERATURE and MAX_TEMPERATURE
    unknown_threshold: float | None = None  # scaled probability 0-1 below which an answer is "unknown"; None: never
    kept_share: float = KEPT_SHARE  # of the right validation answers, at least, that reach the threshold; > 0, <= 1
    nll_before: float = 0.0  # mean negative log-likelihood, nats, >= 0
    nll_after: float = 0.0
    ece_before: float = 0.0  # expected calibration error, 0-1
    ece_after: float = 0.0
    photos: int = 0  # of the validation split; 0: not fitted
    remark: str = field(default="", compare=False)  # why there is no temperature of its own; not stored

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "remark"}

    @staticmethod
    def from_data(data: Any, name: str) -> TemperatureScaling:
        """Read what `to_data` wrote.

        Args:
            data: parsed from a file that is not trusted.
            name: how the file is called in error messages.

        Raises:
            ModelError: a figure is missing or out of range; the message names it.
        """
        if not isinstance(data, dict):
            raise ModelError(f"{name}: its calibration is {short(data)}", "an object", "train again")
        threshold = data.get("unknown_threshold", 0.0)
        return TemperatureScaling(
            temperature=_number(data, "temperature", MIN_TEMPERATURE, MAX_TEMPERATURE, name),
            unknown_threshold=None if threshold is None else _number(data, "unknown_threshold", 0, 1, name),
            kept_share=_number(data, "kept_share", 0, 1, name),
            nll_before=_number(data, "nll_before", 0, 1e6, name),
            nll_after=_number(data, "nll_after", 0, 1e6, name),
            ece_before=_number(data, "ece_before", 0, 1, name),
            ece_after=_number(data, "ece_after", 0, 1, name),
            photos=int(_number(data, "photos", 0, 1 << 31, name)),
        )


@dataclass(frozen=True)
class Bin:
    """The answers whose probability lies in one interval."""

    low: float  # the interval, 0-1
    high: float
    photos: int
    confidence: float  # mean probability of the answers, 0-1; 0 where there are none
    accuracy: float  # share of right answers, 0-1; 0 where there are none


def rescale(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Probabilities at another temperature, ``softmax(log p / T)``, which equals dividing the scores by T."""
    if temperature == 1:
        return probabilities
    scores = _log(probabilities) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def negative_log_likelihood(probabilities: Probabilities, truth: Truth) -> float:
    """Mean of ``-log p(truth)``, in nats."""
    return float(-_log(probabilities)[np.arange(len(truth)), truth].mean())


def reliability(probabilities: Probabilities, truth: Truth, bins: int = BINS) -> tuple[Bin, ...]:
    """Group the answers by their probability, in ``bins`` intervals of equal width from 0 to 1."""
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    return tuple(
        Bin(n / bins, (n + 1) / bins, int(chosen.sum()), _mean(sure[chosen]), _mean(right[chosen]))
        for n in range(bins)
        for chosen in (places == n,)
    )


def calibration_error(probabilities: Probabilities, truth: Truth, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over the bins, weighted by photos, 0-1."""
    parts = reliability(probabilities, truth, bins)
    return min(1.0, sum(part.photos * abs(part.confidence - part.accuracy) for part in parts) / len(truth))


def fit(probabilities: Probabilities, truth: Truth, kept_share: float = KEPT_SHARE) -> TemperatureScaling:
    """Fit the temperature, and find the threshold below which an answer had better be "unknown".

    Args:
        probabilities: ``(n, classes)`` of the validation photos, n >= 1, as the network gives them.
        truth: ``(n,)`` class indices.
        kept_share: of the right answers that reach the threshold, at least; > 0, <= 1.
    """
    temperature, remark = _best_temperature(probabilities, truth)
    scaled = rescale(probabilities, temperature)
    return TemperatureScaling(
        temperature=temperature,
        unknown_threshold=threshold_keeping(scaled, truth, kept_share) if len(truth) >= MIN_PHOTOS else None,
        kept_share=kept_share,
        nll_before=negative_log_likelihood(probabilities, truth),
        nll_after=negative_log_likelihood(scaled, truth),
        ece_before=calibration_error(probabilities, truth),
        ece_after=calibration_error(scaled, truth),
        photos=len(truth),
        remark=remark,
    )


def read_scaling(figures: Path) -> TemperatureScaling:
    """What ``metrics.json`` of a run says, or the default where the run is not finished or older than calibration.

    Raises:
        ModelError: the file is not what a training wrote; the message names the figure.
    """
    try:
        if not figures.exists():
            return TemperatureScaling()
        if (size := figures.stat().st_size) > MAX_FIGURES_BYTES:
            raise ModelError(f"{figures} is {size} bytes long", f"at most {MAX_FIGURES_BYTES}")
        data = json.loads(figures.read_bytes())
    except OSError as error:
        raise ModelError(f"{figures} cannot be read: {error.strerror}", "a complete run folder") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{figures} is not JSON", "the figures of a training", "train again") from error
    if not isinstance(data, dict):
        raise ModelError(f"{figures} holds {short(data)}", "the figures of a training", "train again")
    stored = data.get("calibration")
    return TemperatureScaling() if stored is None else TemperatureScaling.from_data(stored, str(figures))


def _best_temperature(probabilities: Probabilities, truth: Truth) -> tuple[float, str]:
    """The temperature with the smallest loss, or 1 and why."""
    if len(truth) < MIN_PHOTOS:
        return 1.0, f"{len(truth)} validation photos are too few to fit a temperature"
    if (probabilities.argmax(axis=1) == truth).all():
        return 1.0, "every validation answer is right, which says nothing about how sure the network may be"
    low, high = log(MIN_TEMPERATURE), log(MAX_TEMPERATURE)
    # The loss is convex in 1/T, so that it has one minimum, on whatever scale it is looked for.
    found = minimize_scalar(
        lambda x: negative_log_likelihood(rescale(probabilities, exp(x)), truth), bounds=(low, high), method="bounded"
    )
    if not low + 0.01 < found.x < high - 0.01:
        return 1.0, "no temperature makes the validation answers believable"
    return float(exp(found.x)), ""


def threshold_keeping(scaled: Probabilities, truth: Truth, kept_share: float) -> float | None:
    """The probability that at least ``kept_share`` of the right answers reach; None where no answer is right."""
    sure, right = scaled.max(axis=1), scaled.argmax(axis=1) == truth
    if not right.any():
        return None
    # Rounded down, so that the photo that decides it stays above it in every file of the network.
    return floor(1000 * float(np.quantile(sure[right], 1 - kept_share, method="lower"))) / 1000


def _log(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _number(data: Mapping[str, Any], key: str, low: float, high: float, name: str) -> float:
    value = data.get(key)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator] # also false for NaN
        raise ModelError(
            f"{name}: '{key}' of its calibration is {short(value)}", f"a number from {low:g} to {high:g}", "train again"
        )
    return float(value)  # type: ignore[arg-type]
