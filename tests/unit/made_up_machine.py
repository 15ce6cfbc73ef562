"""A benchmark on a machine that is made up: its processes answer at once, and its clock stands still."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.benchmarks.answers import Answers, Listing, arrays_of
from edgewise.benchmarks.asking import Photos, Step
from edgewise.benchmarks.campaign import Campaign
from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.journal import Journal
from edgewise.benchmarks.plan import Plan, make_plan
from edgewise.benchmarks.processes import Done
from edgewise.benchmarks.request import EFFORTS
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.rows import make_row
from edgewise.benchmarks.task import Answered, Job, Load, Look, Measurement, Peak, Rate, Series, StageSums, Task
from edgewise.benchmarks.ways import Ways

TINY = Path(__file__).parents[1] / "data"
EFFORT = replace(EFFORTS[""], rounds=4)
MILLION = 1_000_000


class KilledError(Exception):
    """The benchmark's process is killed."""


class Machine:
    """Processes that nobody starts, on a machine that others use during some of the rounds."""

    def __init__(
        self,
        is_busy: Callable[[int], bool] = lambda _: False,
        dies_at: int = 10**9,
        in_bulk: Callable[[int], bool] = lambda _: False,
        seconds: float = 0.0,
    ) -> None:
        """Be busy at some rounds, and die at some task; each of them takes so many ``seconds`` of the clock."""
        self.tasks: list[Task] = []
        self._in_bulk = in_bulk
        self._is_busy, self._dies_at = is_busy, dies_at
        self._seconds, self._now = seconds, 0.0

    def now(self) -> int:
        """As `edgewise.benchmarks.latency.Clock`."""
        return int(self._now * 1e9)

    def run(self, task: Task, *, photos: int = 0, memory: bool = False) -> Done:
        if len(self.tasks) == self._dies_at:
            raise KilledError
        # How long it is waited for: all photos where all are answered.
        assert photos == (3 if task.result else len(task.photos))
        self.tasks.append(task)
        self._now += self._seconds
        answer = self._answer(task, memory=memory)
        if isinstance(answer, Done):
            return answer
        return Done(json.loads(json.dumps(asdict(answer))), 150 * MILLION if memory else 0)

    def _answer(self, task: Task, *, memory: bool) -> Any:
        rounds = sum(1 for each in self.tasks if each.job is Job.LATENCY)
        busy = not memory and task.job is Job.LATENCY and self._is_busy(rounds)
        loads = (Load(1.0, 0.9 if busy else 0.0, 0.0, 0.0, 0.0, 3e9),)
        if task.job is Job.CEILING:
            return Peak(fp32_gflops=50.0 * task.threads, int8_gops=200.0 * task.threads, method="by hand")
        if task.job is Job.OFFLINE:
            busy = self._in_bulk(sum(1 for each in self.tasks if each.job is Job.OFFLINE))
            loads = (replace(loads[0], others=0.9 if busy else 0.0),)
            return Rate(batch=1, streams=task.threads, images_per_second=(100.0, 101.0), loads=loads)
        if task.job is Job.SUSTAIN:
            return Series(seconds=60, medians_ns=(5, 6), first_ns=5, last_ns=6)
        if task.job is Job.ACCURACY:
            return self._answers(task)
        measured = Measurement(
            threads=task.threads, provider="cpu", precision="fp32", sha256=self.sha256(task), start_ns=400 * MILLION,
            stable=True, samples_ns=((9 if busy else 5) * MILLION,) * 20, loads=loads,
            stages=StageSums(2, 2 * MILLION, 4 * MILLION, 6 * MILLION, 8 * MILLION, 24 * MILLION),
        )  # fmt: skip
        return Look(measurement=measured, answered=self._answers(task)) if task.job is Job.LOOK else measured

    def sha256(self, task: Task) -> str:
        return next(entry.sha256 for entry in plan().entries if entry.path == task.path)

    def _answers(self, task: Task) -> Answered:
        right = np.array([0, 1, 2], np.int32)
        Answers(right, np.ones(3, np.float32), np.ones(3, np.float32), np.zeros(3, np.int32)).write(
            arrays_of(task.result)
        )
        return Answered(photos=3, labels=("blue", "green", "red"), threshold=0.5)


def plan() -> Plan:
    return make_plan(TINY / "tiny.onnx", "none", Ways((1, 2), backends=("onnxruntime",)))


def campaign(
    folder: Path,
    machine: Machine,
    *,
    resume: bool = False,
    sustain: float = 0,
    entries: tuple[Entry, ...] = (),
    kind: type[Campaign] = Campaign,
    **changed: Any,
) -> Campaign:
    listing = Listing(("blue", "green", "red"), ("b.png", "g.png", "r.png"), (0, 1, 2))
    steps: list[Step] = []
    made = kind(
        replace(plan(), entries=entries or plan().entries), Photos(listing, folder / "photos.json", "r.png", {}),
        replace(EFFORT, **changed), seed=0,
        sustain_minutes=sustain, identity={"machine": "this"}, processes=machine,
        journal=Journal(folder, resume=resume, overwrite=False), bare_bytes=10 * MILLION,
        clock=machine, progress=steps.append,
    )  # fmt: skip
    made.steps = steps  # type: ignore[attr-defined]
    return made


def rows(done: Campaign, entries: tuple[Entry, ...] = ()) -> list[Row]:
    made = [
        make_row(e, f, done.ceilings, done.best_hz(e.threads))
        for e, f in zip(entries or plan().entries, done.gathered, strict=True)
    ]
    assert all(isinstance(row, Row) for row in made), made
    return [row for row in made if isinstance(row, Row)]
