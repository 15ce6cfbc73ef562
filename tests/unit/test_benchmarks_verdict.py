"""What is called faster, slower, same or neither, tried out with times that were recorded on a real machine.

``tests/data/noise.npz`` was made by ``benchmarks/record_noise.py``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.benchmarks.compare_releases import ROUNDS, SECONDS
from edgewise.benchmarks.contention import Reading
from edgewise.benchmarks.duel import Arena, duel
from edgewise.benchmarks.latency import measure, warm_up
from edgewise.benchmarks.request import EFFORTS
from edgewise.benchmarks.schedule import rounds_in_turn
from edgewise.benchmarks.statistics import bootstrap_median, paired_points, share, student, unpaired_points
from edgewise.benchmarks.task import Job, Task
from edgewise.benchmarks.verdict import Verdict, compare_rounds, compare_turns

FILE = Path(__file__).parents[1] / "data/noise.npz"
with np.load(FILE) as stored:
    # Of each recorded round, a fresh pair of processes with equal code: the ratio of the two in every turn, and the
    # time of a query from turn to turn, as the machine became slower and faster.
    RATIOS, TIMES = (stored[name] / 1e4 for name in ("ratios", "times"))
    DISTURBED = stored["disturbed"]
TRIALS = 100


class RecordedClock:
    """Time that passes only while something is measured, for as long as it took when it was recorded."""

    def __init__(self, times: NDArray[np.float64]) -> None:
        self._now, self._times = 0.0, cycle(times)

    def now(self) -> int:
        return int(self._now)

    def infer(self) -> None:
        self._now += next(self._times)


def measured(times: NDArray[np.float64]) -> tuple[int, ...]:
    """One round as the benchmark measures it, of a process whose calls take as long as these."""
    clock = RecordedClock(1e3 * times)  # a call takes 10 ms
    warm_up(clock.infer, clock, int(0.25e9))
    return measure(clock.infer, clock, int(0.5e9))


def benchmarks(factor: float, *, contended: bool = False) -> Counter[str]:
    """What is said in TRIALS benchmarks with two rows, the second of which takes ``factor`` times as long.

    Processes follow each other as they were recorded, from a random one on, and the machine becomes slower or faster
    by some per cent from the first to the last.
    """
    rounds, chance, told = EFFORTS[""].rounds, np.random.default_rng(7), Counter[str]()
    for trial in range(TRIALS):
        start = chance.integers(len(TIMES))
        drift = np.exp(np.linspace(0, chance.normal(0, 0.05), 2 * rounds))
        rows: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])
        for place, (_, row) in enumerate(rounds_in_turn(2, rounds, seed=trial)):
            times = TIMES[(start + place) % len(TIMES)] * drift[place]
            rows[row].append(measured(1e4 * times * (factor if row else 1.0)))
        told[compare_rounds(*rows, in_turns=True, contended=contended).verdict.value] += 1
    return told


class Recorded(Arena):
    """Pairs of processes with equal code as they were recorded one after the other, from one of them on, disturbed ones
    included; the second takes ``factor`` times as long."""

    def __init__(self, factor: float, chance: np.random.Generator) -> None:
        clock, self.ns, self.others, self.entered = SimpleNamespace(now=lambda: int(self.ns)), 0.0, 0.0, 0
        begin = int(chance.integers(len(RATIOS)))

        def enter(_: Task) -> Process:
            place, is_second = (begin + self.entered // 2) % len(RATIOS), self.entered % 2 == 1
            self.entered += 1
            if not is_second:  # either of the two processes of a recorded pair may be the first one
                self.exponent = chance.choice([-1, 1])
            ratios = factor * RATIOS[place] ** self.exponent if is_second else np.ones(RATIOS.shape[1])
            return Process(self, cycle(10e6 * TIMES[place][: len(ratios)] * ratios), bool(DISTURBED[place]))

        super().__init__(clock, enter, lambda _: self)

    def read(self) -> Reading:
        return Reading(busy=self.ns / 1e9 + self.others, own=self.ns / 1e9, cores=2)


@dataclass
class Process:
    """One of them: a query takes 10 ms, more or less."""

    arena: Recorded
    times: Iterator[float]
    disturbed: bool
    pid: int = 7

    def query_ns(self) -> int:
        return 10_000_000

    def turn(self, queries: int) -> list[int]:
        each = next(self.times)
        self.arena.ns += queries * each
        self.arena.others += self.disturbed * queries * each / 1e9
        return [int(each)] * queries

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def comparisons(factor: float) -> Counter[str]:
    """What `edgewise compare` says in TRIALS comparisons."""
    task, chance = Task(Job.LATENCY), np.random.default_rng(7)
    return Counter(
        duel(task, task, ROUNDS, SECONDS, arena=Recorded(factor, chance)).change.verdict.value for _ in range(TRIALS)
    )


def test_equal_code_is_called_different_in_at_most_five_of_a_hundred_comparisons() -> None:
    told = comparisons(1.0)
    assert told["faster"] + told["slower"] <= 5


def test_three_per_cent_slower_is_called_slower_in_at_least_95_of_a_hundred_comparisons() -> None:
    assert comparisons(1.03)["slower"] >= 95


@pytest.mark.parametrize("contended", [False, True])
def test_rounds_on_a_restless_machine_make_nothing_up(contended: bool) -> None:
    equal, slower = benchmarks(1.0, contended=contended), benchmarks(1.03, contended=contended)
    assert equal["faster"] + equal["slower"] <= 5
    assert slower["faster"] == 0
    assert not contended or equal["same"] + slower["same"] == 0


def test_what_is_plain_to_see_is_told_whatever_the_machine_does() -> None:
    assert benchmarks(2.0)["slower"] >= 95


def noisy(seed: int, factor: float = 1.0, rounds: int = 10, spread: float = 0.003) -> list[list[float]]:
    chance = np.random.default_rng(seed)
    return [list(factor * np.exp(chance.normal(0, spread) + chance.normal(0, 0.01, 20))) for _ in range(rounds)]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, Verdict.SAME), (1.05, Verdict.SLOWER), (0.95, Verdict.FASTER), (1.005, Verdict.SAME)],
)
def test_verdicts_of_a_quiet_machine(factor: float, verdict: Verdict) -> None:
    change = compare_rounds(noisy(1), noisy(2, factor), in_turns=True)
    assert change.verdict is verdict
    assert change.ratio.low < factor < change.ratio.high
    assert change.why == ""


def test_a_drift_that_both_share_is_no_difference() -> None:
    drift = np.linspace(1, 1.5, 10)
    slowing = [
        [[each * by for each in samples] for samples, by in zip(noisy(seed), drift, strict=True)] for seed in (1, 2)
    ]
    assert compare_rounds(*slowing, in_turns=True).verdict is Verdict.SAME
    assert compare_rounds(*slowing, in_turns=False).verdict is Verdict.CANNOT_TELL


def test_turns_count_as_one_observation_for_each_pair_of_processes() -> None:
    assert compare_turns([[1.031, 1.03, 1.5], [1.029, 1.03], [1.03, 1.031]]).verdict is Verdict.SLOWER
    few = compare_turns([[1.03] * 100, [1.03] * 100])
    assert (few.verdict, few.why) == (Verdict.CANNOT_TELL, "it takes at least 3 rounds of each")
    assert (
        compare_turns([[1.1], [0.9], [1.2], [0.95]], contended=True).why == "something else used the machine meanwhile"
    )
    assert compare_turns([[0.81], [0.8], [0.82]], contended=True).verdict is Verdict.FASTER


def test_what_is_missing_is_said() -> None:
    few = compare_rounds(noisy(1, rounds=2), noisy(2, 1.5, rounds=2), in_turns=True)
    assert (few.verdict, few.why) == (Verdict.CANNOT_TELL, "it takes at least 3 rounds of each")
    one = compare_rounds([[1.0]], [[2.0]], in_turns=False)
    assert (one.verdict, one.ratio.value) == (Verdict.CANNOT_TELL, pytest.approx(2.0))
    wild = compare_rounds(noisy(1, spread=0.3), noisy(2, spread=0.3), in_turns=True)
    assert "rounds of the same row differ by more" in wild.why
    busy = compare_rounds(noisy(1), noisy(2, 1.005), in_turns=True, contended=True)
    assert (busy.verdict, busy.why) == (Verdict.CANNOT_TELL, "something else used the machine meanwhile")


def test_two_runs_are_told_apart_only_beyond_what_runs_differ_by() -> None:
    assert compare_rounds(noisy(1), noisy(2, 1.015), in_turns=True).verdict is Verdict.SLOWER
    assert compare_rounds(noisy(1), noisy(2, 1.015), in_turns=False).verdict is Verdict.CANNOT_TELL
    assert compare_rounds(noisy(1), noisy(2, 1.06), in_turns=False).verdict is Verdict.SLOWER


def test_the_interval_of_a_median_allows_for_few_rounds() -> None:
    def covered(rounds: int) -> Iterator[bool]:
        for seed in range(30):
            found = bootstrap_median(noisy(seed, rounds=rounds, spread=0.05), seed)
            yield found.low <= 1.0 <= found.high

    assert sum(covered(3)) >= 21
    assert sum(covered(10)) >= 27


def test_quantiles_of_students_distribution() -> None:
    assert [student(freedom) for freedom in (1, 9, 30, 1000)] == [12.7062, 2.2622, 2.0423, 2.0423]


def test_paired_points_see_a_difference_only_where_mcnemars_exact_test_does() -> None:
    found = paired_points(gained=2, lost=10, total=400)  # R: binom.test(2, 12)$conf.int is 0.0209 to 0.4841
    assert found.value == -2.0
    assert found.high == pytest.approx(-0.0951, abs=2e-3)
    assert paired_points(0, 5, 400).high > 0  # p = 0.0625
    assert paired_points(0, 6, 400).high < 0  # p = 0.03125
    nothing = paired_points(0, 0, 100)
    assert (nothing.value, nothing.high) == pytest.approx((0.0, 3.62), abs=0.01)


@pytest.mark.parametrize(("gains", "losses"), [(0.0, 0.004), (0.001, 0.006), (0.0, 0.0), (0.02, 0.03), (0.0, 0.05)])
@pytest.mark.parametrize("total", [100, 372])
def test_paired_points_hold_the_truth_in_95_of_100_cases(gains: float, losses: float, total: int) -> None:
    truth, inside, seen = 100 * (gains - losses), 0.0, 0.0
    for gained in range(total if gains else 1):
        first = _binomial(gained, total, gains)
        for lost in range(total - gained if losses else 1):
            # Given those that were gained, those lost are binomial among the rest.
            likely = first * _binomial(lost, total - gained, losses / (1 - gains))
            if likely < 1e-7:
                continue
            found = paired_points(gained, lost, total)
            inside, seen = inside + likely * (found.low <= truth <= found.high), seen + likely
    assert seen > 0.999
    assert inside > 0.95


def _binomial(count: int, total: int, p: float) -> float:
    return math.comb(total, count) * p**count * (1 - p) ** (total - count)


def test_unpaired_points_lie_within_both_intervals() -> None:
    found = unpaired_points(share(80, 100), share(90, 100))
    assert found.value == pytest.approx(10.0)
    assert found.low < 0 < 10 < found.high < 21
