from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from edgewise.benchmarks.contention import Reading, SystemMeter, Watch, clock_hz, find_contention, load_between
from edgewise.benchmarks.task import Load

QUIET = Load(seconds=1, others=0.01, steal=0, pressure=0, stopped=0, clock_hz=3.4e9)


class Hand:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class Counters:
    """A machine of two cores on which this process uses one, and others as much as it is told."""

    def __init__(self, clock: Hand, others: Iterator[float]) -> None:
        self._clock, self._others, self._before = clock, others, 0
        self._busy = 0.0

    def read(self) -> Reading:
        passed, self._before = (self._clock.time - self._before) / 1e9, self._clock.time
        self._busy += passed * (1 + next(self._others))
        return Reading(busy=self._busy, own=self._clock.time / 1e9, clock_hz=3.4e9, cores=2)


def watched(others: Iterator[float], seconds: int) -> tuple[Load, ...]:
    """Watch queries of 10 ms for some seconds."""
    clock = Hand()
    watch = Watch(Counters(clock, others), clock)
    for _ in range(100 * seconds):
        clock.time += 10_000_000
        watch.tick()
    return watch.finish()


def test_a_quiet_machine_is_not_called_busy() -> None:
    loads = watched((0.01 for _ in count()), 5)
    assert len(loads) == 10
    assert find_contention(loads) == ()


@pytest.mark.parametrize("start", [1, 3, 5, 9])
def test_a_load_that_starts_in_the_middle_is_found_every_time(start: int) -> None:
    loads = watched((0.0 if n < start else 1.0 for n in count()), 5)
    (reason,) = find_contention(loads)
    assert reason == "other processes took 100% of a core"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"others": 0.34}, "other processes took 34% of a core"),
        ({"steal": 0.05, "cores": 64, "roundings": 64}, "the hypervisor took 5% of the time (steal)"),
        ({"steal": 0.05}, "the hypervisor took 5% of the time (steal)"),
        ({"memory": 0.12}, "tasks waited for memory in 12% of the time"),
        ({"stopped": 0.2}, "the container's CPU limit stopped it for 20% of the time"),
        ({"pressure": 0.5, "others": 0.04}, "tasks waited for a core in 50% of the time"),
        ({"clock_hz": 2.1e9}, "the clock fell from 3.40 to 2.10 GHz"),
    ],
)
def test_each_disturbance_is_told_in_plain_words(change: dict[str, float], told: str) -> None:
    assert find_contention(
        [QUIET, replace(QUIET, **change)] if "clock_hz" in change else [replace(QUIET, **change)]
    ) == (told,)


def test_a_process_that_it_started_itself_is_nobody_else() -> None:
    """Such as the one that tries a file of another maker first."""
    before = SystemMeter().read()
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert SystemMeter().read().own - before.own >= 0.25


def test_own_threads_that_wait_for_each_other_are_nobody_else() -> None:
    assert find_contention([replace(QUIET, pressure=0.9)]) == ()
    assert find_contention([]) == ()


def test_a_clock_is_compared_with_the_best_of_the_whole_benchmark() -> None:
    assert find_contention([QUIET], best_hz=3.5e9) == ()
    assert find_contention([QUIET], best_hz=4.4e9) == ("the clock fell from 4.40 to 3.40 GHz",)


def test_only_the_cores_that_may_be_used_count(tmp_path: Path) -> None:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(
        "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 10 20 500 7 3 1 40 0 0\ncpu1 900 0 0 0 0 0 0 900 0 0\nintr 5\n"
    )
    (tmp_path / "proc/pressure/cpu").write_text("some avg10=1.00 avg60=2.00 avg300=3.00 total=2500000\n")
    (tmp_path / "proc/pressure/memory").write_text(
        "some avg10=1.00 avg60=2.00 avg300=3.00 total=1500000\nfull total=9\n"
    )
    (tmp_path / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 1\nthrottled_usec 500000\n")
    found = SystemMeter(tmp_path, frozenset({0})).read()
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert (found.busy, found.steal) == pytest.approx((134 * tick, 40 * tick))
    assert (found.waited, found.memory, found.stopped) == (2.5, 1.5, 0.5)
    assert (found.cores, found.roundings) == (1, 1)


def test_where_every_core_counts_the_systems_own_sum_is_read_which_is_rounded_once(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    lines = ("cpu  205 10 20 500 7 3 1 40 0 0", "cpu0 102 5 10 250 3 1 0 20 0 0", "cpu1 102 5 10 250 3 1 0 20 0 0")
    (tmp_path / "proc/stat").write_text("\n".join(lines) + "\n")
    tick = 1 / os.sysconf("SC_CLK_TCK")
    found = SystemMeter(tmp_path, frozenset({0, 1})).read()
    assert (found.busy, found.cores, found.roundings) == (pytest.approx(239 * tick), 2, 1)
    found = SystemMeter(tmp_path, frozenset({1})).read()
    assert (found.busy, found.cores, found.roundings) == (pytest.approx(118 * tick), 1, 1)


def test_a_system_that_tells_nothing_disturbs_nothing(tmp_path: Path) -> None:
    meter = SystemMeter(tmp_path)
    load = load_between(meter.read(), meter.read(), 1.0)
    assert find_contention([load]) == ()
    assert clock_hz(tmp_path) == 0


def test_the_clock_is_the_mean_of_the_cores(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("cpu MHz\t\t: 2000.5\n\ncpu MHz\t\t: 3000.5\n")
    assert clock_hz(tmp_path) == 2500.5e6
    assert clock_hz(tmp_path, frozenset({1})) == 3000.5e6
    for core, kilohertz in (("cpu0", "1000000"), ("cpu1", "3000000")):
        folder = tmp_path / "sys/devices/system/cpu" / core / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(kilohertz + "\n")
    assert clock_hz(tmp_path) == 2e9


def test_a_core_that_idles_says_nothing_about_the_clock_of_those_that_work(tmp_path: Path) -> None:
    for core in range(8):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text("2260000" if core == 5 else "408000")
    assert clock_hz(tmp_path, frozenset({5})) == 2.26e9
    assert clock_hz(tmp_path, frozenset({99})) == clock_hz(tmp_path) < 1e9
