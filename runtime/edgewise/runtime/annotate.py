"""Copies of photos with the answer written on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgewise.runtime.classifier import Prediction
from edgewise.runtime.images import Picture, decode
from edgewise.runtime.placing import encoded, file_name, placed
from edgewise.runtime.stream import Result

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREEN, _AMBER = (90, 220, 110), (255, 190, 60)  # red, green, blue
_SMALLEST, _LARGEST = 320, 1600  # pixels of the longer side: smaller photos are enlarged, so that the text has room


def annotate(picture: Picture, prediction: Prediction) -> Picture:
    """Write an answer over the upper edge of a photo.

    With OpenCV 5 letters of most scripts are drawn; what it has no letter for, and with OpenCV 4 all but ASCII, becomes
    a question mark.

    Args:
        picture: (height, width, 3) uint8 RGB; it is not changed.
        prediction: label and probability are written, a class in green and "unknown" in amber.

    Returns:
        A new picture of 320 to 1600 pixels on its longer side.
    """
    longer = max(picture.shape[:2])
    scale = min(max(_SMALLEST / longer, 1.0), _LARGEST / longer)
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.array(cv2.resize(picture, size, interpolation=method), np.uint8)
    text = f"{prediction.label}  {prediction.probability:.0%}"
    text = "".join(char if char.isprintable() else "?" for char in text)
    height, width = canvas.shape[:2]
    line = max(12, round(0.07 * max(height, width)))
    bar = canvas[: round(1.5 * line)]
    bar[:] = (bar * 0.35).astype(np.uint8)
    (long, tall), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    font = min(0.8 * line / max(tall, 1), 0.95 * width / max(long, 1))
    known = prediction.label == prediction.top[0].label
    at = (round(0.025 * width), round(1.1 * line))
    cv2.putText(canvas, text, at, _FONT, font, _GREEN if known else _AMBER, max(1, round(font)), cv2.LINE_AA)
    return canvas


def save_annotated(result: Result, folder: Path, *, again: bool = False) -> Path | None:
    """Write the annotated copy of a photo as a JPEG into ``folder``; arguments, result and errors as `Sorter.place`."""
    if result.row.prediction is None or result.original is None:
        return None
    original = result.original
    picture = decode(original, result.row.name) if isinstance(original, bytes) else original
    content = encoded(annotate(picture, result.row.prediction), ".jpg")
    return placed(folder, file_name(result.row.name, ".jpg"), content, again=again)
