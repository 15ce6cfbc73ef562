from __future__ import annotations

import platform
from pathlib import Path

from edgewise.benchmarks.environment import describe_machine, installed_versions


def _write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_server_is_described(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "proc/cpuinfo": "processor: 0\nmodel name : Fast CPU @ 3GHz\nflags\t\t: fpu avx2 avx512_vnni hypervisor\n",
            "proc/meminfo": "MemTotal:       2048 kB\nMemFree: 1 kB\n",
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
        },
    )
    machine = describe_machine(tmp_path)
    assert machine.cpu == "Fast CPU @ 3GHz"
    assert machine.flags == ("avx2", "avx512_vnni", "hypervisor")
    assert machine.memory_bytes == 2048 * 1024
    assert machine.system.startswith("Debian GNU/Linux 12, ")
    assert machine.board == ""
    assert machine.cores >= 1


def test_a_board_is_described(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nModel\t\t: Raspberry Pi 5 Model B\n",
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        },
    )
    machine = describe_machine(tmp_path)
    assert machine.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.flags == ("asimd", "asimddp")
    assert machine.governor == "ondemand"


def test_a_machine_that_tells_nothing_is_described(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    assert machine.flags == ()
    assert machine.memory_bytes == 0
    assert platform.system() in machine.system


def test_versions_of_what_is_installed_are_listed() -> None:
    versions = installed_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"]
    assert all(versions.values())


def test_a_container_and_its_limits_are_told(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            ".dockerenv": "",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/memory.max": "1073741824\n",
            "proc/stat": "cpu  100 0 100 700 0 0 0 100 0 0\ncpu0 1 2\n",
            "proc/cpuinfo": "cpu MHz : 2600.0\n",
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3400000\n",
        },
    )
    machine = describe_machine(tmp_path)
    assert (machine.container, machine.cpu_limit, machine.memory_limit_bytes) == ("docker", 1.5, 1 << 30)
    assert (machine.steal_share, machine.clock_hz, machine.max_clock_hz) == (0.1, 2.6e9, 3.4e9)


def test_no_limit_is_none(tmp_path: Path) -> None:
    _write(tmp_path, {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"})
    machine = describe_machine(tmp_path)
    assert (machine.container, machine.cpu_limit, machine.memory_limit_bytes) == ("", 0, 0)
    _write(tmp_path, {"proc/1/cgroup": "0::/kubepods/burstable\n"})
    assert describe_machine(tmp_path).container == "kubepods"
