"""Where what can be made again is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

VARIABLE = "EDGEWISE_CACHE"


def cache_folder() -> Path:
    """``$EDGEWISE_CACHE``, or ``edgewise`` in ``$XDG_CACHE_HOME`` or else ``~/.cache`` (XDG Base Directory 0.8)."""
    if own := os.environ.get(VARIABLE):
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The specification tells to ignore relative paths.
    home = os.path.expanduser("~/.cache")
    for folder in (shared, home):
        if os.path.isabs(folder):
            return Path(folder) / "edgewise"
    return Path(tempfile.gettempdir()) / f"edgewise-{os.geteuid()}"  # a user without a home
