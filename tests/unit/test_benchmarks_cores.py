from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.benchmarks.cores import parse_cores, pin


def cpu(root: Path, number: int, kilohertz: int, siblings: str) -> None:
    folder = root / f"sys/devices/system/cpu/cpu{number}"
    (folder / "cpufreq").mkdir(parents=True)
    (folder / "topology").mkdir()
    (folder / "cpufreq/cpuinfo_max_freq").write_text(f"{kilohertz}\n")
    (folder / "topology/thread_siblings_list").write_text(f"{siblings}\n")


def test_fast_cores_come_first(tmp_path: Path) -> None:
    for number in range(4):
        cpu(tmp_path, number, 1_800_000 if number < 2 else 2_400_000, str(number))
    assert pin(1, tmp_path, frozenset(range(4))) == (3,)
    assert pin(2, tmp_path, frozenset(range(4))) == (2, 3)
    assert pin(3, tmp_path, frozenset(range(4))) == (1, 2, 3)


def test_two_threads_get_two_physical_cores(tmp_path: Path) -> None:
    for number in range(4):
        cpu(tmp_path, number, 3_000_000, f"{number // 2 * 2}-{number // 2 * 2 + 1}")
    assert pin(2, tmp_path, frozenset(range(4))) == (1, 3)


def test_all_cores_need_no_choice(tmp_path: Path) -> None:
    assert pin(2, tmp_path, frozenset({0, 1})) == ()
    assert pin(64, tmp_path) == ()
    assert pin(1, tmp_path, frozenset({4, 9})) == (9,)
    assert pin(len(os.sched_getaffinity(0))) == ()


@pytest.mark.parametrize(("text", "cores"), [("0-2,8", {0, 1, 2, 8}), ("5", {5}), ("", set()), ("a-b,-", set())])
def test_lists_of_cores_are_read_as_linux_writes_them(text: str, cores: set[int]) -> None:
    assert parse_cores(text) == cores
