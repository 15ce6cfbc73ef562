"""Measuring a plan, job after job: a failure ends the jobs of its row, and a disturbed round is measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgewise.benchmarks.accuracy import make_accuracy
from edgewise.benchmarks.answers import Answers, Listing, arrays_of
from edgewise.benchmarks.contention import find_contention, without_clocks
from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.figures import Ceiling, highest
from edgewise.benchmarks.journal import Journal
from edgewise.benchmarks.plan import Plan
from edgewise.benchmarks.processes import Processes
from edgewise.benchmarks.request import Effort
from edgewise.benchmarks.rows import Gathered
from edgewise.benchmarks.schedule import TRIES, best_clock, contended, quieter, rounds_in_turn, trouble
from edgewise.benchmarks.task import Answered, Job, Load, Measurement, Peak, Rate, Series, Task
from edgewise.benchmarks.typed import from_data
from edgewise.runtime.engines.base import CPU

MEMORY_SECONDS = 0.2
"""Of single queries, while memory is sampled."""

STAGES_PHOTOS = 32
"""Photos of one round whose stages are timed at most."""

Answer = TypeVar("Answer", Answered, Measurement, Peak, Rate, Series)


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


class Campaign:
    """Everything that is measured of a plan. `run` it once; then read ``gathered``, ``ceilings`` and ``answered``."""

    def __init__(
        self,
        plan: Plan,
        photos: Photos,
        effort: Effort,
        *,
        seed: int,
        sustain_minutes: float,
        identity: Mapping[str, Any],
        processes: Processes,
        journal: Journal,
        bare_bytes: int,
        progress: Callable[[Step], None] = lambda _: None,
    ) -> None:
        """Measure nothing yet.

        Args:
            plan: the rows.
            photos: with what.
            effort: how long.
            seed: of the order of the rounds.
            sustain_minutes: 0: none.
            identity: what answers depend on beside their task: machine, versions, digests of the data.
            processes: does the jobs.
            journal: keeps their answers.
            bare_bytes: memory of a Python that does nothing.
            progress: is told before each measurement.
        """
        self._plan, self._photos, self._effort, self._seed = plan, photos, effort, seed
        self._sustain_minutes, self._identity = sustain_minutes, identity
        self._processes, self._journal, self._bare, self._progress = processes, journal, bare_bytes, progress
        self.gathered = [Gathered(macs=self._macs(entry), error=entry.error) for entry in plan.entries]
        self.ceilings: tuple[Ceiling, ...] = ()
        self.answered: Answered | None = None  # of the first file whose photos were answered
        self._done = 0

    def run(self) -> None:
        """Measure everything."""
        self._ceilings("before")
        self._accuracies()
        own = [index for index in self._able() if self._is_whole(self._plan.entries[index])]
        for index in own:
            self._memory(index)
        for number, index in self._in_turn(own, self._effort.offline_rounds):
            self.gathered[index].rates[number] = self._rate(index, number)
        for number, index in self._in_turn(self._able(), self._effort.rounds):
            self.gathered[index].rounds[number] = self._round(index, number, 0)
        self._repeats()
        for index in self._able():
            if self._sustain_minutes and self._is_widest(index):
                self._sustain(index)
        self._ceilings("after")
        self.say("done")

    def say(self, title: str) -> None:
        """Show what is done when everything is measured."""
        self._progress(Step(self._done, self._done, title))

    def best_hz(self, threads: int) -> float:
        """The highest clock that was seen with so many threads: a single core may run faster than all of them."""
        return best_clock(list(self._loads(threads)))

    def _loads(self, threads: int) -> Iterable[Load]:
        for entry, found in zip(self._plan.entries, self.gathered, strict=True):
            for done in found.rounds.values() if entry.threads == threads else ():
                yield from done.loads

    def _able(self) -> list[int]:
        """The rows that did not fail yet."""
        return [index for index, found in enumerate(self.gathered) if not found.error]

    def _is_whole(self, entry: Entry) -> bool:
        """Whether memory and bulk of a row are measured."""
        return entry.kind is not Kind.PLAIN and not (self._effort.first_look and entry.is_reference)

    def _total(self) -> int:
        entries = [entry for entry in self._plan.entries if not entry.error]
        own = [entry for entry in entries if self._is_whole(entry)]
        widest = sum(1 for index in range(len(self._plan.entries)) if self._is_widest(index))
        sustained = widest if self._sustain_minutes else 0
        counts = len({entry.threads for entry in entries})
        each = (1 + self._effort.offline_rounds) * len(own) + self._effort.rounds * len(entries)
        return 2 * counts + len(self._groups()) + each + sustained

    def _groups(self) -> dict[tuple[str, str, str], list[int]]:
        """Rows that share their accuracy: the same file with the same backend and provider; the reference first."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        order = sorted(enumerate(self._plan.entries), key=lambda pair: not pair[1].is_reference)
        for index, entry in order:
            if entry.kind is not Kind.PLAIN and not entry.error:
                groups.setdefault((entry.path, entry.backend, entry.provider), []).append(index)
        return groups

    def _is_widest(self, index: int) -> bool:
        """Whether this row has the most threads of its like, and is no plain loop."""
        entry = self._plan.entries[index]
        if entry.kind is Kind.PLAIN or entry.error:
            return False
        return index == self._groups()[entry.path, entry.backend, entry.provider][-1]

    def _macs(self, entry: Entry) -> int:
        """Of a file; of the reference, those of a file with its own numbers, because it is the same network."""
        if not entry.is_reference:
            return self._plan.models[entry.path].macs if entry.path in self._plan.models else 0
        return next((model.macs for model in self._plan.models.values() if model.scheme == entry.scheme), 0)

    def _task(self, entry: Entry, job: Job, seconds: float, photos: tuple[str, ...] = ()) -> Task:
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

    def _ask(
        self, kind: type[Answer], task: Task, title: str, key: str, *, photos: int = 0, memory: bool = False
    ) -> tuple[Answer, int, str]:
        """An answer from the journal or from a process."""
        self._progress(Step(self._done, max(self._total(), self._done), title))
        self._done += 1
        if task.job is Job.ACCURACY:
            task = replace(task, result=str(self._journal.folder / f"answers-{key}.json"))
        done = self._journal.get(key)
        if done is None or (task.result and not arrays_of(task.result).is_file()):
            done = self._processes.run(task, photos=photos, memory=memory)
            self._journal.put(key, done)
        return from_data(kind, done.answer, "the answer of a measuring process"), done.peak_bytes, task.result

    def _ask_for(
        self, index: int, kind: type[Answer], task: Task, what: str, *, number: int = 0, memory: bool = False
    ) -> tuple[Answer, int, str]:
        """An answer about a row, the peak memory, and where its arrays lie; an error becomes the row's."""
        entry = self._plan.entries[index]
        about = {**self._identity, "sha256": entry.sha256, "number": number, "memory": memory}
        photos = len(self._photos.listing.photos) if task.job is Job.ACCURACY else len(task.photos)
        asked = self._ask(
            kind, task, f"{what}: {entry.title}", self._journal.key(task, about), photos=photos, memory=memory
        )
        self.gathered[index].error = self.gathered[index].error or asked[0].error
        return asked

    def _ceilings(self, when: str) -> None:
        """The most that is seen before and after everything else, as the machine may be slower at either time."""
        found = {each.threads: each for each in self.ceilings}
        for threads in sorted({entry.threads for entry in self._plan.entries if not entry.error}):
            task = Task(Job.CEILING, threads=threads, cores=pin(threads), seconds=self._effort.peak_seconds)
            title = f"the machine's peak, {threads} thread{'s' if threads > 1 else ''}"
            peak, _, _ = self._ask(Peak, task, title, self._journal.key(task, {**self._identity, "when": when}))
            if not peak.error:
                disturbed = find_contention(without_clocks(peak.loads))
                seen = Ceiling(threads, peak.fp32_gflops, peak.int8_gops, peak.method, disturbed)
                found[threads] = highest(found.get(threads, seen), seen)
        self.ceilings = tuple(found[threads] for threads in sorted(found))

    def _accuracies(self) -> None:
        reference: Answers | None = None
        for members in self._groups().values():
            entry = self._plan.entries[members[-1]]
            task = replace(self._task(entry, Job.ACCURACY, 0.0), cores=())
            told, _, result = self._ask_for(members[-1], Answered, task, "accuracy")
            answers = None if told.error else Answers.read(arrays_of(result))
            accuracy = make_accuracy(self._photos.listing, answers, reference, told.threshold) if answers else None
            for index in members:
                self.gathered[index].accuracy = accuracy
                self.gathered[index].error = told.error or ("" if accuracy else "no photo could be read")
            if answers:
                self.answered = self.answered or told
                reference = answers if entry.is_reference else reference

    def _memory(self, index: int) -> None:
        task = self._task(self._plan.entries[index], Job.LATENCY, MEMORY_SECONDS)
        _, peak, _ = self._ask_for(index, Measurement, task, "memory", memory=True)
        self.gathered[index].memory_bytes = max(0, peak - self._bare) if peak and self._bare else 0

    def _rate(self, index: int, number: int) -> Rate:
        """One pass of many photos at once; a disturbed one is tried again, and the less disturbed one counts."""
        best: Rate | None = None
        for attempt in range(TRIES):
            task = self._task(self._plan.entries[index], Job.OFFLINE, self._effort.offline_seconds)
            if task.provider == CPU and self._effort.first_look:
                task = replace(task, batches=(1,))
            count = self._effort.offline_rounds
            what = "many photos at once" + (f", round {number + 1} of {count}" if count > 1 else "")
            rate, _, _ = self._ask_for(index, Rate, task, what, number=number + count * attempt)
            best = rate if best is None else min(best, rate, key=lambda each: trouble(each.loads))
            if rate.error or not find_contention(rate.loads) or self._effort.repeats < attempt + 0.5:
                break
        assert best is not None
        return best

    def _in_turn(self, rows: Sequence[int], rounds: int) -> Iterator[tuple[int, int]]:
        """Rounds and rows in changing order; a row that fails is left out from then on."""
        for number, place in rounds_in_turn(len(rows), rounds, self._seed):
            if not self.gathered[rows[place]].error:
                yield number, rows[place]

    def _round(self, index: int, number: int, attempt: int) -> Measurement:
        entry, rounds = self._plan.entries[index], self._effort.rounds
        photos = self._photos.listing.photos
        share = photos[number :: max(rounds, len(photos) // STAGES_PHOTOS)][:STAGES_PHOTOS]
        task = self._task(entry, Job.LATENCY, self._effort.seconds / rounds, share)
        what = f"round {number + 1} of {rounds}{' again' if attempt else ''}"
        done, _, _ = self._ask_for(index, Measurement, task, what, number=number + rounds * attempt)
        if not done.error and not entry.is_reference and done.sha256 != entry.sha256:
            done = Measurement(error=f"{entry.path} was changed while it was being measured")
            self.gathered[index].error = done.error
        return done

    def _repeats(self) -> None:
        """Measure disturbed rounds again, as long as the budget lasts, and keep whichever was disturbed less."""
        left = int(self._effort.repeats * self._effort.rounds * len(self._able()) + 0.999)
        for attempt in range(1, TRIES + 1):
            best = {threads: self.best_hz(threads) for threads in {entry.threads for entry in self._plan.entries}}
            rounds = {
                (number, index): (done, best[self._plan.entries[index].threads])
                for index in self._able()
                for number, done in self.gathered[index].rounds.items()
            }
            for number, index in contended(rounds)[:left]:
                left -= 1
                found = self.gathered[index]
                again = self._round(index, number, attempt)
                found.repeats += 1
                found.rounds[number] = again if again.error else quieter(again, *rounds[number, index])

    def _sustain(self, index: int) -> None:
        task = self._task(self._plan.entries[index], Job.SUSTAIN, 60 * self._sustain_minutes)
        self.gathered[index].series, _, _ = self._ask_for(index, Series, task, "sustained")
