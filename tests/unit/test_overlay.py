"""What is drawn over a frame: nothing old may look new."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.frames import Frame
from edgewise.runtime.live import Answer, Lost
from edgewise.runtime.overlay import Look, draw
from edgewise.runtime.region import Box
from edgewise.runtime.smoothing import Shown

TOP = (Score("red", 0, 0.9), Score("green", 1, 0.06), Score("blue", 2, 0.04))
GREY, GREEN, AMBER = "grey", "green", "amber"


def answer(
    shape: tuple[int, ...] = (480, 640, 3), value: int = 0, shown: Shown | None = None, box: Box | None = None
) -> Answer:
    picture = np.full(shape, value, np.uint8)
    whole = Box(0, 0, shape[1], shape[0])
    shown = shown or Shown("red", 0.9, known=True)
    return Answer(Frame(picture, 0, 0.0, 0.0), Prediction("red", 0.9, TOP), shown, box or whole, 20, 15, 1, 1, 0, 25)


def color(rows: np.ndarray) -> str:
    """What the brightest letters of some rows look like."""
    blue, green, red = (int(value) for value in rows.reshape(-1, 3)[rows.sum(axis=2).argmax()])
    return GREY if blue == green == red else GREEN if green > red else AMBER


def first_two_lines(drawn: np.ndarray) -> tuple[str, str]:
    return color(drawn[:36]), color(drawn[44:64])


@pytest.mark.parametrize(("shape", "expected"), [((48, 64, 3), (360, 480, 3)), ((720, 1280, 3), (720, 1280, 3))])
def test_the_frame_is_kept_and_a_small_one_is_enlarged(
    shape: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    given = answer(shape, value=200)
    drawn = draw(given, 20)
    assert (given.frame.picture == 200).all()
    assert (drawn.shape, drawn.dtype) == (expected, np.uint8)
    assert (drawn[expected[0] // 2 : -60] == 200).all()
    assert not (drawn[:40] == 200).all()


def test_only_a_current_answer_is_in_colour() -> None:
    unknown = answer(shown=Shown("unknown", 0.4, known=False))
    assert first_two_lines(draw(answer(), 20)) == (GREEN, GREY)
    assert first_two_lines(draw(unknown, 20)) == (AMBER, GREY)
    assert first_two_lines(draw(answer(), 3000)) == (GREY, AMBER)
    assert first_two_lines(draw(answer(), 20, Look(paused=True))) == (GREY, AMBER)


def test_a_class_that_is_called_unknown_is_a_class() -> None:
    assert first_two_lines(draw(answer(shown=Shown("unknown", 0.9, known=True)), 20)) == (GREEN, GREY)


def test_the_last_frame_of_a_lost_source_is_darkened_and_lost_is_written_where_the_label_was() -> None:
    drawn = draw(answer(value=200), 12_000, Look(lost=Lost(12.0, 3, "no frame")))
    assert drawn[200:400].max() <= 60
    assert color(drawn[:36]) == AMBER


def test_classes_are_listed_and_a_notice_takes_the_place_of_the_keys() -> None:
    plain, listed = draw(answer(), 20), draw(answer(), 20, Look(listed=3))
    assert not plain[90:140].any()
    assert listed[90:140].any()
    assert (draw(answer(), 20, Look(notice="saved"))[-26:] != plain[-26:]).any()


def test_the_region_is_framed() -> None:
    drawn = draw(answer(box=Box(100, 200, 300, 400)), 20)
    assert (drawn[200, 150:250] == 255).all()
    assert (drawn[300, 100] == 255).all()
    assert not drawn[300, 150:250].any()


def test_a_long_label_fits() -> None:
    drawn = draw(answer(shown=Shown("x" * 200, 0.9, known=True)), 20)
    assert drawn[:36, :320].any()
    assert not drawn[:36, 632:].any()


def test_letters_beyond_ascii_are_drawn_or_at_least_replaced() -> None:
    accent, none = (draw(answer(shown=Shown(label, 0.9, known=True)), 20)[:36] for label in ("Hüte", "Hute"))
    other = draw(answer(shown=Shown("帽子", 0.9, known=True)), 20)[:36]
    assert accent.any()
    assert other.any()
    import cv2

    if hasattr(cv2, "FontFace"):
        assert (accent != none).any()
        assert (other != draw(answer(shown=Shown("??", 0.9, known=True)), 20)[:36]).any()
