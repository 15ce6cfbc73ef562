"""Measuring how long one call takes: warm-up until stable, then samples until the time is up.

The clock is a port, so that this logic is tested with a clock that does not tick by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Protocol

WINDOW = 3
"""Warm-up ends when the medians of the last two windows of this many calls agree within TOLERANCE."""

TOLERANCE = 0.05
AT_LEAST = 5
"""Calls that are timed, however slow they are."""

AT_MOST = 5_000
"""Calls that are timed, however fast they are."""


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> int:
        """Nanoseconds since some fixed moment; never goes back."""


class MonotonicClock:
    """The machine's monotonic clock with the best resolution."""

    def now(self) -> int:
        """Nanoseconds since some fixed moment; never goes back."""
        return time.perf_counter_ns()


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went."""

    calls: int  # count, >= 1
    stable: bool  # False: the time was up before two windows agreed


def timed(call: Callable[[], object], clock: Clock) -> int:
    """Nanoseconds that one call takes."""
    start = clock.now()
    call()
    return clock.now() - start


def warm_up(call: Callable[[], object], clock: Clock, limit_ns: int) -> WarmUp:
    """Call until the medians of the last two windows agree, or until ``limit_ns`` are over.

    Two windows are always called, however slow that is, so that a slow network, too, can be found stable.
    """
    end = clock.now() + limit_ns
    samples: list[int] = []
    while True:
        samples.append(timed(call, clock))
        if len(samples) < 2 * WINDOW:
            continue
        before, after = median(samples[-2 * WINDOW : -WINDOW]), median(samples[-WINDOW:])
        if abs(after - before) <= TOLERANCE * before:
            return WarmUp(len(samples), stable=True)
        if clock.now() >= end:
            return WarmUp(len(samples), stable=False)


def measure(
    call: Callable[[], object], clock: Clock, limit_ns: int, between: Callable[[], object] = lambda: None
) -> tuple[int, ...]:
    """Time calls one after the other until ``limit_ns`` are over, AT_LEAST to AT_MOST of them.

    Args:
        call: what is timed.
        clock: with what.
        limit_ns: nanoseconds.
        between: called after each of them, outside of what is timed.

    Returns:
        Nanoseconds of each call, in order.
    """
    end = clock.now() + limit_ns
    samples: list[int] = []
    while len(samples) < AT_LEAST or (clock.now() < end and len(samples) < AT_MOST):
        samples.append(timed(call, clock))
        between()
    return tuple(samples)
