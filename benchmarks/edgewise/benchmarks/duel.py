"""Two entries in turns of some milliseconds each, in processes that live side by side.

A machine that is shared, or throttles, becomes slower and faster by ten per cent and more from second to second,
whoever looks at it. Whole rounds one after the other see different machines; turns of milliseconds see the same one,
so that the ratio of two neighbouring turns tells little but how the entries differ. What remains is what differs from
process to process, such as where memory lies: so every round is a fresh pair of processes, and one observation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Protocol

from edgewise.benchmarks.contention import Meter, Reading, SystemMeter, Watch, find_contention
from edgewise.benchmarks.latency import Clock, MonotonicClock, measure, timed, warm_up
from edgewise.benchmarks.task import Task
from edgewise.benchmarks.verdict import Change, compare_turns, is_narrow
from edgewise.spec import EdgewiseError
from edgewise.spec.child import safe_python

TURN_NS = 20_000_000
"""About how long a turn takes; its first query, which finds the caches full of the other's numbers, does not count."""

WARM_UP_NS = 300_000_000
LEAST_TURNS = 8
TRIES = 2
"""How often a disturbed round is measured again at most."""

GIVEN_UP = 2
"""After so many times the least number of rounds, who has less than half of them undisturbed gets no more."""

CHILD = ("-m", "edgewise.benchmarks.duel")


@dataclass(frozen=True)
class Round:
    """One pair of processes."""

    ratios: tuple[float, ...]  # second / first, > 0, of each turn's medians
    times_ns: tuple[float, ...] = ()  # of the first, the median of each turn
    disturbed: tuple[str, ...] = ()  # by what, in words


@dataclass(frozen=True)
class Duel:
    """Two entries against each other."""

    change: Change
    rounds: tuple[Round, ...]


class Duellist:
    """A process that has loaded a file and answers when it is asked to."""

    def __init__(self, task: Task, command: Sequence[str] = CHILD) -> None:
        self.title = task.path
        self._process = subprocess.Popen(
            [*safe_python(), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._say(task.to_json())

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def query_ns(self) -> int:
        """Wait until it is warm, and give the median of its queries in nanoseconds."""
        return int(self._hear()[0])

    def turn(self, queries: int) -> list[int]:
        """Nanoseconds of so many queries."""
        self._say(str(queries))
        return self._hear()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._hear()

    def _hear(self) -> list[int]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else "the measuring process ended without an answer"
        if isinstance(answer, str):
            raise EdgewiseError(f"{self.title} cannot be measured: {answer}")
        return list(answer)

    def __enter__(self) -> Duellist:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Opponent(Protocol):
    """One side of a duel: a port, so that what follows is tested with times that are made up."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def query_ns(self) -> int:
        """Wait until it is warm, and give the median of its queries in nanoseconds."""

    def turn(self, queries: int) -> list[int]:
        """Nanoseconds of so many queries."""

    def __enter__(self) -> Opponent: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PairMeter:
    """Counters of the system, in which the time of some other processes counts as this one's own."""

    def __init__(self, pids: Sequence[int], meter: Meter | None = None, root: Path = Path("/")) -> None:
        self._paths = [root / f"proc/{pid}/stat" for pid in pids]
        self._meter, self._tick = meter or SystemMeter(), 1 / os.sysconf("SC_CLK_TCK")

    def read(self) -> Reading:
        """See `Meter.read`."""
        found = self._meter.read()
        return replace(found, own=found.own + sum(map(self._seconds, self._paths)))

    def _seconds(self, path: Path) -> float:
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) * self._tick
        except (OSError, IndexError, ValueError):
            return 0.0


@dataclass(frozen=True)
class Arena:
    """Where duels are fought."""

    clock: Clock = field(default_factory=MonotonicClock)
    enter: Callable[[Task], Opponent] = Duellist  # starts a process
    meter: Callable[[Sequence[int]], Meter] = PairMeter  # for the processes of these numbers


def duel(
    first: Task,
    second: Task,
    rounds: tuple[int, int],
    seconds: float,
    *,
    tries: int | None = None,
    arena: Arena | None = None,
) -> Duel:
    """Measure two entries against each other.

    A round that stays disturbed is left out, for what the machine did and never for its times, as long as enough others
    are left; otherwise all count, and the two are told apart only where every one says the same.

    Args:
        first: what to load and ask; of its fields job, seconds and result do not matter.
        second: the other.
        rounds: fresh pairs of processes, at least and at most; between, until the interval of the ratio is narrow.
        seconds: of queries, each round, both together.
        tries: how often a disturbed round is measured again at most; None: TRIES.
        arena: clock, processes and counters; None: those of this machine.

    Raises:
        EdgewiseError: one of them cannot be loaded, or its process died.
    """
    arena, found, quiet = arena or Arena(), list[Round](), list[Round]()
    for number in range(rounds[1]):
        best = _round((first, second), arena, seconds, number)
        for _ in range(TRIES if tries is None else tries):
            if not best.disturbed:
                break
            again = _round((first, second), arena, seconds, number)
            best = min(again, best, key=lambda each: len(each.disturbed))
        found.append(best)
        quiet = [each for each in found if not each.disturbed]
        if len(quiet) >= rounds[0] and is_narrow([each.ratios for each in quiet]):
            break
        if len(found) >= GIVEN_UP * rounds[0] and 2 * len(quiet) < len(found):
            break  # this machine does not come to rest
    enough = len(quiet) >= rounds[0]
    change = compare_turns([each.ratios for each in (quiet if enough else found)], contended=not enough)
    return Duel(change, tuple(found))


def _round(tasks: tuple[Task, Task], arena: Arena, seconds: float, number: int) -> Round:
    clock = arena.clock
    with arena.enter(tasks[0]) as one, arena.enter(tasks[1]) as two:
        pair = (one, two)
        queries = [1 + max(1, round(TURN_NS / each.query_ns())) for each in pair]
        for each, count in zip(pair, queries, strict=True):
            each.turn(count)
        watch = Watch(arena.meter([one.pid, two.pid]), clock)
        end, ratios, own = clock.now() + int(1e9 * seconds), list[float](), list[float]()
        while clock.now() < end or len(ratios) < LEAST_TURNS:
            # Whoever comes first changes from turn to turn, and from round to round.
            order = (0, 1) if (len(ratios) + number) % 2 == 0 else (1, 0)
            times = {place: median(pair[place].turn(queries[place])[1:]) for place in order}
            ratios.append(times[1] / times[0])
            own.append(times[0])
            watch.tick()
        return Round(tuple(ratios), tuple(own), find_contention(watch.finish()))


def main() -> None:
    """Load what the first line of standard input tells; then answer as many queries as each further line says."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries chat on standard output

    def say(answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    task, clock = Task.from_json(sys.stdin.readline()), MonotonicClock()
    if task.cores:
        os.sched_setaffinity(0, task.cores)
    try:
        from edgewise.benchmarks.networks import open_network

        network = open_network(task)
    except EdgewiseError as error:
        say(str(error))
        return

    def query() -> object:
        return network.run(network.query)

    warm_up(query, clock, WARM_UP_NS)
    say([int(median(measure(query, clock, WARM_UP_NS // 3)))])
    for line in sys.stdin:
        say([timed(query, clock) for _ in range(int(line))])


if __name__ == "__main__":
    main()
