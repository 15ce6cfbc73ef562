"""What is known of a row beside its figures: its file's graph, where its time goes, what the machine allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.profiling import Profile, profile_entry
from edgewise.runtime.graph import Graph
from edgewise.spec import EdgewiseError


@dataclass(frozen=True)
class Evidence:
    """What is known of a row beside its figures."""

    profile: Profile = field(default=Profile())
    graph: Graph | None = None  # of the file; None: it cannot be read
    usable: float = 0.0  # cores that may be used at once, a container's quota included; 0: not known
    cache_bytes: int = 0  # of the last level; 0: not known


def collect(entry: Entry, root: Path = Path("/")) -> Evidence:
    """Look at an entry's file, profile it, and look at the machine below ``root``."""
    return Evidence(profile_entry(entry), _graph(Path(entry.path)), usable_cpu(root), last_cache(root))


def _graph(path: Path) -> Graph | None:
    from edgewise.runtime.modelfile import format_of, read_content
    from edgewise.runtime.onnx_graph_reader import onnx_graph
    from edgewise.runtime.tflite_graph import tflite_graph
    from edgewise.spec import Format

    try:
        content = read_content(path)
        read = tflite_graph if format_of(path, content) is Format.TFLITE else onnx_graph
        return read(content, path.name)
    except EdgewiseError:
        return None


def usable_cpu(root: Path = Path("/")) -> float:
    """Cores' worth of time that this process may use: its cores, or the quota of its container."""
    from edgewise.runtime.backends import usable_cores

    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return min(usable_cores(), int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return usable_cores()


def last_cache(root: Path = Path("/")) -> int:
    """Bytes of the largest cache of the first core; 0 where the system does not tell."""
    units, found = {"K": 1 << 10, "M": 1 << 20}, [0]
    for path in root.glob("sys/devices/system/cpu/cpu0/cache/index*/size"):
        text = path.read_text(encoding="ascii").strip()
        if text[:-1].isdigit() and text[-1] in units:
            found.append(int(text[:-1]) * units[text[-1]])
    return max(found)
