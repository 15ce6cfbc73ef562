"""Choose the ranges of quantized activations: every method is tried, and the answers decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.export.observation import Observation, answers, observe
from edgewise.export.plain import Network, Operator
from edgewise.export.quantization import Numerics, Range, Weights, settled
from edgewise.export.ranges import METHODS
from edgewise.spec.progress import Reporter

TRIAL_PHOTOS = 64
"""Calibration photos on which a method's network answers."""


@dataclass(frozen=True)
class Trial:
    """One method and how its int8 network answers the trial photos."""

    method: str
    ranges: Mapping[str, Range]  # settled
    agreement: float  # share of photos with the float network's answer, 0-1
    divergence: float  # mean Kullback-Leibler divergence from the float network's probabilities, nats

    def figures(self) -> dict[str, float | str]:
        """Plain data."""
        return {"method": self.method, "agreement": self.agreement, "divergence": self.divergence}


@dataclass(frozen=True, eq=False)
class Calibration:
    """What calibration found."""

    seen: Observation  # without the least typical photos
    widest: Mapping[str, Range]  # of every step's output, on all photos; not settled
    trials: tuple[Trial, ...]  # the best first

    @property
    def best(self) -> Trial:
        """The method whose network agrees with the float one most often; of equals, that with the least divergence."""
        return self.trials[0]


def calibrate(
    network: Network, photos: NDArray[np.uint8], reporter: Reporter, threads: int | None = None
) -> Calibration:
    """Try all methods.

    Args:
        network: in floats.
        photos: ``(n, rows, columns, 3)`` uint8 training photos, n >= 1.
        reporter: is told about the progress.
        threads: CPU threads, >= 1; None takes all cores.
    """
    everything = observe(network, photos, threads, reporter)
    seen = everything.typical()
    count = min(TRIAL_PHOTOS, len(photos))
    expected = everything.probabilities[:count]
    trials = []
    with reporter.task("trying calibrations", len(METHODS)) as step:
        for method, choose in METHODS.items():
            ranges = settled(network, choose(seen))
            numerics = Numerics(Weights.INT8, ranges, floats=float_head(network))
            trials.append(
                Trial(method, ranges, *_compared(answers(network, numerics, photos[:count], threads), expected))
            )
            step(note=method)
    return Calibration(
        seen, everything.bounds(), tuple(sorted(trials, key=lambda trial: (-trial.agreement, trial.divergence)))
    )


def float_head(network: Network) -> frozenset[str]:
    """The steps that stay in float in every integer network: the classifier and its softmax.

    They are a hundred-thousandth of the work. In 8 bits the largest two logits are often the same integer, and the
    answer is a matter of their order: measured on 2,000 photos, a third of all changed answers came from that.
    """
    if network.output.operator is not Operator.SOFTMAX:
        return frozenset()
    return frozenset({network.output.name, network.output.inputs[0]})


def _compared(got: NDArray[np.float32], expected: NDArray[np.float32]) -> tuple[float, float]:
    agreement = float((got.argmax(axis=1) == expected.argmax(axis=1)).mean())
    ratio = np.log((expected + 1e-9) / (np.nan_to_num(got) + 1e-9))
    return agreement, float((expected * ratio).sum(axis=1).mean())
