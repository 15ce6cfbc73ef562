"""Is one row really faster than another? Decided from the medians of rounds, each measured in a process of its own.

Queries within one process are not independent: where its memory came to lie, which core it began on and what the
machine did meanwhile are common to all of them. So a round counts as one observation, however many queries it has, and
the difference has to show beside what rounds of equal code differ by (Kalibera and Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013). Rounds that were measured in turns are compared pass by pass, so that a machine that
becomes slower or faster takes both rows along; the interval is Student's, of the mean logarithm of the ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, median, variance

from edgewise.benchmarks.statistics import Interval, student

LEAST_ROUNDS = 3
"""Rounds below which nothing is told: two say next to nothing of how much rounds differ."""

SMALLEST = 0.01
"""Ratios nearer to 1 than this are called neither faster nor slower: so much may come from where memory lies."""

SAME_WITHIN = 0.03
"""Rows are called the same where the whole interval of their ratio is at most so far from 1."""

BETWEEN_RUNS = 0.02
"""By how much equal code may differ from one run of the benchmark to another at least, as a share."""

WORTH_ROUNDS = 2
"""How many independent observations the rounds of one run are worth, where another run is compared with it. Rounds that
follow each other see the machine in the same mood: on a shared virtual machine with two cores, medians of single
processes had standard deviations of 5% and 10%, those of ten in a row 3.4% and 7.2%, where chance alone makes 1.6% and
3.1%."""


NARROW = 0.015
"""Half width of the interval of a ratio that is worth no further rounds: 3% are told from nothing with it, in at least
95 of 100 cases."""

WIDER = 1.15
"""Intervals of pairs are made wider by this. Neighbouring rounds may see the machine in different moods, and who stops
when an interval is narrow stops a little too often when it is so by chance: without it equal code was called different
in up to 7% of simulated benchmarks and comparisons that drew from recordings of a restless machine."""


class Verdict(str, Enum):
    """What is told of two rows."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Change:
    """How the latency of one row compares with that of another."""

    ratio: Interval  # after / before, > 0; below 1: faster
    verdict: Verdict
    why: str = ""  # where it cannot be told: what is missing
    failed: bool = False  # the two could not be compared at all, or were measured too shortly for any verdict

    @staticmethod
    def impossible(ratio: float, why: str) -> Change:
        """Of two rows that could not be compared, although each was measured by itself."""
        return Change(Interval(ratio, _exp(-math.inf), _exp(math.inf)), Verdict.CANNOT_TELL, why, failed=True)


def compare_rounds(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], *, in_turns: bool, contended: bool = False
) -> Change:
    """Compare two rows.

    Args:
        before: times of each round in one unit, > 0; at least one round, each with at least one time.
        after: the same of the other row.
        in_turns: both were measured in one run, and the n-th round of one belongs to the n-th of the other.
        contended: something else used the machine meanwhile. Such a pair is called faster or slower only where every
            single round of one is faster than all of the other; same it is never called.
    """
    first, second = ([math.log(median(samples)) for samples in row] for row in (before, after))
    differences = [b - a for a, b in zip(first, second, strict=False)]
    mean, half = _of_pairs(differences) if in_turns else _independent(first, second)
    rounds, apart = min(len(first), len(second)), max(first) < min(second) or max(second) < min(first)
    return _change(mean, half, rounds, untold=contended and not apart)


def compare_turns(ratios: Sequence[Sequence[float]], *, contended: bool = False) -> Change:
    """Compare two rows that were measured in turns of milliseconds.

    Args:
        ratios: of each round, the ratio of the second row to the first in each turn, > 0.
        contended: as in `compare_rounds`; told apart are rows where every round says the same.
    """
    differences = [math.log(median(turns)) for turns in ratios]
    mean, half = _of_pairs(differences)
    return _change(mean, half, len(differences), untold=contended and min(differences) < 0 < max(differences))


def is_narrow(ratios: Sequence[Sequence[float]]) -> bool:
    """Whether further rounds would not tell more, whatever these tell; arguments as `compare_turns`."""
    return _of_pairs([math.log(median(turns)) for turns in ratios])[1] <= NARROW


def _change(mean: float, half: float, rounds: int, *, untold: bool) -> Change:
    """From the mean logarithm of the ratio and the half width of its interval."""
    ratio = Interval(math.exp(mean), _exp(mean - half), _exp(mean + half))
    if rounds < LEAST_ROUNDS:
        why = f"it takes at least {LEAST_ROUNDS} rounds of each"
        return Change(ratio, Verdict.CANNOT_TELL, why, failed=True)
    if untold:
        return Change(ratio, Verdict.CANNOT_TELL, "something else used the machine meanwhile")
    return _decide(ratio)


def _decide(ratio: Interval) -> Change:
    if ratio.low > 1 and ratio.value >= 1 + SMALLEST:
        return Change(ratio, Verdict.SLOWER)
    if ratio.high < 1 and ratio.value <= 1 - SMALLEST:
        return Change(ratio, Verdict.FASTER)
    if ratio.low >= 1 - SAME_WITHIN and ratio.high <= 1 + SAME_WITHIN:
        return Change(ratio, Verdict.SAME)
    return Change(ratio, Verdict.CANNOT_TELL, "rounds of the same row differ by more; give it more --seconds")


def _of_pairs(differences: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of logarithms of ratios."""
    if len(differences) < 2:
        return differences[0], math.inf
    return fmean(differences), WIDER * student(len(differences) - 1) * math.sqrt(
        variance(differences) / len(differences)
    )


def _independent(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The same of two runs (Welch, Biometrika 34, 1947), with what one run differs from another by."""
    mean = fmean(second) - fmean(first)
    if min(len(first), len(second)) < 2:
        return mean, math.inf
    parts = [variance(medians) / WORTH_ROUNDS for medians in (first, second)]
    total = sum(parts)
    if total == 0:
        return mean, BETWEEN_RUNS
    freedom = total**2 / sum(part**2 / (len(medians) - 1) for part, medians in zip(parts, (first, second), strict=True))
    return mean, math.hypot(student(int(freedom)) * math.sqrt(total), BETWEEN_RUNS)


def _exp(logarithm: float) -> float:
    """Without an overflow: an interval without bounds goes from 0 to the largest number."""
    return math.exp(min(max(logarithm, -700.0), 700.0))
