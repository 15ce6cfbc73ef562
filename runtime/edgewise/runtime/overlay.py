"""A window that shows what the camera sees and what the classifier says about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import TracebackType

import cv2
import numpy as np

from edgewise.runtime.classifier import Prediction
from edgewise.runtime.frames import BgrPicture
from edgewise.spec.child import safe_python

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREY, _GREEN, _AMBER = (190, 190, 190), (110, 220, 90), (60, 190, 255)  # blue, green, red
STALE_MS = 1000.0
"""Age in milliseconds from which a frame is marked as old."""

_MIN_WIDTH = 480  # pixels; a smaller picture is enlarged, so that the text has room
_ESCAPE, _QUIT, _SPACE = 27, ord("q"), ord(" ")
_PAUSED_WAIT_MS = 30

# Opening a window may end the process from inside the library (Qt aborts where it finds no display), so it is tried in
# a process that may die.
_TRIAL = "import cv2; cv2.namedWindow('edgewise'); cv2.destroyAllWindows()"


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


def draw(picture: BgrPicture, prediction: Prediction, age_ms: float, fps: float) -> BgrPicture:
    """Write the answer over a frame.

    Args:
        picture: (height, width, 3) BGR; it is not changed.
        prediction: what to write; "unknown" is written in amber, a class in green.
        age_ms: age of the frame in milliseconds; above STALE_MS it is marked as old.
        fps: answers per second.

    Returns:
        A new picture, enlarged to at least 480 pixels in width.
    """
    scale = max(1.0, _MIN_WIDTH / picture.shape[1])
    canvas = np.array(cv2.resize(picture, None, fx=scale, fy=scale), dtype=np.uint8)
    size = canvas.shape[1] / 640
    line = round(34 * size)
    bar = canvas[: round(2.3 * line)]
    bar[:] = (bar * 0.35).astype(np.uint8)
    known = prediction.label == prediction.top[0].label
    _write(canvas, f"{prediction.label}  {prediction.probability:.0%}", line, size, _GREEN if known else _AMBER)
    age = f"OLD FRAME: {age_ms / 1000:.1f} s" if age_ms > STALE_MS else f"{age_ms:.0f} ms"
    details = f"{age}   {fps:.1f} fps   q: quit   space: pause"
    _write(canvas, details, 2 * line, 0.55 * size, _AMBER if age_ms > STALE_MS else _GREY)
    return canvas


def _write(canvas: BgrPicture, text: str, baseline: int, size: float, color: tuple[int, int, int]) -> None:
    """Write one line, smaller where it would not fit otherwise."""
    left = round(12 * canvas.shape[1] / 640)
    (width, _), _ = cv2.getTextSize(text, _FONT, size, 1)
    size *= min(1.0, (canvas.shape[1] - 2 * left) / max(width, 1))
    cv2.putText(canvas, text, (left, baseline), _FONT, size, color, max(1, round(2 * size)), cv2.LINE_AA)


class Window:
    """One window with two keys: q or Esc quits, space pauses. Use it as a context manager, in the main thread."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.paused = False

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

    def serve(self) -> bool:
        """Handle keys and redraw, in about 1 ms (30 while paused); False when the user quits or closes the window."""
        key = cv2.waitKey(_PAUSED_WAIT_MS if self.paused else 1) & 0xFF
        if key == _SPACE:
            self.paused = not self.paused
            cv2.setWindowTitle(self._title, self._title + " (paused)" * self.paused)
        closed = self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        return key not in (_ESCAPE, _QUIT) and not closed
