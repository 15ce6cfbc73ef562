"""Finding the fastest of several, when every measurement is disturbed by whatever else the machine does.

All are measured in turn, round after round, so that a busy second strikes all of them; and because other work only
ever adds time, what counts is the lower quartile, not the mean. After some rounds those that are clearly slower are
left out, and the time goes to those that are close together (successive halving: Karnin, Koren and Somekh, ICML 2013).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Runner = TypeVar("Runner")

SLACK = {4: 2.5, 8: 1.6, 16: 1.25, 32: 1.1}
"""After so many rounds, who is at most so many times as slow as the fastest stays."""

MOST_ROUNDS = 48


def typical(values: Sequence[float]) -> float:
    """The lower quartile of at least one measurement."""
    return sorted(values)[(len(values) - 1) // 4]


def race(
    runners: Sequence[Runner], measure: Callable[[Runner], float], has_time: Callable[[], bool]
) -> Mapping[Runner, tuple[float, ...]]:
    """Measure in rounds until one is left, MOST_ROUNDS are over, or there is no time left.

    Args:
        runners: at least one, hashable.
        measure: one measurement of one runner, > 0; less is better.
        has_time: asked before each round but the first, which is always run to its end.

    Returns:
        What was measured of each runner, in order of time, at least once each.
    """
    measured: dict[Runner, list[float]] = {runner: [] for runner in runners}
    left = list(runners)
    for number in range(1, MOST_ROUNDS + 1):
        for runner in left if number % 2 else reversed(left):
            measured[runner].append(measure(runner))
        if number in SLACK:
            limit = SLACK[number] * min(typical(measured[runner]) for runner in left)
            left = [runner for runner in left if typical(measured[runner]) <= limit]
        if len(left) == 1 or not has_time():
            break
    return {runner: tuple(values) for runner, values in measured.items()}


def winner(measured: Mapping[Runner, Sequence[float]]) -> Runner:
    """The runner with the least typical time among those that were measured to the end."""
    most = max(map(len, measured.values()))
    return min(
        (runner for runner in measured if len(measured[runner]) == most), key=lambda each: typical(measured[each])
    )
