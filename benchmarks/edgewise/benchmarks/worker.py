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
from edgewise.benchmarks.latency import Clock, MonotonicClock
from edgewise.benchmarks.networks import open_network
from edgewise.benchmarks.queries import measure_latency
from edgewise.benchmarks.task import Job, Task
from edgewise.spec import EdgewiseError
from edgewise.spec.child import end_with_parent
from edgewise.spec.files import write_text


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
    if task.job is Job.LOOK:
        from edgewise.benchmarks.look import look

        return look(task, clock, watch)
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


if __name__ == "__main__":
    main()
