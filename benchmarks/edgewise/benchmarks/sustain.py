"""One photo after the other for minutes: does the machine keep its pace?"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from edgewise.benchmarks.contention import CLOCK_FALL, Watch, clock_hz, usable
from edgewise.benchmarks.latency import Clock, timed
from edgewise.benchmarks.machine_state import celsius, throttle_counts
from edgewise.benchmarks.task import Series

PARTS = 60
"""Equal parts of the time whose medians are kept."""


@dataclass(frozen=True)
class Feeling:
    """How the machine is doing."""

    celsius: float | None = None
    throttles: tuple[int, ...] = ()  # counters
    clock_hz: float = 0.0  # 0: not told


def feel(root: Path = Path("/")) -> Feeling:
    """How this machine is doing now."""
    return Feeling(celsius(root), throttle_counts(root), clock_hz(root, usable()))


def sustain(
    call: Callable[[], object],
    clock: Clock,
    limit_ns: int,
    feel: Callable[[], Feeling] = feel,
    watch: Watch | None = None,
) -> Series:
    """Time calls one after the other until ``limit_ns`` are over.

    Args:
        call: what is timed.
        clock: tells the time.
        limit_ns: no call is begun later than this after the start.
        feel: how the machine is doing.
        watch: is asked between calls who else uses it; None: nobody is.
    """
    call()
    before, begin = feel(), clock.now()
    samples = array("q")
    while clock.now() - begin < limit_ns or not samples:
        samples.append(timed(call, clock))
        if watch:
            watch.tick()
    seconds, after = (clock.now() - begin) / 1e9, feel()
    tenth = max(1, len(samples) // 10)
    return Series(
        seconds=seconds,
        medians_ns=medians(samples, PARTS),
        first_ns=int(median(samples[:tenth])),
        last_ns=int(median(samples[-tenth:])),
        throttled=before.throttles != after.throttles or after.clock_hz < (1 - CLOCK_FALL) * before.clock_hz,
        celsius_first=before.celsius,
        celsius_last=after.celsius,
        loads=watch.finish() if watch else (),
    )


def medians(samples: Sequence[int], parts: int) -> tuple[int, ...]:
    """Medians of about as many parts of equal length, in order; of at most as many as there are samples."""
    parts = min(parts, len(samples))
    edges = [len(samples) * part // parts for part in range(parts + 1)]
    return tuple(int(median(samples[first:last])) for first, last in pairwise(edges))
