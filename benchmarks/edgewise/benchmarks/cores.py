"""Which CPU cores a measurement with few threads is pinned to."""

from __future__ import annotations

from pathlib import Path

from edgewise.benchmarks.contention import usable
from edgewise.benchmarks.system import text_of

_CPU = "sys/devices/system/cpu/cpu{}"


def pin(threads: int, root: Path = Path("/"), cores: frozenset[int] | None = None) -> tuple[int, ...]:
    """The cores for so many threads: fast ones first, no two of one physical core, the lowest numbers last.

    Boards have fast and slow cores; two logical cores of one physical one share its units; the first core serves most
    interrupts.

    Args:
        threads: >= 1.
        root: where ``sys`` is.
        cores: that may be used; None: those of this process.

    Returns:
        As many cores as threads; nothing where every core is used anyway, or cores cannot be chosen.
    """
    cores = usable() if cores is None else cores
    if threads >= len(cores):
        return ()
    chosen = sorted(cores, key=lambda core: (-_speed(root, core), _rank(root, core, cores), -core))[:threads]
    return tuple(sorted(chosen))


def _speed(root: Path, core: int) -> int:
    """Highest clock in kHz; 0 where the system does not tell."""
    text = text_of(root / _CPU.format(core) / "cpufreq/cpuinfo_max_freq").strip()
    return int(text) if text.isdigit() else 0


def _rank(root: Path, core: int, cores: frozenset[int]) -> int:
    """How many of the usable cores come before this one on its physical core."""
    siblings = parse_cores(text_of(root / _CPU.format(core) / "topology/thread_siblings_list"))
    return sum(1 for other in siblings & cores if other > core)


def parse_cores(text: str) -> frozenset[int]:
    """Read a list as Linux writes it, such as ``0-3,8``; what is no list is no cores."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
