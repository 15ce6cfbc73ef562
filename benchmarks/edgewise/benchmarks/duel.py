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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import TracebackType

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


def duel(
    first: Task,
    second: Task,
    rounds: tuple[int, int],
    seconds: float,
    commands: tuple[Sequence[str], Sequence[str]] = (CHILD, CHILD),
    tries: int = TRIES,
) -> Duel:
    """Measure two entries against each other.

    Args:
        first: what to load and ask; of its fields job, seconds and result do not matter.
        second: the other.
        rounds: fresh pairs of processes, at least and at most; between, until the interval of the ratio is narrow.
        seconds: of queries, each round, both together.
        commands: what the processes run, after the interpreter.
        tries: how often a disturbed round is measured again at most.

    Raises:
        EdgewiseError: one of them cannot be loaded, or its process died.
    """
    clock, found = MonotonicClock(), list[Round]()
    for number in range(rounds[1]):
        best = _round((first, second), commands, seconds, clock, number)
        for _ in range(tries):
            if not best.disturbed:
                break
            again = _round((first, second), commands, seconds, clock, number)
            best = min(again, best, key=lambda each: len(each.disturbed))
        found.append(best)
        if len(found) >= rounds[0] and is_narrow([each.ratios for each in found]):
            break
    disturbed = any(each.disturbed for each in found)
    return Duel(compare_turns([each.ratios for each in found], contended=disturbed), tuple(found))


def _round(
    tasks: tuple[Task, Task], commands: tuple[Sequence[str], Sequence[str]], seconds: float, clock: Clock, number: int
) -> Round:
    with Duellist(tasks[0], commands[0]) as one, Duellist(tasks[1], commands[1]) as two:
        pair = (one, two)
        queries = [1 + max(1, round(TURN_NS / each.query_ns())) for each in pair]
        for each, count in zip(pair, queries, strict=True):
            each.turn(count)
        watch = Watch(PairMeter([one.pid, two.pid]), clock)
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
