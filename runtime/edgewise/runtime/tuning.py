"""The backend "auto": which engine, how many threads and how many copies are fastest for this file on this machine.

Nobody can tell beforehand: it depends on the network's layers, its numbers, the CPU, and the engines' versions. So it
is measured, once, within SECONDS, for single pictures and for many, and remembered (`edgewise.runtime.tuned`). Only
engines that are installed and run the file take part. Engines differ in rounding: their answers for whole-number
files differ slightly, so a choice of engine is a choice of answers in the last digits too.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.backends import Backend, Choice
from edgewise.runtime.race import race, typical, winner
from edgewise.spec import EdgewiseError

SECONDS = 45.0
"""Most time to measure in; what has begun then is brought to its end."""

SHARE_OF_SINGLE = 0.4
"""Of that time, what single pictures get."""

SHARE_OF_LOADING = 0.3
"""Of that time, after which nothing more is loaded."""

SHARE_OF_WARMING = 0.7
"""Of that time, after which no further way of running many pictures takes part."""

LONGEST_BATCH_SECONDS = 0.5
"""A batch that would take longer is not tried."""

BLOCK_SECONDS = 0.02
"""A shorter measurement is repeated until it is about so long."""

BATCHES = (1, 4, 16)
"""Pictures at once that are tried where a network takes any number."""

_TIMES_FILE_SIZE = 3
_MEMORY_OF_AN_ENGINE = 64 << 20

logger = logging.getLogger(__name__)

Load = Callable[[Choice], Backend]
"""Loads a copy of the file; raises EdgewiseError."""


@dataclass(frozen=True)
class Plan:
    """One way to run a file."""

    backend: str
    threads: int  # of each copy, >= 1
    streams: int = 1  # copies that run at the same time, >= 1
    batch: int = 1  # pictures that each gets at once, >= 1


@dataclass(frozen=True)
class Tuning:
    """What was found out."""

    single: Plan
    bulk: Plan
    milliseconds: float  # for a picture alone: typically, with ``single``
    rate: float  # pictures in a second: typically, with ``bulk``
    seconds: float  # that it took
    measured: int  # ways that were compared


def plans(backends: Sequence[str], cores: int, batches: Sequence[int]) -> tuple[list[Plan], list[Plan]]:
    """All ways that are compared, for single pictures and for many: the grid.

    Numbers of threads are powers of two and what shares the cores out evenly. Many pictures keep at least half of the
    cores busy.

    Args:
        backends: names, the usual one first.
        cores: CPU threads to be used at most, >= 1.
        batches: sizes that the network takes.
    """
    even = {number for number in range(1, cores + 1) if cores % number == 0}
    counts = sorted(even | {1 << power for power in range(cores.bit_length())}, reverse=True)
    single = [Plan(name, threads) for threads in counts for name in backends]
    bulk = [
        Plan(name, threads, streams, batch)
        for threads in counts
        for streams in counts
        if cores <= 2 * threads * streams <= 2 * cores
        for name in backends
        for batch in batches
    ]
    return single, bulk


def copies_that_fit(size: int) -> int:
    """How many copies of a file of so many bytes may be loaded, so that half of the free memory stays free; >= 1."""
    return max(1, _free_memory() // 2 // (size * _TIMES_FILE_SIZE + _MEMORY_OF_AN_ENGINE))


class Copies:
    """Copies of a file on several engines, loaded when they are first needed, as long as time and memory allow."""

    def __init__(self, choices: Sequence[Choice], load: Load, size: int, has_time: Callable[[], bool]) -> None:
        """Load nothing yet.

        Args:
            choices: one for each engine; their threads do not count.
            load: loads a copy.
            size: of the file, in bytes.
            has_time: whether one more may be loaded.
        """
        self._choices = {choice.kind.name: choice for choice in choices}
        self._load, self._has_time = load, has_time
        self._left = copies_that_fit(size)
        self._loaded: dict[tuple[str, int], list[Backend]] = {}
        self.errors: dict[str, EdgewiseError] = {}  # by backend: it does not run the file

    def of(self, plan: Plan) -> list[Backend]:
        """The copies that a plan needs; [] where they cannot be had. The first one is loaded in any case."""
        copies = self._loaded.setdefault((plan.backend, plan.threads), [])
        if plan.backend in self.errors:
            return []
        while len(copies) < plan.streams:
            if any(self._loaded.values()) and (self._left < 1 or not self._has_time()):
                return []
            try:
                copies.append(self._load(self._choices[plan.backend].with_threads(plan.threads)))
            except EdgewiseError as error:
                self.errors[plan.backend] = error
                return []
            self._left -= 1
        return copies[: plan.streams]


def tune(
    choices: Sequence[Choice], load: Load, size: int, cores: int, shape: tuple[int, int], *, any_batch: bool
) -> Tuning:
    """Measure what is fastest.

    Args:
        choices: one for each engine that runs the file, the usual one first; their threads do not count.
        load: loads a copy of the file.
        size: of the file, in bytes.
        cores: CPU threads to be used at most, >= 1.
        shape: height and width of the pictures.
        any_batch: the network takes any number of pictures at once.

    Raises:
        EdgewiseError: no engine loads the file; the first error.
    """
    started = time.monotonic()
    logger.info("measuring which backend is fastest for this file on this machine, once, for at most %.0f s", SECONDS)

    def within(share: float) -> Callable[[], bool]:
        return lambda: time.monotonic() - started < share * SECONDS

    copies = Copies(choices, load, size, within(SHARE_OF_LOADING))
    single, bulk = plans([choice.kind.name for choice in choices], cores, BATCHES if any_batch else BATCHES[:1])
    pictures = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape, 3), np.uint8)
    singles = _ready(single, copies, pictures, within(SHARE_OF_LOADING))
    alone = race(list(singles), lambda plan: singles[plan].measure(), within(SHARE_OF_SINGLE))
    picture = min(map(typical, alone.values()))
    bulk = [plan for plan in bulk if plan.batch == 1 or plan.batch * picture <= LONGEST_BATCH_SECONDS]
    many = _ready(bulk, copies, pictures, within(SHARE_OF_WARMING))
    together = race(list(many), lambda plan: many[plan].measure(), within(1))
    for runner in many.values():
        runner.close()
    best, fastest = winner(alone), winner(together)
    return Tuning(
        single=best,
        bulk=fastest,
        milliseconds=typical(alone[best]) * 1000,
        rate=1 / typical(together[fastest]),
        seconds=time.monotonic() - started,
        measured=len(alone) + len(together),
    )


def _ready(
    grid: Sequence[Plan], copies: Copies, pictures: NDArray[np.uint8], has_time: Callable[[], bool]
) -> dict[Plan, Runner]:
    """Those of the grid that can be run; at least one, and no further ones when the time is over."""
    runners: dict[Plan, Runner] = {}
    for plan in grid:
        if runners and not has_time():
            break
        found = copies.of(plan)
        try:
            if found:
                runners[plan] = Runner(plan, found, pictures)
        except EdgewiseError as error:
            copies.errors[plan.backend] = error
    if not runners:
        raise next(iter(copies.errors.values()))
    return runners


class Runner:
    """Copies of a file that are run as a plan says, to be timed."""

    def __init__(self, plan: Plan, copies: Sequence[Backend], pictures: NDArray[np.uint8]) -> None:
        """Run each copy once or twice, to warm up and to see how often it has to run to be timed."""
        self._copies = copies
        self._pool = ThreadPoolExecutor(plan.streams) if plan.streams > 1 else None
        self._batch = pictures[: plan.batch]
        self._repeats = 1
        self._run()
        self._repeats = max(1, min(100, math.ceil(BLOCK_SECONDS / (self.measure() * plan.batch * plan.streams))))

    def measure(self) -> float:
        """Seconds for a picture."""
        start = time.perf_counter()
        self._run()
        pictures = self._repeats * len(self._batch) * len(self._copies)
        return max(time.perf_counter() - start, 1e-9) / pictures

    def close(self) -> None:
        """End the threads."""
        if self._pool:
            self._pool.shutdown()

    def _run(self) -> None:
        if self._pool is None:
            self._repeat(self._copies[0])
        else:
            list(self._pool.map(self._repeat, self._copies))

    def _repeat(self, copy: Backend) -> None:
        for _ in range(self._repeats):
            copy.run(self._batch)


def _free_memory() -> int:
    """Bytes that can still be used; where the system does not tell, much."""
    try:
        lines: Iterator[str] = iter(Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 1 << 40
