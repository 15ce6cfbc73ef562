"""What the machine counts and feels: energy, temperature, and whether it slowed itself down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewise.benchmarks.system import text_of

RAPL = "sys/class/powercap"
"""Intel's and AMD's Running Average Power Limit counters, as Linux shows them. Often for root alone to read."""

ZONES = "sys/class/thermal/thermal_zone*/temp"
THROTTLES = (
    "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count",
    "sys/devices/platform/soc/soc:firmware/get_throttled",  # Raspberry Pi
)
"""Where machines tell that they slowed down: counters, or bits that are set from then on."""


@dataclass(frozen=True)
class Domain:
    """One energy counter."""

    name: str  # such as "package-0"
    microjoules: int
    wraps_at: int  # microjoules; the counter starts again at 0 there


def energy_domains(root: Path = Path("/")) -> tuple[Domain, ...]:
    """The counters of whole packages; none where the machine has none, or does not let this user read them."""
    found = []
    for folder in sorted((root / RAPL).glob("*rapl:*")):
        name = text_of(folder / "name").strip()
        # Parts of a package (core, uncore, dram) have two colons; a package's counter holds them already.
        energy = _integer(folder / "energy_uj")
        if name.startswith("package") and folder.name.count(":") == 1 and energy is not None:
            found.append(Domain(name, energy, _integer(folder / "max_energy_range_uj") or 0))
    return tuple(found)


def joules_between(before: tuple[Domain, ...], after: tuple[Domain, ...]) -> float | None:
    """Joules of all packages together; None where nothing was counted. One wrap of a counter is allowed for."""
    if not before or [domain.name for domain in before] != [domain.name for domain in after]:
        return None
    total = 0
    for first, last in zip(before, after, strict=True):
        used = last.microjoules - first.microjoules
        total += used if used >= 0 else used + last.wraps_at
    return total / 1e6 if total > 0 else None


def energy_source(domains: tuple[Domain, ...]) -> str:
    """How the counters are called in a report."""
    return "RAPL " + ", ".join(domain.name for domain in domains) if domains else ""


def celsius(root: Path = Path("/")) -> float | None:
    """The hottest thermal zone; None where the machine has none."""
    found = [millidegrees / 1000 for path in root.glob(ZONES) if (millidegrees := _integer(path)) is not None]
    return max(found) if found else None


def throttle_counts(root: Path = Path("/")) -> tuple[int, ...]:
    """What the machine counts of its slowing down, in a fixed order; it has slowed down where this changes."""
    paths = [path for pattern in THROTTLES for path in sorted(root.glob(pattern))]
    return tuple(number for path in paths if (number := _integer(path)) is not None)


def _integer(path: Path) -> int | None:
    """A whole number; one that begins with letters or 0x, as the Raspberry Pi's, is hexadecimal."""
    text = text_of(path).strip()
    try:
        return int(text, 10) if text.lstrip("-").isdigit() else int(text, 16)
    except ValueError:
        return None
