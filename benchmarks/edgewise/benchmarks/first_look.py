"""A first look, of about a minute: one process for each row, and more where there is time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgewise.benchmarks.campaign import BULK, Campaign
from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.task import Answered, Job, Look, Task
from edgewise.runtime.engines.base import CPU

SECOND_ROUND = "a second round"


@dataclass(frozen=True)
class Part:
    """Something that can be left out."""

    name: str  # as it is called where it was left out
    jobs: int
    seconds: Callable[[], float]  # that it takes about, told from what was seen of each row
    measure: Callable[[], None]


class FirstLook(Campaign):
    """What there is no time for is left out and stays in ``left_out``."""

    def run(self) -> None:
        """Look at every row, however long that takes; then measure the parts that there is time for."""
        rows = self._able()
        self._asker.total = self._total()
        self._ceilings("before")
        self._looks(rows)
        for part in self._parts(rows):
            if self.has_time(part.seconds()):
                part.measure()
            else:
                self.left_out.append(part.name)
                self._asker.total -= part.jobs
        self._repeats()
        began = self._clock.now()
        self._sustain()
        self._began += self._clock.now() - began  # was asked for on top
        self._ceilings("after")
        self.say("done")

    @property
    def rounds(self) -> int:
        """See `Campaign.rounds`."""
        return 1 if SECOND_ROUND in self.left_out else super().rounds

    @property
    def offline_rounds(self) -> int:
        """See `Campaign.offline_rounds`."""
        return 0 if BULK in self.left_out else super().offline_rounds

    def _is_whole(self, entry: Entry) -> bool:
        """See `Campaign._is_whole`: the reference is opened too slowly."""
        return super()._is_whole(entry) and not entry.is_reference

    def _bulk_task(self, entry: Entry) -> Task:
        """See `Campaign._bulk_task`: a CPU hardly gains from batches."""
        task = super()._bulk_task(entry)
        return replace(task, batches=(1,)) if task.provider == CPU else task

    def _total(self) -> int:
        """See `Campaign._total`."""
        able, widest = self._able(), len(self._plan.widest())
        apart = bool(self._sustain_minutes) + (not self._is_few)
        parts = sum(part.jobs for part in self._parts(able))
        return 2 * len(self._plan.threads) + len(able) + apart * widest + parts

    @property
    def _is_few(self) -> bool:
        """Whether so few photos are answered that it can be done one by one."""
        most = self._effort.photos(self._plan.most_macs)
        return most is not None and len(self._photos.listing.photos) <= most

    def _parts(self, rows: Sequence[int]) -> list[Part]:
        """In the order in which they matter."""
        effort, whole = self._effort, self._whole()
        more, bulk = effort.rounds - 1, effort.offline_rounds
        return [
            Part("memory", len(whole), lambda: self._needs(self._whole(), 0.0), lambda: self._memory(self._whole())),
            Part(
                BULK, bulk * len(whole), lambda: 2 * bulk * self._needs(self._whole(), effort.offline_seconds),
                lambda: self._bulk(whole),
            ),
            Part(
                SECOND_ROUND, more * len(self._able()), lambda: more * self._needs(self._able(), effort.each),
                lambda: self._more_rounds(rows),
            ),
        ]  # fmt: skip

    def _looks(self, rows: Sequence[int]) -> None:
        """A round of every row, and all photos, with the row that has the most threads of its like."""
        if not self._is_few:
            self._accuracies()
        looking = self._plan.widest() if self._is_few else ()
        found = {}
        for _, index in self._in_turn(rows, 1):
            if index in looking:
                found[index] = self._look(index)
            else:
                self.gathered[index].rounds[0] = self._round(index, 0, 0)
        if self._is_few:
            self._judge(found)

    def _look(self, index: int) -> tuple[Answered, str]:
        task = self._asker.task(self._plan.entries[index], Job.LOOK, self._effort.each)
        look, _, result = self._ask(index, Look, task, "a first look")
        self.gathered[index].rounds[0] = self._of_its_file(index, replace(look.measurement, error=look.error))
        return replace(look.answered, error=look.error), result

    def _more_rounds(self, rows: Sequence[int]) -> None:
        """The way back: the same rows as in the first round, so that those that failed change no order."""
        for number, index in self._in_turn(rows, self._effort.rounds, first=1):
            self.gathered[index].rounds[number] = self._round(index, number, 0)
