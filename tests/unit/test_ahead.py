"""Work that runs ahead in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgewise.runtime.ahead import Ahead


def test_results_come_in_order_whoever_is_ready_first() -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert later.wait(30)
        if number == 3:
            later.set()
        return number * 10

    with Ahead(work, range(20), workers=4, ahead=8) as results:
        assert list(results) == [number * 10 for number in range(20)]


def test_a_result_does_not_wait_for_the_next_input() -> None:
    asked = threading.Event()

    def inputs() -> Iterator[int]:
        yield 1
        assert asked.wait(30)
        yield 2

    with Ahead(str, inputs(), workers=2, ahead=8) as results:
        waiting = iter(results)
        assert next(waiting) == "1"
        asked.set()
        assert list(waiting) == ["2"]


def test_what_inputs_or_work_raise_is_raised_in_its_turn() -> None:
    def inputs() -> Iterator[int]:
        yield 4
        yield 2
        raise KeyError("inputs")

    seen: list[int] = []
    with pytest.raises(KeyError, match="inputs"), Ahead(lambda n: 8 // n, inputs(), workers=2, ahead=4) as results:
        seen.extend(results)
    assert seen == [2, 4]
    with pytest.raises(ZeroDivisionError), Ahead(lambda n: 8 // n, [4, 0, 2], workers=2, ahead=4) as results:
        list(results)


def test_an_endless_input_is_taken_only_as_far_as_wanted() -> None:
    taken = []

    def inputs() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    with Ahead(lambda n: n, inputs(), workers=2, ahead=6) as results:
        waiting = iter(results)
        for wanted in range(30):
            assert next(waiting) == wanted
            assert len(taken) <= wanted + 1 + 6 + 1
    assert len(taken) < 60


def test_the_end_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with Ahead(lambda n: n, range(1000), workers=3, ahead=6) as results:
        next(iter(results))
    assert threading.active_count() == before
