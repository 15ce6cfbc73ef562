"""The slot between whoever gives frames and whoever classifies them: the newest wins, and the count is exact."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgewise.runtime.frames import FrameSlot, Outage
from edgewise.spec import SourceError

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_the_newest_frame_wins_and_what_was_overwritten_is_counted() -> None:
    slot = FrameSlot("test")
    for at in (1.0, 2.0, 4.5):
        assert slot.put(PICTURE, at)
    frame = slot.take(0)
    assert frame is not None
    assert (frame.index, frame.captured_at, frame.seconds, frame.dropped) == (2, 4.5, 3.5, 2)
    assert (slot.captured, slot.dropped) == (3, 2)
    assert slot.take(0) is None


def test_frames_that_were_missed_on_the_way_count_as_captured_and_dropped() -> None:
    slot = FrameSlot("test")
    slot.put(PICTURE)
    slot.put(PICTURE, missed=5)
    frame = slot.take(0)
    assert frame is not None
    assert (frame.index, frame.dropped, slot.captured, slot.dropped) == (6, 6, 7, 6)


def test_the_last_frame_can_be_taken_after_the_end() -> None:
    slot = FrameSlot("test")
    slot.put(PICTURE)
    slot.close()
    assert not slot.put(PICTURE)
    assert not slot.ended
    assert slot.take(0) is not None
    assert slot.ended


def test_what_nobody_takes_counts_as_dropped_once_nobody_wants_it() -> None:
    slot = FrameSlot("test")
    slot.put(PICTURE)
    slot.discard()
    assert (slot.ended, slot.captured, slot.dropped) == (True, 1, 1)


def test_a_source_that_was_left_early_announces_nothing_more() -> None:
    left, ended = FrameSlot("left"), FrameSlot("ended")
    left.announced = ended.announced = 50
    ended.close()
    for slot in (left, ended):
        slot.discard()
    assert (left.announced, ended.announced) == (0, 50)


def test_an_error_comes_after_the_last_frame() -> None:
    slot = FrameSlot("test")
    slot.put(PICTURE)
    slot.close(SourceError("it is gone"))
    assert slot.take(0) is not None
    with pytest.raises(SourceError, match="it is gone"):
        slot.take(0)


def test_a_frame_ends_an_outage() -> None:
    slot = FrameSlot("test")
    slot.lose(Outage(0.0, 2, "no frame for 5 s"))
    assert slot.outage is not None
    slot.put(PICTURE)
    assert slot.outage is None


def test_the_count_is_exact_with_two_threads() -> None:
    slot, taken = FrameSlot("test"), 0

    def give() -> None:
        for _ in range(2000):
            slot.put(PICTURE)
        slot.close()

    thread = threading.Thread(target=give)
    thread.start()
    while not slot.ended:
        if frame := slot.take(0.1):
            taken += 1
            assert frame.index + 1 == taken + frame.dropped
    thread.join()
    assert slot.captured == 2000 == taken + slot.dropped
