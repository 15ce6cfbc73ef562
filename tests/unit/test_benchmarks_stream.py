"""The stream that live reading is measured against."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edgewise.benchmarks.stream import Program, read_stamp, serving, stamp


@pytest.mark.parametrize("seconds", [0.0, 1.234, 86_400.001, 123_456_789.5])
def test_a_time_survives_the_way_through_a_jpeg(seconds: float) -> None:
    picture = np.full((480, 640, 3), (40, 60, 200), np.uint8)
    stamp(picture, seconds)
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)
    assert read_stamp(np.asarray(decoded, np.uint8)) == pytest.approx(seconds, abs=0.0006)


def test_a_plain_capture_reads_frames_whose_times_grow_until_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)  # what was opened before allows other protocols
    before = time.monotonic()
    with serving(Program(fps=100, frames=12)) as address:
        capture, stamps = cv2.VideoCapture(address, cv2.CAP_FFMPEG), []
        while True:
            good, picture = capture.read()
            if not good:
                break
            stamps.append(read_stamp(np.asarray(picture, np.uint8)))
    assert len(stamps) == 12
    assert before - 0.001 <= stamps[0] <= stamps[-1] <= time.monotonic()
    assert stamps == sorted(stamps)
