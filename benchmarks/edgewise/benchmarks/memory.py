"""How much memory a process takes: its proportional set size (PSS), seen from outside.

PSS counts a page that n processes share as 1/n, so that libraries which are in memory anyway do not count twice.
Linux keeps no peak of it, so it is sampled; by another process, because a library that loads a network may hold
Python's lock for as long as that takes, and a thread beside it would see nothing of the peak. Reading it makes the
kernel walk through the process's pages, which takes time from it: latencies are measured in other processes.
"""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import TracebackType

EVERY_SECONDS = 0.005


def pss_bytes(pid: int | str, root: Path = Path("/")) -> int:
    """PSS of a process in bytes; 0 where the system does not tell, or the process is gone."""
    try:
        text = (root / f"proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(found[1]) * 1024 if found else 0


class Peak:
    """Samples the PSS of a process in a thread; ``bytes`` is the largest one. Use it as a context manager."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgewise-memory", daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self.bytes = max(self.bytes, pss_bytes(self._pid))
            self._over.wait(EVERY_SECONDS)


BARE = (
    "-c",
    "import sys; sys.stdout.write('here'); sys.stdout.flush(); sys.stdin.read()",
)
"""A Python that does nothing, until its standard input ends."""


def bare_bytes(python: list[str] | None = None) -> int:
    """PSS of a Python that has imported nothing; 0 where the system does not tell."""
    import subprocess

    command = [*(python or [sys.executable]), *BARE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(4)
        found = pss_bytes(process.pid)
        process.communicate()
    return found
