"""One fresh process of a row: its start to the first label, single queries, and where the time of a photo goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgewise.benchmarks.contention import Watch
from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.latency import Clock, measure, warm_up
from edgewise.benchmarks.networks import Network, open_network
from edgewise.benchmarks.task import Measurement, Task

WARM_UP_SHARE, STAGES_SHARE = 0.25, 0.15
"""Parts of a round's time that the warm-up and the stages may take."""


def measure_latency(task: Task, clock: Clock, watch: Callable[[], Watch]) -> Measurement:
    """Load the network and answer the first photo; then, if there is time, single queries and the stages.

    Raises:
        EdgewiseError: the model cannot be loaded, or the photo cannot be read.
    """
    network, seen = start(task, clock, watch)
    if task.seconds <= 0:
        return seen
    seen = with_queries(seen, task, network, clock, watch)
    if task.kind is Kind.PLAIN:
        return seen
    from edgewise.benchmarks.stages import time_stages

    watching = watch()
    sums = time_stages(network, task.photos, clock, _nanoseconds(task, STAGES_SHARE), watching.tick)
    return replace(seen, stages=sums, stage_loads=watching.finish())


def start(task: Task, clock: Clock, watch: Callable[[], Watch]) -> tuple[Network, Measurement]:
    """Load the network and answer the first photo. Raises EdgewiseError where that cannot be done."""
    began = clock.now()
    starting = watch()
    looking_ns = clock.now() - began  # at the counters: not the start's own time
    network = open_network(task)
    network.run(network.query)
    start_ns = clock.now() - task.started_ns - looking_ns
    return network, Measurement(
        threads=network.threads,
        provider=network.provider,
        precision=network.precision,
        sha256=network.sha256,
        start_ns=start_ns,
        start_loads=starting.finish(),
    )


def with_queries(
    seen: Measurement, task: Task, network: Network, clock: Clock, watch: Callable[[], Watch]
) -> Measurement:
    """What was seen, and single queries after a warm-up; the stages' share of the time is left where there are any."""
    from edgewise.benchmarks.machine_state import energy_domains, energy_source, joules_between

    def query() -> object:
        return network.run(network.query)

    warm = warm_up(query, clock, _nanoseconds(task, WARM_UP_SHARE))
    before, watching = energy_domains(), watch()
    share = 1 - WARM_UP_SHARE - (0 if task.kind is Kind.PLAIN else STAGES_SHARE)
    samples = measure(query, clock, _nanoseconds(task, share), watching.tick)
    loads, after = watching.finish(), energy_domains()
    return replace(
        seen,
        warm_up_calls=warm.calls,
        stable=warm.stable,
        samples_ns=samples,
        loads=loads,
        joules=joules_between(before, after),
        energy_source=energy_source(before),
    )


def _nanoseconds(task: Task, share: float) -> int:
    return int(task.seconds * share * 1e9)
