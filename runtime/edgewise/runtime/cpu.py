"""What the processor is called and what it can do, as Linux tells it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def cpu_fields() -> Mapping[str, str]:
    """The fields of the first core in ``/proc/cpuinfo``; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def cpu_flags() -> frozenset[str]:
    """Names of the instruction sets, such as "avx2" or "asimddp"; empty where the system does not tell."""
    fields = cpu_fields()
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())
