"""Files in which the system tells of itself (``/proc``, ``/sys``)."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """What a file holds; nothing where it is not there, or not for this user to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
