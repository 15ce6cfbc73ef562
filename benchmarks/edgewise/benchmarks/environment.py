"""The machine and the software that a figure was measured on. Nothing here names the host or its user."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgewise.benchmarks.contention import clock_hz
from edgewise.benchmarks.system import text_of
from edgewise.runtime.cpu import cpu_limit, usable_cores

FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "hypervisor",
)
"""CPU features that decide how fast inference is; ``hypervisor`` tells a virtual machine."""

PACKAGES = (
    "edgewise",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "ai-edge-litert",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorflow",
    "tf-keras",
    "keras",
)


@dataclass(frozen=True)
class Machine:
    """Where it was measured; empty text or 0 where the system does not tell."""

    cpu: str
    board: str  # such as "Raspberry Pi 5 Model B Rev 1.0"
    architecture: str  # such as "x86_64" or "aarch64"
    flags: tuple[str, ...]  # those of FLAGS that the CPU has
    cores: int  # logical cores that this process may use
    memory_bytes: int
    system: str  # without the kernel's release, which changes with updates
    governor: str  # CPU frequency governor
    load_average: tuple[float, ...]  # over 1, 5 and 15 minutes, before anything was measured
    container: str = ""  # such as "docker"; empty: none that is known of
    cpu_limit: float = 0.0  # cores' worth of time that a control group allows; 0: no limit
    memory_limit_bytes: int = 0  # that a control group allows; 0: no limit
    steal_share: float = 0.0  # of the time since the machine started, taken by its hypervisor, 0-1
    clock_hz: float = 0.0  # of the cores, the mean, before anything was measured; 0: not told
    max_clock_hz: float = 0.0  # that the cores can reach; 0: not told
    kernel: str = ""  # its release
    gpus: tuple[str, ...] = ()  # of NVIDIA, as their driver calls them
    busy: tuple[str, ...] = ()  # what used it in the second before anything was measured, in plain words


def describe_machine(root: Path = Path("/")) -> Machine:
    """Describe this machine from the files under ``root`` (``proc``, ``sys`` and ``etc``)."""
    info = _fields(text_of(root / "proc/cpuinfo"), ":")
    memory = _fields(text_of(root / "proc/meminfo"), ":").get("MemTotal", "0 kB")
    present = set((info.get("flags") or info.get("Features") or "").split())
    release = _fields(text_of(root / "etc/os-release"), "=").get("PRETTY_NAME", "").strip('"')
    return Machine(
        cpu=info.get("model name") or info.get("Model") or platform.processor() or platform.machine(),
        board=text_of(root / "proc/device-tree/model").strip("\0\n "),
        architecture=platform.machine(),
        flags=tuple(flag for flag in FLAGS if flag in present),
        cores=usable_cores(),
        memory_bytes=int(memory.split()[0]) * 1024,
        system=f"{release or platform.system()}, {platform.system()}",
        governor=text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        load_average=tuple(round(load, 2) for load in os.getloadavg()) if hasattr(os, "getloadavg") else (),
        container=_container(root),
        cpu_limit=cpu_limit(root),
        memory_limit_bytes=_number(text_of(root / "sys/fs/cgroup/memory.max")),
        steal_share=_steal_share(root),
        clock_hz=clock_hz(root),
        max_clock_hz=1e3 * _number(text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")),
        kernel=platform.release(),
        gpus=tuple(_gpus(root)),
    )


def _gpus(root: Path) -> Iterator[str]:
    """Names of the graphics processors that NVIDIA's driver tells."""
    for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        yield _fields(text_of(path), ":").get("Model", "NVIDIA GPU")


def _container(root: Path) -> str:
    """What kind of container this is; a file of Docker or Podman, or what the control groups or PID 1 tell."""
    for name, file in (("docker", ".dockerenv"), ("podman", "run/.containerenv")):
        if (root / file).exists():
            return name
    groups = text_of(root / "proc/1/cgroup")
    return next((name for name in ("kubepods", "docker", "containerd", "lxc") if name in groups), "")


def _steal_share(root: Path) -> float:
    """Share of the time since the start that the hypervisor took, 0-1."""
    times = [int(word) for word in text_of(root / "proc/stat").partition("\n")[0].split()[1:9] if word.isdigit()]
    total = sum(times)
    return round(times[7] / total, 4) if len(times) == 8 and total else 0.0


def _number(text: str) -> int:
    """A whole number that a file of the system holds; 0 for anything else, such as ``max``."""
    return int(text) if text.strip().isdigit() else 0


def installed_versions() -> Mapping[str, str]:
    """Versions of Python and of those PACKAGES that are installed."""
    found = {package: _version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **{package: number for package, number in found.items() if number}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _fields(text: str, separator: str) -> dict[str, str]:
    """Lines of ``key separator value``; the first of equal keys counts."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found:
            fields.setdefault(key.strip(), value.strip())
    return fields
