"""Percentiles that are withheld where there are too few samples, and exact intervals of a share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

ENOUGH_FOR_P90 = 64
"""Fewest queries for a 90th percentile: MLPerf Inference rules, early stopping."""

ENOUGH_FOR_P99 = 662
"""Fewest queries for a 99th percentile: MLPerf Inference rules, early stopping."""

RESAMPLES = 400
"""Of a bootstrap."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least ``share`` of all samples do not exceed.

    Args:
        samples: at least one number, in any order.
        share: 0 < share <= 1.

    Raises:
        ValueError: no samples, or ``share`` out of range.
    """
    if not samples or not 0 < share <= 1:
        raise ValueError("a percentile needs samples and a share above 0 and up to 1")
    # The rounding undoes floating-point noise such as 0.9 * 10 = 9.000000000000002.
    rank = math.ceil(round(share * len(samples), 9))
    return sorted(samples)[rank - 1]


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Times of single queries in milliseconds; a percentile that the number of queries does not support is None."""

    queries: int  # count, > 0
    p10: float | None  # ms, from 64 queries on
    p50: float  # ms
    p90: float | None  # ms, from 64 queries on
    p99: float | None  # ms, from 662 queries on
    fastest: float  # ms
    p50_interval: Interval  # ms, of the median; bootstrap over rounds


def latency(rounds_ns: Sequence[Sequence[int]]) -> Latency:
    """Summarize times of single queries.

    Args:
        rounds_ns: times of each round in nanoseconds, at least one in all.
    """
    rounds = [[sample / 1e6 for sample in samples] for samples in rounds_ns if samples]
    milliseconds = [sample for samples in rounds for sample in samples]
    queries = len(milliseconds)
    return Latency(
        queries=queries,
        p10=percentile(milliseconds, 0.10) if queries >= ENOUGH_FOR_P90 else None,
        p50=percentile(milliseconds, 0.50),
        p90=percentile(milliseconds, 0.90) if queries >= ENOUGH_FOR_P90 else None,
        p99=percentile(milliseconds, 0.99) if queries >= ENOUGH_FOR_P99 else None,
        fastest=min(milliseconds),
        p50_interval=bootstrap_median(rounds),
    )


LEVEL = 0.95
"""How often an interval holds the truth."""


def confidence(rounds: int) -> float:
    """How often the interval of `bootstrap_median` holds the median of endlessly many rounds, 0-0.95.

    Of fewer than six rounds it is no more than their range, and that misses the median wherever all of them lie on one
    side of it: once in ``2 ** (rounds - 1)`` (Thompson, Annals of Mathematical Statistics 7, 1936).
    """
    return min(LEVEL, 1 - 2.0 ** (1 - rounds))


@dataclass(frozen=True)
class Ratio:
    """After / before."""

    value: float  # > 0
    interval: Interval | None  # None: too few rounds for one


def ratio(before: Interval | None, after: Interval | None, rounds: int) -> Ratio | None:
    """How two figures compare; None where one of them was not measured.

    Args:
        before: median with its interval.
        after: another.
        rounds: of which either is at least. The ratio's interval reaches as far as the two of them together, which
            holds the truth more often than each; where theirs are of too few rounds for `LEVEL` there is none.
    """
    if before is None or after is None or min(before.low, after.low) <= 0:
        return None
    value = after.value / before.value
    if confidence(rounds) < LEVEL:
        return Ratio(value, None)
    return Ratio(value, Interval(value, after.low / before.high, after.high / before.low))


def bootstrap_median(rounds: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """The median of all samples, with the 95% interval of a bootstrap; of fewer than six rounds see `confidence`.

    Rounds are drawn anew, and samples within each, because samples of one process are not independent (Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, 3.8). Of few rounds a bootstrap's plain percentiles are
    too narrow; they are moved outwards as Student's t is (Hesterberg, The American Statistician 69, 2015).

    Args:
        rounds: at least one, each of at least one sample. The interval of a single round only tells of its own process.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(samples, float) for samples in rounds]
    medians = []
    for _ in range(RESAMPLES):
        chosen = [arrays[index] for index in rng.integers(len(arrays), size=len(arrays))]
        medians.append(np.median(np.concatenate([rng.choice(samples, len(samples)) for samples in chosen])))
    low, high = np.percentile(medians, _tails(len(arrays)))
    value = percentile([sample for samples in rounds for sample in samples], 0.5)
    return Interval(value, min(float(low), value), max(float(high), value))


def _tails(rounds: int) -> tuple[float, float]:
    """Which percentiles bound 95%, in percent."""
    if rounds < 2:
        return 2.5, 97.5
    tail = 100 * NormalDist().cdf(-math.sqrt(rounds / (rounds - 1)) * student(rounds - 1))
    return tail, 100 - tail


_STUDENT = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281, 2.201, 2.1788, 2.1604, 2.1448),
    *(2.1314, 2.1199, 2.1098, 2.1009, 2.093, 2.086, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484),
    *(2.0452, 2.0423),
)  # from 1 degree of freedom to 30


def student(freedom: int) -> float:
    """The 97.5% quantile of Student's t distribution; from 31 degrees of freedom on, where it is 2.04 to 1.96, 2.0423.

    Args:
        freedom: degrees of freedom, >= 1.
    """
    return _STUDENT[min(freedom, len(_STUDENT)) - 1]


@dataclass(frozen=True)
class Share:
    """A share of successes with its exact 95% interval, all 0-1."""

    successes: int
    total: int  # count, > 0
    share: float
    low: float
    high: float
    method: str = "Clopper-Pearson 95%"


def share(successes: int, total: int) -> Share:
    """The share of successes with its Clopper-Pearson interval (Clopper and Pearson, Biometrika 26, 1934).

    Raises:
        ValueError: ``total`` is not positive or ``successes`` is not within 0 and ``total``.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} are not a share")
    low = _lower_bound(successes, total)
    high = 1 - _lower_bound(total - successes, total)
    return Share(successes, total, successes / total, low, high)


def paired_points(gained: int, lost: int, total: int) -> Interval:
    """The difference of two shares of right answers to the same questions, in percentage points, with its 95% interval.

    It is the difference of the shares that were gained and lost, whose exact intervals are put together by the
    square-and-add method (Newcombe, Statistics in Medicine 17, 1998, 873-890). Where McNemar's exact test sees no
    difference, nor does the interval: it reaches as far as that of the share gained among all that changed. It holds
    the truth in 95% of all cases or more, also where hardly anything changed.

    Args:
        gained: questions that only the second has right.
        lost: questions that only the first has right.
        total: all questions, > 0.
    """
    wide = unpaired_points(share(lost, total), share(gained, total))
    if not (changed := gained + lost):
        return wide
    of_changed, scale = share(gained, changed), 100 * changed / total
    low, high = ((2 * end - 1) * scale for end in (of_changed.low, of_changed.high))
    return Interval(wide.value, min(wide.low, low), max(wide.high, high))


def unpaired_points(before: Share, after: Share) -> Interval:
    """The same of answers to different questions, or where nobody knows which of them were right.

    Both intervals are put together by the square-and-add method (Newcombe, Statistics in Medicine 17, 1998, 873-890).
    """
    difference = after.share - before.share
    low = math.hypot(after.share - after.low, before.high - before.share)
    high = math.hypot(after.high - after.share, before.share - before.low)
    return Interval(100 * difference, 100 * (difference - low), 100 * (difference + high))


def _lower_bound(successes: int, total: int, tail: float = 0.025) -> float:
    """The p for which ``successes`` or more of ``total`` have probability ``tail``, by bisection."""
    if successes == 0:
        return 0.0
    low, high = 0.0, successes / total
    for _ in range(60):
        middle = (low + high) / 2
        if _at_least(successes, total, middle) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_least(successes: int, total: int, p: float) -> float:
    """Binomial probability of ``successes`` or more, for p <= successes / total, where the terms only fall."""
    if p <= 0 or p >= 1:
        return float(p >= 1)
    logarithm = math.lgamma(total + 1) - math.lgamma(successes + 1) - math.lgamma(total - successes + 1)
    term = math.exp(logarithm + successes * math.log(p) + (total - successes) * math.log1p(-p))
    added = 0.0
    for count in range(successes, total + 1):
        added += term
        if term <= added * 1e-17:
            break
        term *= (total - count) / (count + 1) * p / (1 - p)
    return added
