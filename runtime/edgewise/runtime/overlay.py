"""What is drawn over a frame: the label, its probability, the frame's age, and anything that a viewer must not miss.

An answer is shown in colour only while it is about what can be seen now. A frame that is older than `STALE_MS`, a
source that was lost and a pause are written in the first line or in amber, and the label turns grey; a lost source's
last frame is darkened.

OpenCV 5 draws Latin, Greek, Cyrillic, Arabic, Chinese, Japanese and Korean letters with a typeface of its own. Before,
it had line drawings of ASCII only: there, accents are left out, and other letters become question marks.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgewise.runtime.frames import BgrPicture
from edgewise.runtime.live import Answer, Lost
from edgewise.runtime.region import Box

Color = tuple[int, int, int]
_WHITE, _GREY, _GREEN, _AMBER = (255, 255, 255), (190, 190, 190), (110, 220, 90), (60, 190, 255)  # blue, green, red
STALE_MS = 1000.0
"""Age in milliseconds from which a frame is marked as old."""

KEYS = "q quit   space pause   s save   k classes"
"""What the keys do, as the overlay shows it."""

_MIN_WIDTH = 480  # pixels; a smaller picture is enlarged, so that the text has room
_TYPEFACE: Any = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None
_LINE_DRAWN = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Look:
    """What is shown besides the answer."""

    listed: int = 1  # how many classes are listed below the label; 1: none, as the label says it
    lost: Lost | None = None  # the source gives nothing; None: it does
    paused: bool = False
    notice: str = ""  # one line, such as where a frame was saved


def draw(answer: Answer, age_ms: float, look: Look | None = None) -> BgrPicture:
    """Write an answer over its frame.

    Args:
        answer: the newest; its frame is not changed.
        age_ms: age of the frame by now, in milliseconds; above STALE_MS it is marked as old.
        look: what else to show.

    Returns:
        A new (height, width, 3) BGR picture, enlarged to at least 480 pixels in width.
    """
    look = look or Look()
    picture = answer.frame.picture
    scale = max(1.0, _MIN_WIDTH / picture.shape[1])
    canvas = np.array(cv2.resize(picture, None, fx=scale, fy=scale), dtype=np.uint8)
    if look.lost:
        canvas[:] = (canvas * 0.3).astype(np.uint8)
    _draw_box(canvas, answer.box, picture, scale)
    # The letters grow with the picture, and on a low one leave room to see something.
    unit = min(canvas.shape[1] / 640, max(0.45, canvas.shape[0] / 480))
    lines = [_first_line(answer, age_ms, look), _second_line(answer, age_ms, look), *_list(answer, look)]
    height = round((1.15 + 0.72 * (len(lines) - 1)) * 34 * unit + 8 * unit)
    _darken(canvas, slice(0, height))
    for number, (text, color) in enumerate(lines):
        size = 1.0 if number == 0 else 0.62
        _write(canvas, text, round((1 + 0.72 * number) * 34 * unit), size * unit, color)
    _write_foot(canvas, look, unit)
    return canvas


def _first_line(answer: Answer, age_ms: float, look: Look) -> tuple[str, Color]:
    if look.lost:
        tries = f", try {look.lost.attempt}" if look.lost.attempt else ""
        return f"LOST - opening again ({look.lost.seconds:.0f} s{tries})", _AMBER
    current = not look.paused and age_ms <= STALE_MS
    color = (_GREEN if answer.shown.known else _AMBER) if current else _GREY
    return f"{answer.shown.label}  {answer.shown.probability:.0%}", color


def _second_line(answer: Answer, age_ms: float, look: Look) -> tuple[str, Color]:
    seconds = f"{age_ms / 1000:.1f} s"
    if look.lost:
        return f"the last frame, {seconds} old: {answer.shown.label}  {answer.shown.probability:.0%}", _GREY
    if look.paused:
        return f"PAUSED at a frame {seconds} old", _AMBER
    if age_ms > STALE_MS:
        return f"OLD FRAME: {seconds}   {answer.fps:.1f} fps", _AMBER
    return f"{age_ms:.0f} ms   {answer.fps:.1f} fps" + "   this frame alone:" * (look.listed > 1), _GREY


def _list(answer: Answer, look: Look) -> list[tuple[str, Color]]:
    """The frame's own classes, below the label that is smoothed over time."""
    if look.lost or look.listed < 2:
        return []
    return [(f"{score.probability:4.0%}  {score.label}", _WHITE) for score in answer.prediction.top[: look.listed]]


def _write_foot(canvas: BgrPicture, look: Look, unit: float) -> None:
    height = canvas.shape[0]
    _darken(canvas, slice(height - round(26 * unit), height))
    _write(canvas, look.notice or KEYS, height - round(8 * unit), 0.5 * unit, _WHITE if look.notice else _GREY)


def _darken(canvas: BgrPicture, rows: slice) -> None:
    canvas[rows] = (canvas[rows] * 0.35).astype(np.uint8)


def _draw_box(canvas: BgrPicture, box: Box, picture: BgrPicture, scale: float) -> None:
    """Frame the part that is classified, unless it is the whole picture."""
    if (box.bottom - box.top, box.right - box.left) == picture.shape[:2]:
        return
    corners = [(round(x * scale), round(y * scale)) for x, y in ((box.left, box.top), (box.right - 1, box.bottom - 1))]
    cv2.rectangle(canvas, corners[0], corners[1], (0, 0, 0), 4)
    cv2.rectangle(canvas, corners[0], corners[1], _WHITE, 2)


def _write(canvas: BgrPicture, text: str, baseline: int, size: float, color: Color) -> None:
    """Write one line, smaller where it would not fit otherwise; ``size`` 1 is letters of about 22 pixels."""
    left = round(12 * canvas.shape[1] / 640)
    room = canvas.shape[1] - 2 * left
    if _TYPEFACE is not None:
        pixels = max(8, round(30 * size))
        width = cv2.getTextSize((0, 0), text, (0, 0), _TYPEFACE, pixels)[2]
        pixels = max(1, int(pixels * min(1.0, room / max(width, 1))))
        cv2.putText(canvas, text, (left, baseline), color, _TYPEFACE, pixels, 500)
        return
    text = _plain(text)
    (width, _), _ = cv2.getTextSize(text, _LINE_DRAWN, size, 1)
    size *= min(1.0, room / max(width, 1))
    cv2.putText(canvas, text, (left, baseline), _LINE_DRAWN, size, color, max(1, round(2 * size)), cv2.LINE_AA)


def _plain(text: str) -> str:
    """ASCII for a typeface that has nothing else: accents are dropped, other letters become question marks."""
    letters = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(char if char.isascii() else "?" for char in letters)
