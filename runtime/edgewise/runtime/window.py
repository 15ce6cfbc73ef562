"""A window for pictures, and its keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from enum import Enum
from types import TracebackType

import cv2

from edgewise.runtime.frames import BgrPicture
from edgewise.spec.child import safe_python

# Opening a window may end the process from inside the library (Qt aborts where it finds no display), so it is tried in
# a process that may die.
_TRIAL = "import cv2; cv2.namedWindow('edgewise'); cv2.destroyAllWindows()"


class Key(Enum):
    """What a key asks for."""

    QUIT = "q"
    PAUSE = " "
    SAVE = "s"
    NEXT = "k"


_KEYS = {27: Key.QUIT} | {ord(key.value): key for key in Key}


def why_no_window() -> str | None:
    """Say in one line why no window can be opened here and what would help; None where one can."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        return (
            "no window is possible: this OpenCV was built without one "
            "(pip uninstall opencv-python-headless, then pip install opencv-python)"
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no window is possible: there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    try:
        trial = subprocess.run([*safe_python(), "-c", _TRIAL], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no window is possible: opening one was tried and failed ({type(error).__name__})"
    if trial.returncode:
        return f"no window is possible: the display {os.environ.get('DISPLAY', '')!r} does not accept one"
    return None


class Window:
    """One window. Use it as a context manager, in the main thread."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> Window:
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._shown = False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        cv2.destroyAllWindows()

    def show(self, picture: BgrPicture) -> None:
        """Show a (height, width, 3) BGR picture."""
        if not self._shown:
            cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
            self._shown = True
        cv2.imshow(self._title, picture)

    def key(self, wait_ms: int = 1) -> Key | None:
        """Draw what was shown and give the key that was pressed within ``wait_ms``; a closed window asks to quit."""
        key = cv2.waitKey(wait_ms) & 0xFF
        if self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return Key.QUIT
        return _KEYS.get(key)
