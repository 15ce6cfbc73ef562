"""Copies of photos with the answer on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.annotate import annotate, save_annotated
from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.items import Given
from edgewise.runtime.rows import Row
from edgewise.runtime.stream import Result

DATA = Path(__file__).parent.parent / "data"
KNOWN = Prediction("red", 0.87, (Score("red", 0, 0.87),))
UNSURE = Prediction("unknown", 0.3, (Score("red", 0, 0.3),))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (300, 40), (40, 300), (700, 900), (1700, 90)])
def test_the_copy_has_room_for_the_text_and_is_no_poster(height: int, width: int) -> None:
    picture = np.full((height, width, 3), 200, np.uint8)
    copy = annotate(picture, KNOWN)
    assert 320 <= max(copy.shape[:2]) <= 1600
    assert (picture == 200).all()
    bright = copy.max(axis=2) > 205  # the text is brighter than the photo, and the bar darker
    assert bright.any()
    assert (copy[0, 0] < 100).all()


def test_text_stays_within_however_long_it_is() -> None:
    def columns(label: str) -> np.ndarray:
        copy = annotate(np.full((300, 400, 3), 250, np.uint8), Prediction(label, 0.5, (Score(label, 0, 0.5),)))
        bar = copy[: 300 // 12]
        return np.flatnonzero((bar[..., 1] > 150).any(axis=0))

    for label in ("cat", "a label that goes on and on and does not end before the photo does, or so it seems"):
        assert 5 <= columns(label).min() < columns(label).max() < 395


def test_an_unknown_answer_has_another_colour() -> None:
    grey = np.full((300, 400, 3), 100, np.uint8)
    reds = [annotate(grey, prediction)[:25, :, 0].max() for prediction in (KNOWN, UNSURE)]
    assert reds[0] < 150 < 230 < reds[1]


def test_it_is_saved_as_a_jpeg_under_the_name_of_the_photo(tmp_path: Path) -> None:
    content = (DATA / "red.png").read_bytes()
    results = [
        Result(Row(name, KNOWN, None, 1.0), Given(name, content), content) for name in ("x/red.png", "y/red.tif")
    ]
    assert [save_annotated(result, tmp_path / "out") for result in results] == [
        tmp_path / "out" / "red.jpg",
        tmp_path / "out" / "red-2.jpg",
    ]
    copy = cv2.imread(str(tmp_path / "out" / "red.jpg"))
    assert copy is not None
    blue, _, red = copy[-5:].mean(axis=(0, 1))
    assert red > 2 * blue
    frame = Result(Row("a.mp4#frame=3", KNOWN, None, 1.0), Given("", b""), np.zeros((60, 80, 3), np.uint8))
    assert save_annotated(frame, tmp_path / "out") == tmp_path / "out" / "a.mp4#frame=3.jpg"
