from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp
from pathlib import Path
from random import Random

import pytest

from edgewise.benchmarks.contention import Reading
from edgewise.benchmarks.duel import LEAST_TURNS, Arena, Duellist, PairMeter, duel
from edgewise.benchmarks.task import Job, Task
from edgewise.benchmarks.verdict import Verdict
from edgewise.spec import EdgewiseError

DATA = Path(__file__).parents[1] / "data"


def task(path: Path, backend: str = "onnxruntime") -> Task:
    return Task(Job.LATENCY, path=str(path), backend=backend, threads=1, photos=(str(DATA / "red.png"),))


def test_two_files_are_asked_in_turns_by_fresh_processes() -> None:
    found = duel(task(DATA / "tiny.onnx"), task(DATA / "tiny.tflite", "litert"), (1, 1), 0.05, tries=0)
    (only,) = found.rounds
    assert len(only.ratios) == len(only.times_ns) >= LEAST_TURNS
    assert all(ratio > 0 for ratio in only.ratios)
    assert found.change.why == "it takes at least 3 rounds of each"


def test_a_file_that_cannot_be_loaded_ends_it_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(EdgewiseError, match=r"broken.onnx cannot be measured: .*broken.onnx"):
        duel(task(DATA / "tiny.onnx"), task(broken), rounds=(1, 1), seconds=0.05)


def test_a_process_that_dies_is_told() -> None:
    dies = Arena(enter=lambda given: Duellist(given, ("-c", "import sys; sys.stdin.readline()")))
    with pytest.raises(EdgewiseError, match="the measuring process ended without an answer"):
        duel(task(DATA / "tiny.onnx"), task(DATA / "tiny.onnx"), (1, 1), 0.05, arena=dies)


class Counters:
    """Counters of a machine: 30 s of its cores' time were used, 2 s of it by this process."""

    def read(self) -> Reading:
        return Reading(busy=30.0, own=2.0)


def test_the_pair_s_own_time_is_not_taken_for_that_of_others(tmp_path: Path) -> None:
    for pid in (7, 8):
        stat = tmp_path / f"proc/{pid}/stat"
        stat.parent.mkdir(parents=True)
        stat.write_text(f"{pid} (odd) name) S 1 1 1 0 -1 4194304 100 0 0 0 500 250 0 0 20 0 1 0 100 1000 10\n")
    assert PairMeter([7, 8, 9], Counters(), tmp_path).read().own == pytest.approx(2.0 + 2 * 7.5)


class Made(Arena):
    """Two processes whose times are made up, on a clock that only they move, and a machine that others use at times."""

    def __init__(self, slower: float, busy: Callable[[int], bool] = lambda _: False, noise: float = 0.0) -> None:
        """Make up.

        Args:
            slower: times that the second of two processes takes of what the first takes.
            busy: whether others use the machine, by number of the pair of processes, from 0.
            noise: standard deviation of the logarithm of what differs from process to process.
        """
        self.entered, self.others, chance = 0, 0.0, Random(0)
        clock = FakeClock()

        def enter(given: Task) -> Process:
            is_second, pair = self.entered % 2 == 1, self.entered // 2
            self.entered += 1
            each = 2_000_000 * (slower if is_second else 1.0) * exp(chance.gauss(0.0, noise))
            return Process(self, clock, int(each), 0.5 if busy(pair) else 0.0)

        super().__init__(clock, enter, lambda _: Meters(self, clock))


@dataclass
class FakeClock:
    ns: int = 0

    def now(self) -> int:
        return self.ns


@dataclass
class Meters:
    """One core, busy with the pair all the time, and with others as well."""

    arena: Made
    clock: FakeClock

    def read(self) -> Reading:
        own = self.clock.ns / 1e9
        return Reading(busy=own + self.arena.others, own=own, cores=2)


@dataclass
class Process:
    arena: Made
    clock: FakeClock
    each_ns: int
    others: float  # cores' worth of time that others take
    pid: int = 7

    def query_ns(self) -> int:
        return self.each_ns

    def turn(self, queries: int) -> list[int]:
        self.clock.ns += queries * self.each_ns
        self.arena.others += self.others * queries * self.each_ns / 1e9
        return [self.each_ns] * queries

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        pass


ANY = Task(Job.LATENCY, path="any.onnx")


@pytest.mark.parametrize(
    ("slower", "verdict"), [(1.0, Verdict.SAME), (1.03, Verdict.SLOWER), (0.97, Verdict.FASTER), (1.005, Verdict.SAME)]
)
def test_it_ends_as_soon_as_more_rounds_would_tell_nothing_more(slower: float, verdict: Verdict) -> None:
    found = duel(ANY, ANY, (5, 100), 0.5, arena=Made(slower, noise=0.004))
    assert found.change.verdict is verdict
    assert 5 <= len(found.rounds) < 20


def test_what_differs_from_process_to_process_takes_more_rounds() -> None:
    steady, restless = (duel(ANY, ANY, (5, 100), 0.5, arena=Made(1.0, noise=noise)) for noise in (0.004, 0.03))
    assert len(restless.rounds) > 2 * len(steady.rounds)


def test_a_disturbed_round_is_measured_again() -> None:
    arena = Made(1.03, busy=lambda pair: pair in (2, 3))  # the third round, and once more
    found = duel(ANY, ANY, (5, 5), 0.5, tries=2, arena=arena)
    assert arena.entered == 2 * (5 + 2)
    assert not any(each.disturbed for each in found.rounds)
    assert found.change.verdict is Verdict.SLOWER


def test_a_round_that_stays_disturbed_is_left_out_while_enough_others_are_left() -> None:
    found = duel(ANY, ANY, (5, 8), 0.5, tries=1, arena=Made(1.03, busy=lambda pair: pair in (2, 3)))
    assert [bool(each.disturbed) for each in found.rounds] == [False, False, True, False, False, False]
    assert found.change.verdict is Verdict.SLOWER


def test_where_the_machine_is_never_quiet_equal_code_is_not_told_apart() -> None:
    found = duel(ANY, ANY, (5, 5), 0.5, tries=1, arena=Made(1.0, busy=lambda _: True, noise=0.01))
    assert found.change.verdict is Verdict.CANNOT_TELL
    assert found.change.why == "something else used the machine meanwhile"
    assert all("other processes took" in each.disturbed[0] for each in found.rounds)


def test_a_machine_that_never_comes_to_rest_gets_no_more_rounds_than_it_takes_to_see() -> None:
    found = duel(ANY, ANY, (5, 100), 0.5, tries=0, arena=Made(1.0, busy=lambda _: True))
    assert len(found.rounds) == 10
