"""Does something else use the machine? Counters of the system, read between two queries and never during one."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgewise.benchmarks.latency import Clock
from edgewise.benchmarks.system import text_of
from edgewise.benchmarks.task import Load

TICK_SECONDS = 0.01
"""How finely the system counts."""

SLICE_NS = 500_000_000
"""Shortest slice of a measurement."""

OTHERS_IN_ALL, OTHERS_IN_A_SLICE = 0.05, 0.20
"""Cores' worth of other processes' time that is too much: of a whole round, and of one slice."""

STEAL, MEMORY, STOPPED, CLOCK_FALL = 0.02, 0.02, 0.005, 0.10
"""Shares that are too much."""

PRESSURE, OTHERS_WITH_PRESSURE = 0.25, 0.02
"""Tasks that wait are the measured process's own unless others take a little time at least."""


@dataclass(frozen=True)
class Reading:
    """Counters since some moment, in seconds; 0 where the system does not tell."""

    busy: float = 0.0  # of all cores together, whoever used them
    own: float = 0.0  # of all cores together, by this process and those of its children that ended
    steal: float = 0.0  # of all cores together
    waited: float = 0.0  # some task waited for a core
    memory: float = 0.0  # some task waited for memory
    stopped: float = 0.0  # a container's limit kept its tasks from running
    clock_hz: float = 0.0  # now
    cores: int = 1  # that are counted
    roundings: int = 1  # counters of each kind that were added up


class Meter(Protocol):
    """Where readings come from: a port, so that what follows is tested with noise that is made up."""

    def read(self) -> Reading:
        """The counters now."""


class SystemMeter:
    """The counters of Linux; elsewhere every one is 0, and nothing is ever found."""

    def __init__(self, root: Path = Path("/"), cores: frozenset[int] | None = None) -> None:
        """Read below ``root``, of these cores; None: those that this process may use now."""
        self._root = root
        self._tick = 1 / os.sysconf("SC_CLK_TCK")
        self._counted = usable() if cores is None else cores

    def read(self) -> Reading:
        """See `Meter.read`."""
        busy, steal, cores, roundings = self._cores()
        return Reading(
            busy=busy,
            own=time.process_time() + sum(os.times()[2:4]),
            steal=steal,
            waited=_number(r"^some .*total=(\d+)", self._text("proc/pressure/cpu")) / 1e6,
            memory=_number(
                r"^some .*total=(\d+)",
                self._text("sys/fs/cgroup/memory.pressure") or self._text("proc/pressure/memory"),
            )
            / 1e6,
            stopped=_number(r"^throttled_usec (\d+)", self._text("sys/fs/cgroup/cpu.stat")) / 1e6,
            clock_hz=clock_hz(self._root, usable()),
            cores=cores,
            roundings=roundings,
        )

    def _cores(self) -> tuple[float, float, int, int]:
        """Busy and stolen seconds, and the number, of the cores that count: in a container the others are not ours.

        Where all of them count, the system's own sum is read, which it rounds once and not for each core.
        """
        (_, everything), *lines = re.findall(r"^cpu(\d*) +(.*)", self._text("proc/stat"), re.M) or [("", "")]
        counted = [line for core, line in lines if int(core) in self._counted]
        whole = [everything] if counted and len(counted) == len(lines) else counted
        times = [list(map(int, line.split())) for line in whole]
        busy = sum(user + nice + system + irq + soft for user, nice, system, _, _, irq, soft, *_ in times)
        steal = sum(rest[0] for _, _, _, _, _, _, _, *rest in times if rest)
        return busy * self._tick, steal * self._tick, max(1, len(counted)), max(1, len(times))

    def _text(self, name: str) -> str:
        return text_of(self._root / name)


def usable() -> frozenset[int]:
    """The cores that this process may use; none where the system does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return frozenset(affinity(0)) if affinity else frozenset()


def clock_hz(root: Path = Path("/"), cores: frozenset[int] = frozenset()) -> float:
    """Mean clock in Hz; 0 where the system does not tell.

    Args:
        root: where ``sys`` and ``proc`` are.
        cores: of these; none: of all. One that idles has a low clock, which tells nothing about the others.
    """
    found = {
        int(path.parts[-3][3:]): 1e3 * float(text)
        for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        if (text := text_of(path)).strip().isdigit()
    }
    if not found:
        clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text_of(root / "proc/cpuinfo"), re.M)
        found = {core: 1e6 * float(number) for core, number in enumerate(clocks)}
    found = {core: hertz for core, hertz in found.items() if not cores or core in cores} or found
    return sum(found.values()) / len(found) if found else 0.0


class Watch:
    """Takes a reading now and then; to be asked between two queries."""

    def __init__(self, meter: Meter, clock: Clock, slice_ns: int = SLICE_NS) -> None:
        self._meter, self._clock, self._slice_ns = meter, clock, slice_ns
        self._loads: list[Load] = []
        self._start()

    def _start(self) -> None:
        self._at, self._reading = self._clock.now(), self._meter.read()

    def tick(self) -> None:
        """Begin a new slice where the present one is long enough."""
        if self._clock.now() - self._at >= self._slice_ns:
            self._cut()

    def finish(self) -> tuple[Load, ...]:
        """End the last slice; one that is too short to tell anything is left out, unless there is no other."""
        if not self._loads or self._clock.now() - self._at >= self._slice_ns // 2:
            self._cut()
        return tuple(self._loads)

    def _cut(self) -> None:
        before, began = self._reading, self._at
        self._start()
        seconds = (self._at - began) / 1e9
        if seconds > 0:
            self._loads.append(load_between(before, self._reading, seconds))


def load_between(before: Reading, after: Reading, seconds: float) -> Load:
    """What happened between two readings that are ``seconds`` apart, > 0."""
    busy = after.busy - before.busy
    return Load(
        seconds=seconds,
        others=(busy - (after.own - before.own)) / seconds if busy > 0 else 0.0,
        steal=_share(after.steal - before.steal, seconds * after.cores),
        pressure=_share(after.waited - before.waited, seconds),
        stopped=max(0.0, after.stopped - before.stopped) / seconds,
        clock_hz=after.clock_hz,
        memory=_share(after.memory - before.memory, seconds),
        cores=after.cores,
        roundings=after.roundings,
    )


def look_around(meter: Meter, clock: Clock, wait: Callable[[float], object] = time.sleep) -> tuple[str, ...]:
    """What uses the machine while this process waits for two slices, in plain words; nothing where it is quiet."""
    watch = Watch(meter, clock)
    for _ in range(2):
        wait(SLICE_NS / 1e9)
        watch.tick()
    return find_contention(without_clocks(watch.finish()))


def find_contention(loads: Sequence[Load], best_hz: float = 0.0) -> tuple[str, ...]:
    """What disturbed a measurement, in plain words; nothing where it was quiet.

    Args:
        loads: slices of the measurement.
        best_hz: highest clock that was seen in the whole benchmark with as many threads; 0: not known.
    """
    if not loads:
        return ()
    whole, reasons = over_all(loads), []
    others, worst = _surely_others(whole), max(map(_surely_others, loads))
    if others > OTHERS_IN_ALL or worst > OTHERS_IN_A_SLICE:
        most = max(load.others for load in (whole, *loads))
        reasons.append(f"other processes took {most:.0%} of a core")
    elif whole.pressure > PRESSURE and others > OTHERS_WITH_PRESSURE:
        reasons.append(f"tasks waited for a core in {whole.pressure:.0%} of the time")
    if whole.steal - grain(whole) / whole.cores > STEAL:
        reasons.append(f"the hypervisor took {whole.steal:.0%} of the time (steal)")
    if whole.memory > MEMORY:
        reasons.append(f"tasks waited for memory in {whole.memory:.0%} of the time")
    if whole.stopped > STOPPED:
        reasons.append(f"the container's CPU limit stopped it for {whole.stopped:.0%} of the time")
    clocks = [load.clock_hz for load in loads if load.clock_hz > 0] or [0.0]
    slowest, fastest = min(clocks), max(best_hz, *clocks)
    if 0 < slowest < (1 - CLOCK_FALL) * fastest:
        reasons.append(f"the clock fell from {fastest / 1e9:.2f} to {slowest / 1e9:.2f} GHz")
    return tuple(reasons)


def grain(load: Load) -> float:
    """By how much a core's share of time may seem larger than it is, as counters are rounded down at both ends.

    Two and a half standard deviations of the difference of two roundings, as many of them as there are.
    """
    return 2.5 * math.sqrt(load.roundings / 6) * TICK_SECONDS / load.seconds


def _surely_others(load: Load) -> float:
    """Cores' worth of others' time at least: two kinds of counters move, the programs' and the system's."""
    return load.others - math.sqrt(2) * grain(load)


def without_clocks(loads: Iterable[Load]) -> list[Load]:
    """Of what is no steady work, such as starts: a core that begins to work raises its clock."""
    return [replace(load, clock_hz=0.0) for load in loads]


def over_all(loads: Sequence[Load]) -> Load:
    """At least one slice as a single one: the means over their time; its clock is not told, which is of moments."""
    seconds = sum(load.seconds for load in loads)

    def mean(name: str) -> float:
        return float(sum(getattr(load, name) * load.seconds for load in loads) / seconds)

    names = ("others", "steal", "pressure", "stopped", "memory")
    return Load(
        seconds=seconds,
        clock_hz=0.0,
        **{name: mean(name) for name in names},
        cores=loads[0].cores,
        roundings=sum(load.roundings for load in loads),
    )


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.M)
    return float(found[1]) if found else 0.0
