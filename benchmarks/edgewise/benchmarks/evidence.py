"""What is known of a row beside its figures: its file's graph, where its time goes, what the machine allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.profiling import Profile, profile_entry
from edgewise.runtime.cpu import cpu_limit, usable_cores
from edgewise.runtime.engines import KINDS
from edgewise.runtime.engines.base import CPU
from edgewise.runtime.graph import Graph
from edgewise.runtime.inspection import read_graph
from edgewise.runtime.modelfile import format_of, read_content
from edgewise.spec import EdgewiseError


@dataclass(frozen=True)
class Evidence:
    """What is known of a row beside its figures."""

    profile: Profile = field(default=Profile())
    graph: Graph | None = None  # of the file; None: it cannot be read
    usable: float = 0.0  # cores that may be used at once, a container's quota included; 0: not known
    cache_bytes: int = 0  # of the last level; 0: not known
    providers: tuple[str, ...] = ()  # that its backend offers here
    precisions: tuple[str, ...] = ()  # that it offers on the CPU


def collect(entry: Entry, root: Path = Path("/"), *, profiled: bool = True) -> Evidence:
    """Look at the machine below ``root``; and at an entry's file with its profile, unless there is no time for them."""
    kind = next((kind for kind in KINDS if kind.name == entry.backend), None)
    offers = (kind.providers(), kind.precisions(CPU)) if kind else ((), ())
    seen = (profile_entry(entry), _graph(Path(entry.path))) if profiled else (Profile(), None)
    return Evidence(*seen, usable_cpu(root), last_cache(root), *offers)


def _graph(path: Path) -> Graph | None:
    try:
        content = read_content(path)
        return read_graph(format_of(path, content), content, path.name)
    except EdgewiseError:
        return None


def usable_cpu(root: Path = Path("/")) -> float:
    """Cores' worth of time that this process may use: its cores, or the quota of its container."""
    limit = cpu_limit(root)
    return min(usable_cores(), limit) if limit else usable_cores()


def last_cache(root: Path = Path("/")) -> int:
    """Bytes of the largest cache of the first core; 0 where the system does not tell."""
    units, found = {"K": 1 << 10, "M": 1 << 20}, [0]
    for path in root.glob("sys/devices/system/cpu/cpu0/cache/index*/size"):
        text = path.read_text(encoding="ascii").strip()
        if text[:-1].isdigit() and text[-1] in units:
            found.append(int(text[:-1]) * units[text[-1]])
    return max(found)
