"""A first look, of about a minute: one process for each row, and more where there is time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgewise.benchmarks.campaign import Campaign
from edgewise.benchmarks.request import MOST
from edgewise.benchmarks.task import Answered, Job, Look


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
        self._asker.total = self._total()
        self._ceilings("before")
        self._looks()
        for part in self._parts():
            if self.has_time(part.seconds()):
                part.measure()
            else:
                self.left_out.append(part.name)
                self._asker.total -= part.jobs
        self._repeats()
        self._sustain()
        self._ceilings("after")
        self.say("done")

    def _total(self) -> int:
        """See `Campaign._total`."""
        able, widest, parts = len(self._able()), len(self._plan.widest()), self._parts()
        apart = bool(self._sustain_minutes) + (not self._is_few)
        return 2 * len(self._plan.threads) + able + apart * widest + sum(part.jobs for part in parts)

    @property
    def _is_few(self) -> bool:
        """Whether so few photos are answered that it can be done one by one."""
        return len(self._photos.listing.photos) <= MOST

    def _parts(self) -> list[Part]:
        """In the order in which they matter."""
        effort, able, whole = self._effort, len(self._able()), len(self._whole())
        more, bulk = effort.rounds - 1, effort.offline_rounds
        each = effort.seconds / effort.rounds
        return [
            Part("memory", whole, lambda: self._needs(self._whole(), 0.0), lambda: self._memory(self._whole())),
            Part(
                "many photos at once", bulk * whole,
                lambda: 2 * bulk * self._needs(self._whole(), effort.offline_seconds),
                lambda: self._bulk(self._whole()),
            ),
            Part(
                "a second round", more * able, lambda: more * self._needs(self._able(), each), self._more_rounds
            ),
        ]  # fmt: skip

    def _looks(self) -> None:
        """A round of every row, and all photos, with the row that has the most threads of its like."""
        if not self._is_few:
            self._accuracies()
        looking = self._plan.widest() if self._is_few else ()
        found = {}
        for _, index in self._in_turn(self._able(), 1):
            if index in looking:
                found[index] = self._look(index)
            else:
                self.gathered[index].rounds[0] = self._round(index, 0, 0)
        if self._is_few:
            self._judge(found)

    def _look(self, index: int) -> tuple[Answered, str]:
        seconds = self._effort.seconds / self._effort.rounds
        task = self._asker.task(self._plan.entries[index], Job.LOOK, seconds)
        look, _, result = self._ask(index, Look, task, "a first look")
        self.gathered[index].rounds[0] = self._of_its_file(index, replace(look.measurement, error=look.error))
        return replace(look.answered, error=look.error), result

    def _more_rounds(self) -> None:
        for number, index in self._in_turn(self._able(), self._effort.rounds, first=1):
            self.gathered[index].rounds[number] = self._round(index, number, 0)
