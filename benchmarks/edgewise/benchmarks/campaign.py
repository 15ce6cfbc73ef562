"""Measuring a plan, job after job: a failure ends the jobs of its row, and a disturbed round is measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgewise.benchmarks.accuracy import make_accuracy
from edgewise.benchmarks.answers import Answers, arrays_of
from edgewise.benchmarks.asking import Answer, Asker, Photos, Step
from edgewise.benchmarks.contention import find_contention, without_clocks
from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.evidence import Evidence, collect
from edgewise.benchmarks.figures import Ceiling, highest
from edgewise.benchmarks.journal import Journal
from edgewise.benchmarks.latency import AT_LEAST, WINDOW, Clock, MonotonicClock
from edgewise.benchmarks.plan import Plan
from edgewise.benchmarks.processes import Processes
from edgewise.benchmarks.request import Effort
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.rows import Gathered
from edgewise.benchmarks.schedule import TRIES, best_clock, contended, quieter, rounds_in_turn, trouble
from edgewise.benchmarks.task import Answered, Job, Load, Measurement, Peak, Rate, Series, Task

MEMORY_SECONDS = 0.2
"""Of single queries, while memory is sampled."""

CALLS = 1 + 2 * WINDOW + AT_LEAST
"""Photos that a process of single queries answers at least."""

BULK = "many photos at once"
PROFILES = "profiles of what is not faster than expected"
CALLS_OF_A_PROFILE = 25
"""Photos that take as long as a profile, beside the start."""

STAGES_PHOTOS = 32
"""Photos of one round whose stages are timed at most."""


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
        clock: Clock | None = None,
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
            clock: tells whether the effort's time is over; None: the machine's.
            progress: is told before each measurement.
        """
        self._plan, self._photos, self._effort, self._seed = plan, photos, effort, seed
        self._sustain_minutes, self._bare = sustain_minutes, bare_bytes
        self._asker = Asker(plan, photos, identity, processes, journal, progress)
        self.gathered = [Gathered(macs=plan.macs(entry), error=entry.error) for entry in plan.entries]
        self.ceilings: tuple[Ceiling, ...] = ()
        self.answered: Answered | None = None  # of the first file whose photos were answered
        self.left_out: list[str] = []  # what there was no time for
        self._clock = clock or MonotonicClock()
        self._began = self._clock.now()

    def run(self) -> None:
        """Measure everything."""
        self._asker.total = self._total()
        self._ceilings("before")
        self._accuracies()
        whole = self._whole()
        self._memory(whole)
        self._bulk(whole)
        for number, index in self._in_turn(self._able(), self._effort.rounds):
            self.gathered[index].rounds[number] = self._round(index, number, 0)
        self._repeats()
        self._sustain()
        self._ceilings("after")
        self.say("done")

    def evidence(self, row: Row) -> Evidence:
        """Look for why a row is not faster, by a profile where there is time for it."""
        self._asker.say(f"why not faster: {row.title}")
        seconds = (CALLS_OF_A_PROFILE * row.latency.p50 + (row.start_ms.value if row.start_ms else 0.0)) / 1e3
        if not (profiled := self.has_time(seconds)) and PROFILES not in self.left_out:
            self.left_out.append(PROFILES)
        return collect(row.entry, profiled=profiled)

    def has_time(self, seconds: float) -> bool:
        """Whether something that takes so many seconds ends within the effort's time."""
        return (self._clock.now() - self._began) / 1e9 + seconds <= self._effort.within

    def _needs(self, rows: Iterable[int], seconds: float) -> float:
        """Seconds for a process of each row that asks for so long, told from the first round of them."""
        rounds = [self.gathered[index].rounds[0] for index in rows]
        return sum(done.start_ns / 1e9 + max(seconds, CALLS * max(done.samples_ns, default=0) / 1e9) for done in rounds)

    def say(self, title: str) -> None:
        """Show what is done when everything is measured."""
        self._asker.say(title)

    @property
    def rounds(self) -> int:
        """Rounds of single queries that were measured of each row."""
        return self._effort.rounds

    @property
    def offline_rounds(self) -> int:
        """The same of many photos at once."""
        return self._effort.offline_rounds

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

    def _whole(self) -> list[int]:
        """The rows whose memory and bulk are measured."""
        return [index for index in self._able() if self._is_whole(self._plan.entries[index])]

    def _is_whole(self, entry: Entry) -> bool:
        """Whether memory and bulk of a row are measured."""
        return entry.kind is not Kind.PLAIN

    def _total(self) -> int:
        """Measurements that there will be."""
        able, whole, widest = len(self._able()), len(self._whole()), len(self._plan.widest())
        each = self._effort.rounds * able + (1 + self._effort.offline_rounds) * whole
        return 2 * len(self._plan.threads) + each + widest * (2 if self._sustain_minutes else 1)

    def _ask(
        self, index: int, kind: type[Answer], task: Task, what: str, *, number: int = 0, memory: bool = False
    ) -> tuple[Answer, int, str]:
        """An answer about a row, as `Asker.ask` gives it; an error becomes the row's."""
        entry = self._plan.entries[index]
        about = {"sha256": entry.sha256, "number": number, "memory": memory}
        asked = self._asker.ask(kind, task, f"{what}: {entry.title}", about, memory=memory)
        self.gathered[index].error = self.gathered[index].error or asked[0].error
        return asked

    def _ceilings(self, when: str) -> None:
        """The most that is seen before and after everything else, as the machine may be slower at either time."""
        found = {each.threads: each for each in self.ceilings}
        for threads in self._plan.threads:
            task = Task(Job.CEILING, threads=threads, cores=pin(threads), seconds=self._effort.peak_seconds)
            title = f"the machine's peak, {threads} thread{'s' if threads > 1 else ''}"
            peak, _, _ = self._asker.ask(Peak, task, title, {"when": when})
            if not peak.error:
                disturbed = find_contention(without_clocks(peak.loads))
                seen = Ceiling(threads, peak.fp32_gflops, peak.int8_gops, peak.method, disturbed)
                found[threads] = highest(found.get(threads, seen), seen)
        self.ceilings = tuple(found[threads] for threads in sorted(found))

    def _accuracies(self) -> None:
        found = {}
        for index in self._plan.widest():
            task = replace(self._asker.task(self._plan.entries[index], Job.ACCURACY, 0.0), cores=())
            told, _, result = self._ask(index, Answered, task, "accuracy")
            found[index] = told, result
        self._judge(found)

    def _judge(self, found: Mapping[int, tuple[Answered, str]]) -> None:
        """How right the answers are that were found, by the last row of each group, and where their arrays lie."""
        reference: Answers | None = None
        for members in self._plan.groups().values():
            told, result = found[members[-1]]
            answers = None if told.error else Answers.read(arrays_of(result))
            accuracy = make_accuracy(self._photos.listing, answers, reference, told.threshold) if answers else None
            error = told.error or ("" if accuracy else "no photo could be read")
            for row in (self.gathered[index] for index in members):
                row.accuracy, row.error = accuracy, row.error or error
            if answers:
                self.answered = self.answered or told
                reference = answers if self._plan.entries[members[-1]].is_reference else reference

    def _memory(self, rows: Sequence[int]) -> None:
        for index in rows:
            task = self._asker.task(self._plan.entries[index], Job.LATENCY, MEMORY_SECONDS)
            _, peak, _ = self._ask(index, Measurement, task, "memory", memory=True)
            self.gathered[index].memory_bytes = max(0, peak - self._bare) if peak and self._bare else 0

    def _bulk(self, rows: Sequence[int]) -> None:
        for number, index in self._in_turn(rows, self._effort.offline_rounds):
            self.gathered[index].rates[number] = self._rate(index, number)

    def _bulk_task(self, entry: Entry) -> Task:
        return self._asker.task(entry, Job.OFFLINE, self._effort.offline_seconds)

    def _rate(self, index: int, number: int) -> Rate:
        """One pass of many photos at once; a disturbed one is tried again, and the less disturbed one counts."""
        best: Rate | None = None
        for attempt in range(TRIES):
            task = self._bulk_task(self._plan.entries[index])
            count = self._effort.offline_rounds
            what = BULK + (f", round {number + 1} of {count}" if count > 1 else "")
            rate, _, _ = self._ask(index, Rate, task, what, number=number + count * attempt)
            best = rate if best is None else min(best, rate, key=lambda each: trouble(each.loads))
            if rate.error or not find_contention(rate.loads) or self._effort.repeats < attempt + 0.5:
                break
        assert best is not None
        return best

    def _in_turn(self, rows: Sequence[int], rounds: int, first: int = 0) -> Iterator[tuple[int, int]]:
        """Rounds and rows in changing order, from the first round on; a row that fails is left out from then on."""
        for number, place in rounds_in_turn(len(rows), rounds, self._seed):
            if number >= first and not self.gathered[rows[place]].error:
                yield number, rows[place]

    def _round(self, index: int, number: int, attempt: int) -> Measurement:
        rounds = self._effort.rounds
        photos = self._photos.listing.photos
        share = photos[number :: max(rounds, len(photos) // STAGES_PHOTOS)][:STAGES_PHOTOS]
        task = self._asker.task(self._plan.entries[index], Job.LATENCY, self._effort.each, share)
        what = f"round {number + 1} of {rounds}{' again' if attempt else ''}"
        done, _, _ = self._ask(index, Measurement, task, what, number=number + rounds * attempt)
        return self._of_its_file(index, done)

    def _of_its_file(self, index: int, done: Measurement) -> Measurement:
        entry = self._plan.entries[index]
        if not done.error and not entry.is_reference and done.sha256 != entry.sha256:
            done = Measurement(error=f"{entry.path} was changed while it was being measured")
            self.gathered[index].error = done.error
        return done

    def _repeats(self) -> None:
        """Measure disturbed rounds again, as long as the budget lasts, and keep whichever was disturbed less."""
        left = int(self._effort.repeats * self.rounds * len(self._able()) + 0.999)
        for attempt in range(1, TRIES + 1):
            best = {threads: self.best_hz(threads) for threads in self._plan.threads}
            rounds = {
                (number, index): (done, best[self._plan.entries[index].threads])
                for index in self._able()
                for number, done in self.gathered[index].rounds.items()
            }
            for number, index in contended(rounds)[:left]:
                if not self.has_time(self._needs([index], self._effort.each)):
                    continue
                left -= 1
                found = self.gathered[index]
                again = self._round(index, number, attempt)
                found.repeats += 1
                first, best_hz = rounds[number, index]
                found.rounds[number] = again if again.error else quieter(first, again, best_hz)

    def _sustain(self) -> None:
        """The rows with the most threads of their like, where it was asked for."""
        for index in sorted(set(self._able()).intersection(self._plan.widest())) if self._sustain_minutes else ():
            task = self._asker.task(self._plan.entries[index], Job.SUSTAIN, 60 * self._sustain_minutes)
            self.gathered[index].series, _, _ = self._ask(index, Series, task, "sustained")
