"""Several photos at a time with few threads each: faster than one photo after the other with all of them.

A network is a chain of hundreds of small steps. Threads that share one step wait for each other at its end; threads
with a photo of their own do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from edgewise.runtime.cpu import usable_cores

SIDE_BY_SIDE = 4
"""Photos at a time at most: each needs the memory of a network."""

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


def shared(threads: int | None) -> tuple[int, int]:
    """How many photos are run at a time, and with how many threads each.

    Args:
        threads: CPU threads in all, >= 1; None takes all cores.
    """
    threads = threads or usable_cores()
    side_by_side = min(threads, SIDE_BY_SIDE)
    return side_by_side, threads // side_by_side


def each_in_turn(workers: Sequence[Callable[[_Piece], _Result]], pieces: Iterable[_Piece]) -> Iterator[_Result]:
    """What the workers make of the pieces, in their order. Each takes the next piece when it is free.

    Args:
        workers: at least one; each is called by one thread at a time.
        pieces: all are asked for at once.
    """
    free: SimpleQueue[Callable[[_Piece], _Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(piece: _Piece) -> _Result:
        worker = free.get()
        try:
            return worker(piece)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        yield from pool.map(work, pieces)
