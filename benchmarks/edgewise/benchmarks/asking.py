"""Asking for one measurement after the other: of the journal of an interrupted benchmark, or of a fresh process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgewise.benchmarks.answers import Listing, arrays_of
from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.journal import Journal
from edgewise.benchmarks.plan import Plan
from edgewise.benchmarks.processes import Processes
from edgewise.benchmarks.task import Answered, Job, Look, Measurement, Peak, Rate, Series, Task
from edgewise.benchmarks.typed import from_data

WITH_ANSWERS = (Job.ACCURACY, Job.LOOK)
"""Jobs that answer every photo."""

Answer = TypeVar("Answer", Answered, Look, Measurement, Peak, Rate, Series)


@dataclass(frozen=True)
class Step:
    """Where the benchmark is."""

    done: int  # measurements behind us
    total: int  # repeats of disturbed rounds come on top
    title: str  # what is measured now


@dataclass(frozen=True)
class Photos:
    """The photos of a campaign, as its processes read them."""

    listing: Listing
    path: Path  # of the written listing
    readable: str  # path of one that can be read: the query
    pictures: Mapping[tuple[int, int], Path]  # .npy of the query for each height and width


class Asker:
    """Asks, and tells how far it has come."""

    def __init__(
        self,
        plan: Plan,
        photos: Photos,
        identity: Mapping[str, Any],
        processes: Processes,
        journal: Journal,
        progress: Callable[[Step], None],
    ) -> None:
        """Ask nothing yet.

        Args:
            plan: the rows.
            photos: with what.
            identity: what answers depend on beside their task: machine, versions, digests of the data.
            processes: does the jobs.
            journal: keeps their answers.
            progress: is told before each measurement.
        """
        self._plan, self._photos, self._identity = plan, photos, identity
        self._processes, self._journal, self._progress = processes, journal, progress
        self.total = 0  # measurements that there will be
        self._done = 0

    def say(self, title: str) -> None:
        """Show a last piece of work: everything is measured."""
        self._progress(Step(self._done, self._done, title))

    def task(self, entry: Entry, job: Job, seconds: float, photos: tuple[str, ...] = ()) -> Task:
        """A job on a row.

        Args:
            entry: the row.
            job: what to do.
            seconds: for it, 0: only the start.
            photos: paths, for the stages.
        """
        model = self._plan.models.get(entry.path)
        picture = self._photos.pictures.get((model.height, model.width)) if model else None
        return Task(
            job=job,
            kind=entry.kind,
            path=entry.path,
            backend=entry.backend,
            provider=entry.provider,
            threads=entry.threads,
            cores=pin(entry.threads),
            photos=(self._photos.readable, *photos),
            picture=str(picture or ""),
            listing=str(self._photos.path),
            seconds=seconds,
        )

    def ask(
        self, kind: type[Answer], task: Task, title: str, about: Mapping[str, Any], *, memory: bool = False
    ) -> tuple[Answer, int, str]:
        """Have a task done, unless it was.

        Args:
            kind: what its job answers with.
            task: what to do.
            title: for the progress.
            about: what the answer depends on beside the task and what all answers depend on.
            memory: sample the memory meanwhile.

        Returns:
            The answer, the peak memory in bytes, and where its arrays lie.

        Raises:
            InputError: the answer in the journal is not one.
            OutputError: the journal cannot be written.
        """
        self._progress(Step(self._done, max(self.total, self._done), title))
        self._done += 1
        key = self._journal.key(task, {**self._identity, **about})
        if task.job in WITH_ANSWERS:
            task = replace(task, result=str(self._journal.folder / f"answers-{key}.json"))
        done = self._journal.get(key)
        if done is None or (task.result and not arrays_of(task.result).is_file()):
            photos = self._photos.listing.photos if task.result else task.photos
            done = self._processes.run(task, photos=len(photos), memory=memory)
            self._journal.put(key, done)
        return from_data(kind, done.answer, "the answer of a measuring process"), done.peak_bytes, task.result
