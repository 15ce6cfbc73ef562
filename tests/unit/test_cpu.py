from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.runtime import cpu


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 0.0),
        ({"cpu.max": "max 100000\n"}, 0.0),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.0),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu.max": "nonsense\n"}, 0.0),
    ],
)
def test_what_a_container_may_use_is_read_from_its_control_group(
    files: dict[str, str], limit: float, tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu.cpu_limit(tmp_path) == limit


@pytest.mark.parametrize(("limit", "cores"), [(0.0, 8), (2.5, 3), (0.5, 1), (64.0, 8)])
def test_no_more_cores_are_used_than_a_container_may(limit: float, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cpu, "cpu_limit", lambda: limit)
    assert cpu.usable_cores() == cores
