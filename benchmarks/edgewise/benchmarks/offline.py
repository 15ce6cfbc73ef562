"""Many pictures at once, as MLPerf's Offline scenario: the best of a few ways, through `edgewise.runtime.bulk`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.contention import Watch, without_clocks
from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.latency import Clock
from edgewise.benchmarks.networks import CPU, Network, open_network
from edgewise.benchmarks.task import Rate, Task
from edgewise.runtime.bulk import Bulk
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.loading import Opener
from edgewise.runtime.tuning import copies_that_fit
from edgewise.spec.opening import Opening

TRIALS = 0.4
"""Part of the time that finding the best way may take."""

PARTS = 5
"""Equal parts of the time whose rates tell how steady it was."""

Batches = Iterable[NDArray[Any]]


@dataclass(frozen=True)
class Way:
    """One way to run many pictures, opened."""

    batch: int
    streams: int
    run: Callable[[Batches], Iterator[NDArray[Any]]]


def measure_offline(task: Task, clock: Clock, watch: Callable[[], Watch]) -> Rate:
    """Find the best way and measure it.

    Raises:
        EdgewiseError: the file cannot be loaded.
    """
    network = open_network(task)
    limit = int(task.seconds * 1e9)
    with ExitStack() as stack:
        ways = _ways(task, network, stack)
        best, trying = ways[0], watch()
        if len(ways) > 1:
            each = int(limit * TRIALS / len(ways))
            best = max(ways, key=lambda way: _overall(rates(way, network.query[0], clock, each, trying.tick)))
        tried = trying.finish() if len(ways) > 1 else ()
        watching = watch()
        found = rates(best, network.query[0], clock, int(limit * (1 - TRIALS)), watching.tick)
    # Of the trials, which compute with fewer cores or more, the clocks are not compared.
    loads = (*without_clocks(tried), *watching.finish())
    return Rate(batch=best.batch, streams=best.streams, images_per_second=found, loads=loads)


def _ways(task: Task, network: Network, stack: ExitStack) -> list[Way]:
    if task.kind is Kind.REFERENCE:
        return [Way(size, 1, lambda batches: map(network.run, batches)) for size in task.batches]
    opener = Opener(Path(task.path), Opening(backend=task.backend, provider=task.provider, threads=task.threads))
    choice, _, _ = opener.plans(bulk=True)
    most = min(task.threads, copies_that_fit(len(opener.file.content))) if task.provider == CPU else 1
    ways = []
    for count in [number for number in range(1, most + 1) if task.threads % number == 0]:
        first = opener.load(choice.with_threads(task.threads // count))
        copies = [first.backend, *(first.another() for _ in range(count - 1))]
        for batch in task.batches if first.any_batch else (1,):
            bulk = stack.enter_context(Bulk(Classifier(first.model, first.backend), copies, batch))
            ways.append(Way(batch, count, bulk.run))
    return ways


def rates(
    way: Way, picture: NDArray[Any], clock: Clock, limit_ns: int, between: Callable[[], object] = lambda: None
) -> tuple[float, ...]:
    """Images per second in PARTS equal parts of a run, or fewer where it is short; the pipe is full at the start.

    Args:
        way: how.
        picture: ``(height, width, 3)`` uint8; every batch is made of it.
        clock: tells the time.
        limit_ns: no batch is begun later than this after the start.
        between: called after each batch.
    """
    batch = np.repeat(picture[None], way.batch, axis=0)
    warm, done = 2 * way.streams, list[int]()
    end = clock.now() + limit_ns

    def batches() -> Iterator[NDArray[Any]]:
        count = 0
        while clock.now() < end or count < warm + 2 * way.streams:
            count += 1
            yield batch

    for _ in way.run(batches()):
        done.append(clock.now())
        between()
    # Results come in bursts of as many as there are copies, and in the order of the batches: only from the end of one
    # burst to the end of another as many pictures were computed as came.
    times = done[warm - 1 :]
    step = way.streams * max(1, (len(times) - 1) // (way.streams * PARTS))
    return tuple(step * way.batch / (max(1, after - before) / 1e9) for before, after in pairwise(times[::step]))


def _overall(rates_of_parts: tuple[float, ...]) -> float:
    """Pictures by time, of parts with equally many pictures."""
    return len(rates_of_parts) / sum(1 / rate for rate in rates_of_parts)
