"""Starting child processes that run our own code and nobody else's."""

from __future__ import annotations

import sys


def safe_python() -> list[str]:
    """The interpreter, told not to look for modules in the current folder, where anything may lie.

    From Python 3.11 on there is an option for just that; before, isolated mode, which also leaves out the user's own
    packages.
    """
    return [sys.executable, "-P" if sys.version_info >= (3, 11) else "-I"]
