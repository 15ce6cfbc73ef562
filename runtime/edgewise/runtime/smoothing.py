"""Which label is shown: answers of single frames flicker, what a person reads or a program reacts to should not.

There are three methods:

- ``off``: the answer of each frame as it is.
- ``ema``: an exponential moving average of the probabilities (Roberts, Technometrics 1959), with a time constant in
  seconds, so that it does not depend on how many answers a second there are.
- ``majority``: the label that most frames of the last seconds had, each frame's being "unknown" where its probability
  is below the threshold.

Both average over time and then add hysteresis (as a Schmitt trigger has it): the label that is shown stays until
another one leads by a margin. With ``ema`` that is a lead in probability; with ``majority`` the other must have more
than half of all votes. "unknown" is left only where the averaged probability exceeds the threshold by the margin, and
is shown at once where it falls below: a class is never shown with less than the threshold. (The probability of a vote
is the mean over the frames that voted for what is shown.)
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.classifier import UNKNOWN
from edgewise.spec import InputError


class Method(str, Enum):
    """How answers are averaged over time."""

    OFF = "off"
    EMA = "ema"
    MAJORITY = "majority"


@dataclass(frozen=True)
class Smoothing:
    """How the shown label follows the answers."""

    method: Method = Method.EMA
    seconds: float = 0.5  # time constant of the average, or length of the vote, > 0
    margin: float = 0.1  # lead that another label needs, 0-1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--smooth-seconds {self.seconds:g}", "a number of seconds above 0")
        if not 0 <= self.margin < 1:
            raise InputError(f"--smooth-margin {self.margin:g}", "a probability from 0 to below 1")


@dataclass(frozen=True)
class Shown:
    """The label that is shown. The probability is the averaged one of the best class, also for "unknown"."""

    label: str
    probability: float  # 0-1
    known: bool  # False: below the threshold, whatever the label is called


class Smoother:
    """Follows the answers of one model; make a new one for another model or another part of the frame.

    Args:
        smoothing: how.
        labels: class names in index order.
    """

    def __init__(self, smoothing: Smoothing, labels: Sequence[str]) -> None:
        self._smoothing, self._labels = smoothing, tuple(labels)
        self._shown: int | None = None  # index of the class that is shown; None: unknown, or nothing yet
        self._started = False
        self._average: NDArray[np.float64] = np.zeros(0)
        self._then = 0.0
        self._votes: deque[tuple[float, int | None, NDArray[np.float64]]] = deque()

    def update(self, probabilities: NDArray[np.float32], seconds: float, threshold: float | None) -> Shown:
        """Take one answer and say what to show.

        Args:
            probabilities: (classes,) of one frame.
            seconds: the frame's time; it never decreases.
            threshold: probability below which the answer is "unknown"; None: never.
        """
        now, limit = probabilities.astype(np.float64), 0.0 if threshold is None else threshold
        if self._smoothing.method is Method.MAJORITY:
            self._shown = self._vote(now, seconds, limit)
            average = self._mean_of_voters()
        elif self._smoothing.method is Method.EMA:
            average = self._average_with(now, seconds)
            self._shown = self._follow(average, limit)
        else:
            average, self._shown = now, self._best(now, limit)
        self._started = True
        if self._shown is None:
            return Shown(UNKNOWN, float(average.max()), known=False)
        return Shown(self._labels[self._shown], float(average[self._shown]), known=True)

    def _average_with(self, now: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        passed = max(0.0, seconds - self._then)
        weight = 1 - math.exp(-passed / self._smoothing.seconds) if self._started else 1.0
        self._average = now if not self._started else self._average + weight * (now - self._average)
        self._then = seconds
        return self._average

    def _follow(self, average: NDArray[np.float64], limit: float) -> int | None:
        """The class to show after an average of probabilities (classes,)."""
        best, shown = int(average.argmax()), self._shown
        if shown is not None and average[shown] >= limit:
            return best if average[best] > average[shown] + self._smoothing.margin else shown
        if not self._started or shown is not None:
            return best if average[best] >= limit else None
        # Where a threshold lies so high that the margin would not fit above it, half of the way is enough.
        return best if average[best] >= limit + min(self._smoothing.margin, (1 - limit) / 2) else None

    def _vote(self, now: NDArray[np.float64], seconds: float, limit: float) -> int | None:
        self._votes.append((seconds, self._best(now, limit), now))
        while self._votes[0][0] <= seconds - self._smoothing.seconds and len(self._votes) > 1:
            self._votes.popleft()
        counts = Counter(vote for _, vote, _ in self._votes)
        winner, most = counts.most_common(1)[0]
        if 2 * most > len(self._votes):
            return winner
        # Nobody has the majority: the shown label stays while it is close to half, and then nothing is certain.
        kept = counts[self._shown] > (0.5 - self._smoothing.margin) * len(self._votes)
        return self._shown if self._started and kept else None

    def _mean_of_voters(self) -> NDArray[np.float64]:
        every = [entry for *_, entry in self._votes]
        voters = [entry for _, vote, entry in self._votes if vote == self._shown]
        mean: NDArray[np.float64] = np.mean(voters or every, axis=0)
        return mean

    @staticmethod
    def _best(probabilities: NDArray[np.float64], limit: float) -> int | None:
        best = int(probabilities.argmax())
        return best if probabilities[best] >= limit else None
