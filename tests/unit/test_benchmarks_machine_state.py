from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path

import pytest

from edgewise.benchmarks.machine_state import celsius, energy_domains, energy_source, joules_between, throttle_counts
from edgewise.benchmarks.sustain import Feeling, medians, sustain


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def counters(root: Path, package: int, second: int = 0) -> None:
    rapl = "sys/class/powercap"
    write(
        root,
        {
            f"{rapl}/intel-rapl:0/name": "package-0\n",
            f"{rapl}/intel-rapl:0/energy_uj": f"{package}\n",
            f"{rapl}/intel-rapl:0/max_energy_range_uj": "1000000\n",
            f"{rapl}/intel-rapl:1/name": "package-1\n",
            f"{rapl}/intel-rapl:1/energy_uj": f"{second}\n",
            f"{rapl}/intel-rapl:0:0/name": "core\n",
            f"{rapl}/intel-rapl:0:0/energy_uj": "77\n",
        },
    )


def test_energy_of_whole_packages_is_added_and_wraps(tmp_path: Path) -> None:
    counters(tmp_path, 900_000, 0)
    before = energy_domains(tmp_path)
    counters(tmp_path, 100_000, 300_000)
    assert joules_between(before, energy_domains(tmp_path)) == pytest.approx(0.2 + 0.3)
    assert energy_source(before) == "RAPL package-0, package-1"


def test_a_machine_that_counts_no_energy_has_none(tmp_path: Path) -> None:
    assert energy_domains(tmp_path) == ()
    assert joules_between((), ()) is None
    counters(tmp_path, 5)
    assert joules_between(energy_domains(tmp_path), energy_domains(tmp_path)) is None


def test_the_hottest_zone_and_the_counters_of_throttling_are_read(tmp_path: Path) -> None:
    assert celsius(tmp_path) is None
    write(
        tmp_path,
        {
            "sys/class/thermal/thermal_zone0/temp": "41500\n",
            "sys/class/thermal/thermal_zone1/temp": "63000\n",
            "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "e0008\n",
        },
    )
    assert celsius(tmp_path) == 63.0
    assert throttle_counts(tmp_path) == (3, 0xE0008)


class Hand:
    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


@pytest.mark.parametrize(
    ("after", "throttled"),
    [
        (Feeling(70.0, (0,), 3.4e9), False),
        (Feeling(95.0, (4,), 3.4e9), True),
        (Feeling(95.0, (0,), 2.0e9), True),
    ],
)
def test_a_machine_that_slows_down_is_seen(after: Feeling, throttled: bool) -> None:
    clock, durations = Hand(), chain(repeat(10, 101), repeat(20))
    feelings = iter((Feeling(50.0, (0,), 3.4e9), after))

    def call() -> None:
        clock.time += next(durations)

    found = sustain(call, clock, 3000, lambda: next(feelings))
    assert (found.first_ns, found.last_ns) == (10, 20)
    assert found.throttled is throttled
    assert (found.celsius_first, found.celsius_last) == (50.0, after.celsius)
    assert len(found.medians_ns) == 60
    assert found.medians_ns[0] == 10
    assert found.medians_ns[-1] == 20


def test_medians_of_fewer_samples_than_parts() -> None:
    assert medians([1, 2, 3], 60) == (1, 2, 3)
    assert medians([1, 2, 3, 10], 2) == (1, 6)
