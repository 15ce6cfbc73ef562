"""In which order rounds are measured, and which of them are measured again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from edgewise.benchmarks.contention import find_contention, over_all, without_clocks
from edgewise.benchmarks.task import Load, Measurement

TRIES = 2
"""How often one round is measured again at most."""


def rounds_in_turn(rows: int, rounds: int, seed: int) -> list[tuple[int, int]]:
    """Every round of every row, as pairs of pass and row.

    Each pass goes through all rows, in a shuffled order, and the next one back again (ABBA), so that a drift of the
    machine, such as its warming up, hits all rows alike, and no row always follows the same one.
    """
    chance = random.Random(seed)  # noqa: S311 - an order to repeat, not a secret
    order, turns = list(range(rows)), []
    for number in range(rounds):
        if number % 2 == 0:
            chance.shuffle(order)
        turns += [(number, row) for row in (order if number % 2 == 0 else reversed(order))]
    return turns


def best_clock(loads: Sequence[Load]) -> float:
    """The highest clock in Hz that was seen; 0 where the machine does not tell."""
    return max((load.clock_hz for load in loads), default=0.0)


def contended(rounds: Mapping[tuple[int, int], tuple[Measurement, float]]) -> list[tuple[int, int]]:
    """Those of the rounds, by pass and row, that something disturbed: their queries, then only starts or stages.

    Args:
        rounds: each with the highest clock in Hz that was seen with as many threads.
    """
    queries = [key for key, (done, best_hz) in rounds.items() if find_contention(done.loads, best_hz)]
    others = [
        key
        for key, (done, _) in rounds.items()
        if any(find_contention(without_clocks(loads)) for loads in (done.start_loads, done.stage_loads))
    ]
    return [*sorted(queries), *sorted(set(others) - set(queries))]


def quieter(first: Measurement, again: Measurement, best_hz: float) -> Measurement:
    """Of two measurements of a round the one whose queries were disturbed less, with the quieter start and stages.

    What nothing disturbed the first time stays. The choice never looks at what was timed.
    """
    best = min(first, again, key=lambda done: trouble(done.loads, best_hz))
    start, stages = (
        min(first, again, key=lambda done: trouble(without_clocks(loads(done))))
        for loads in (attrgetter("start_loads"), attrgetter("stage_loads"))
    )
    return replace(
        best,
        start_ns=start.start_ns,
        start_loads=start.start_loads,
        stages=stages.stages,
        stage_loads=stages.stage_loads,
    )


def trouble(loads: Sequence[Load], best_hz: float = 0.0) -> tuple[int, float]:
    """How much something was disturbed, for comparison: the number of reasons, then, of any, `disturbance`."""
    reasons = len(find_contention(loads, best_hz))
    return reasons, disturbance(loads) if reasons else 0.0


def disturbance(loads: Sequence[Load]) -> float:
    """Cores' worth of time that others took and share that was stolen, together; the mean over the slices."""
    whole = over_all(loads) if loads else None
    return whole.others + whole.steal if whole else 0.0
