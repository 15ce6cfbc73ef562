"""What is drawn over a frame."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.overlay import draw

KNOWN = Prediction("red", 0.9, (Score("red", 0, 0.9),))
UNKNOWN = Prediction("unknown", 0.4, (Score("red", 0, 0.4),))
LONG = Prediction("x" * 200, 0.9, (Score("x" * 200, 0, 0.9),))


@pytest.mark.parametrize(("shape", "expected"), [((48, 64, 3), (360, 480, 3)), ((720, 1280, 3), (720, 1280, 3))])
def test_the_frame_is_kept_and_a_small_one_is_enlarged(
    shape: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    picture = np.full(shape, 200, np.uint8)
    drawn = draw(picture, KNOWN, 20, 25)
    assert (picture == 200).all()
    assert (drawn.shape, drawn.dtype) == (expected, np.uint8)
    assert (drawn[expected[0] // 2 :] == 200).all()
    assert not (drawn[:40] == 200).all()


def test_unknown_and_old_frames_look_different() -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    drawings = [draw(picture, KNOWN, 20, 25), draw(picture, UNKNOWN, 20, 25), draw(picture, KNOWN, 3000, 25)]
    # The rows of the label, and the rows of the details below it; channels are blue, green, red.
    assert drawings[0][:36].max(axis=(0, 1)).argmax() == 1
    assert drawings[1][:36].max(axis=(0, 1)).argmax() == 2
    assert drawings[2][46:80].max(axis=(0, 1)).argmax() == 2


def test_a_long_label_fits() -> None:
    drawn = draw(np.zeros((480, 640, 3), np.uint8), LONG, 20, 25)
    assert drawn[:36, :320].any()
    assert not drawn[:36, 632:].any()
