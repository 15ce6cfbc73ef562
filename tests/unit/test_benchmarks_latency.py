from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat

from edgewise.benchmarks.latency import AT_LEAST, AT_MOST, WINDOW, MonotonicClock, measure, timed, warm_up

LONG = 10**12


class Hand:
    """A clock that moves only when a call moves it."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time

    def calls(self, durations: Iterable[int]) -> Callable[[], None]:
        """A call that takes the next of ``durations``, and the last for ever."""
        following = iter(durations)

        def call() -> None:
            self.time += next(following)

        return call


def test_one_call_is_timed() -> None:
    clock = Hand()
    assert timed(clock.calls([123]), clock) == 123


def test_the_warm_up_ends_when_times_are_stable() -> None:
    clock = Hand()
    falling = [1000, 900, 800, 700, 600, 500, 400, 300, 200]
    found = warm_up(clock.calls(chain(falling, repeat(100))), clock, LONG)
    assert found.stable
    assert len(falling) < found.calls <= len(falling) + 10


def test_the_warm_up_ends_when_the_time_is_over() -> None:
    clock = Hand()
    found = warm_up(clock.calls(2**i for i in range(100)), clock, limit_ns=5000)
    assert not found.stable
    assert found.calls == 13


def test_a_slow_call_too_can_be_found_stable() -> None:
    clock = Hand()
    found = warm_up(clock.calls(repeat(10**9)), clock, limit_ns=1)
    assert found.stable
    assert found.calls == 2 * WINDOW


def test_samples_are_taken_until_the_time_is_over() -> None:
    clock = Hand()
    assert measure(clock.calls(repeat(100)), clock, limit_ns=1000) == (100,) * 10


def test_a_slow_call_is_timed_often_enough_and_a_fast_one_not_for_ever() -> None:
    clock = Hand()
    assert len(measure(clock.calls(repeat(10**9)), clock, limit_ns=1)) == AT_LEAST
    assert len(measure(clock.calls(repeat(1)), clock, limit_ns=LONG)) == AT_MOST


def test_the_clock_of_the_machine_does_not_go_back() -> None:
    clock = MonotonicClock()
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)
