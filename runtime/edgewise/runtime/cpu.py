"""What the processor is called, what it can do and how much of it there is, as Linux tells it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from math import ceil
from pathlib import Path

DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Flags of x86 CPUs that add up products of 8-bit numbers in 32 bits in one instruction."""


@cache
def cpu_fields() -> Mapping[str, str]:
    """The fields of the first core in ``/proc/cpuinfo``; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def cpu_limit(root: Path = Path("/")) -> float:
    """Cores' worth of time that a control group allows this process, as containers have it; 0: no limit.

    Args:
        root: where ``sys`` is.
    """
    groups = root / "sys/fs/cgroup"
    quota, period = (*_words(groups / "cpu.max"), "", "")[:2]
    if not quota:  # the first version of control groups
        quota, period = ("".join(_words(groups / f"cpu/cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else 0.0


def usable_cores() -> int:
    """CPU cores' worth of time this process may use, rounded up, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, ceil(cpu_limit()) or cores)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def cpu_flags() -> frozenset[str]:
    """Names of the instruction sets, such as "avx2" or "asimddp"; empty where the system does not tell."""
    fields = cpu_fields()
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())
