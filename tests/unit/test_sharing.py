"""Workers that share pieces of work."""

from __future__ import annotations

import threading

import pytest

from edgewise.export.sharing import SIDE_BY_SIDE, each_in_turn, shared
from edgewise.runtime.cpu import usable_cores


@pytest.mark.parametrize(("threads", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (6, (4, 1)), (16, (4, 4))])
def test_threads_are_shared_out_among_few_photos(threads: int, expected: tuple[int, int]) -> None:
    assert shared(threads) == expected


def test_without_a_number_all_cores_are_used() -> None:
    assert shared(None) == shared(usable_cores())
    assert shared(None)[0] <= SIDE_BY_SIDE


def test_results_come_in_the_order_of_the_pieces_and_no_worker_is_called_twice_at_once() -> None:
    busy = [threading.Lock() for _ in range(3)]

    def work(number: int, piece: int) -> int:
        assert busy[number].acquire(blocking=False), "called while it works"
        try:
            return piece * piece
        finally:
            busy[number].release()

    workers = [lambda piece, number=number: work(number, piece) for number in range(3)]
    assert list(each_in_turn(workers, range(200))) == [piece * piece for piece in range(200)]


def test_what_a_worker_raises_arrives() -> None:
    def fail(piece: int) -> int:
        raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match="piece 0"):
        list(each_in_turn([fail], range(3)))
