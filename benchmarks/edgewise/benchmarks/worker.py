"""The child process that does one job: ``python -m edgewise.benchmarks.worker`` with a task as JSON on stdin.

The answer goes to the file that the task names, because libraries chat on stdout. What a job does not need is not
imported, because start-up and memory are measured from outside.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgewise.benchmarks.contention import SystemMeter, Watch
from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.latency import Clock, MonotonicClock, measure, warm_up
from edgewise.benchmarks.networks import Network, open_network
from edgewise.benchmarks.task import Job, Load, Measurement, StageSums, Task
from edgewise.spec import EdgewiseError
from edgewise.spec.child import end_with_parent
from edgewise.spec.files import write_text

WARM_UP_SHARE, STAGES_SHARE = 0.25, 0.15
"""Parts of a round's time that the warm-up and the stages may take."""


def main() -> None:
    """Do the task on stdin and write the answer."""
    end_with_parent()  # what is left behind would disturb the next benchmark
    task = Task.from_json(sys.stdin.read())
    meter = SystemMeter()  # before the cores are chosen: what runs on the others counts as well
    if task.cores:
        os.sched_setaffinity(0, task.cores)
    clock = MonotonicClock()
    try:
        answer = asdict(_do(task, clock, lambda: Watch(meter, clock)))
    except EdgewiseError as error:
        answer = {"error": str(error)}
    write_text(Path(task.result), json.dumps(answer))


def _do(task: Task, clock: Clock, watch: Callable[[], Watch]) -> Any:
    if task.job is Job.LATENCY:
        return measure_latency(task, clock, watch)
    if task.job is Job.OFFLINE:
        from edgewise.benchmarks.offline import measure_offline

        return measure_offline(task, clock, watch)
    if task.job is Job.ACCURACY:
        from edgewise.benchmarks.answers import answer_all

        return answer_all(task)
    if task.job is Job.SUSTAIN:
        from edgewise.benchmarks.sustain import sustain

        network = open_network(task)
        return sustain(lambda: network.run(network.query), clock, int(task.seconds * 1e9), watch=watch())
    from edgewise.benchmarks.ceiling import measure_peak

    watching = watch()
    peak = measure_peak(task.threads, clock, int(task.seconds * 1e9), watching.tick)
    return replace(peak, loads=watching.finish())


def measure_latency(task: Task, clock: Clock, watch: Callable[[], Watch]) -> Measurement:
    """Load the network and answer the first photo; then, if there is time, single queries and the stages.

    Raises:
        EdgewiseError: the model cannot be loaded, or the photo cannot be read.
    """
    began = clock.now()
    starting = watch()
    looking_ns = clock.now() - began  # at the counters: not the start's own time
    network = open_network(task)
    network.run(network.query)
    start_ns = clock.now() - task.started_ns - looking_ns
    seen = Measurement(
        threads=network.threads,
        provider=network.provider,
        precision=network.precision,
        sha256=network.sha256,
        start_ns=start_ns,
        start_loads=starting.finish(),
    )
    return _with_samples(seen, task, network, clock, watch) if task.seconds > 0 else seen


def _with_samples(
    seen: Measurement, task: Task, network: Network, clock: Clock, watch: Callable[[], Watch]
) -> Measurement:
    from edgewise.benchmarks.machine_state import energy_domains, energy_source, joules_between

    limit = int(task.seconds * 1e9)
    stages_ns = 0 if task.kind is Kind.PLAIN else int(limit * STAGES_SHARE)

    def query() -> object:
        return network.run(network.query)

    warm = warm_up(query, clock, int(limit * WARM_UP_SHARE))
    before, watching = energy_domains(), watch()
    samples = measure(query, clock, limit - int(limit * WARM_UP_SHARE) - stages_ns, watching.tick)
    loads, after = watching.finish(), energy_domains()
    stages, stage_loads = _stages(task, network, clock, stages_ns, watch)
    return replace(
        seen,
        warm_up_calls=warm.calls,
        stable=warm.stable,
        samples_ns=samples,
        loads=loads,
        stages=stages,
        stage_loads=stage_loads,
        joules=joules_between(before, after),
        energy_source=energy_source(before),
    )


def _stages(
    task: Task, network: Network, clock: Clock, limit_ns: int, watch: Callable[[], Watch]
) -> tuple[StageSums, tuple[Load, ...]]:
    if limit_ns == 0:
        return StageSums(), ()
    from edgewise.benchmarks.stages import time_stages

    watching = watch()
    sums = time_stages(network, task.photos, clock, limit_ns, watching.tick)
    return sums, watching.finish()


if __name__ == "__main__":
    main()
