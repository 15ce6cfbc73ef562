"""The keys of the window, and what is told of a source that is lost. The window is played: there is no display here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.cli.live_view import Sinks, Viewer
from edgewise.cli.stopping import Stop
from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.frames import BgrPicture, Frame, FrameSlot
from edgewise.runtime.live import Answer, Idle, Lost
from edgewise.runtime.recording import Recorder
from edgewise.runtime.region import Box
from edgewise.runtime.smoothing import Shown
from edgewise.runtime.window import Key, Window

NOISE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
TOP = (Score("red", 0, 0.9), Score("green", 1, 0.06), Score("blue", 2, 0.04))
ANSWER = Answer(
    Frame(NOISE, 0, 0.0, 0.0), Prediction("red", 0.9, TOP), Shown("red", 0.9, known=True), Box(0, 0, 640, 480),
    20, 15, 1, 1, 0, 25,
)  # fmt: skip


class PlayedWindow(Window):
    """Takes pictures, and gives the keys of a script, one at a time, then none."""

    def __init__(self, *keys: Key | None) -> None:
        super().__init__("played")
        self.keys, self.shown = list(keys), [NOISE]

    def show(self, picture: BgrPicture) -> None:
        self.shown.append(picture)

    def key(self, _: int = 1) -> Key | None:
        return self.keys.pop(0) if self.keys else None


class HeldSlot(FrameSlot):
    """Remembers when it was held."""

    def __init__(self) -> None:
        super().__init__("camera 9")
        self.holds: list[bool] = []

    def hold(self, paused: bool) -> None:
        self.holds.append(paused)


def viewer(window: Window | None, folder: Path, recorder: Recorder | None = None) -> tuple[Viewer, HeldSlot]:
    slot = HeldSlot()
    return Viewer(Sinks(window, recorder, None, None, stdout=False), slot, Stop(), folder, film_time=False), slot


def test_quit_ends_it(tmp_path: Path) -> None:
    view, _ = viewer(PlayedWindow(None, Key.QUIT), tmp_path)
    assert view.see(ANSWER)
    assert not view.see(Idle())


def test_save_writes_the_frame_without_what_was_drawn_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view, _ = viewer(PlayedWindow(Key.SAVE, Key.SAVE), tmp_path)
    view.see(ANSWER)
    view.see(ANSWER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame-0001.png", "frame-0002.png"]
    assert np.array_equal(cv2.imread(str(tmp_path / "frame-0002.png")), NOISE)
    assert f"saved: {tmp_path}/frame-0002.png" in capsys.readouterr().err


def test_a_frame_that_cannot_be_saved_does_not_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    view, _ = viewer(PlayedWindow(Key.SAVE), tmp_path / "file")
    assert view.see(ANSWER)
    assert "NOT SAVED: cannot write " in capsys.readouterr().err


def test_each_press_lists_one_class_more_and_then_none(tmp_path: Path) -> None:
    window = PlayedWindow(Key.NEXT, Key.NEXT, Key.NEXT)
    view, _ = viewer(window, tmp_path)
    for _ in range(4):
        view.see(ANSWER)
    heights = [int((picture[:240] != NOISE[:240]).any(axis=(1, 2)).sum()) for picture in window.shown[1:]]
    assert heights[0] < heights[1] < heights[2]
    assert heights[3] == heights[0]


def test_a_pause_holds_the_source_and_is_written_into_the_picture(tmp_path: Path) -> None:
    window = PlayedWindow(Key.PAUSE, None, Key.NEXT, Key.PAUSE)
    view, slot = viewer(window, tmp_path)
    assert view.see(ANSWER)
    assert slot.holds == [True, False]
    running, paused = window.shown[1], window.shown[2]
    assert (running[:60] != paused[:60]).any()
    window.keys = [Key.PAUSE, Key.QUIT]
    assert not view.see(ANSWER)


def test_the_pause_is_not_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path / "seen.avi", overwrite=False) as recorder:
        view, _ = viewer(PlayedWindow(Key.PAUSE, *[None] * 40, Key.PAUSE), tmp_path, recorder)
        view.see(ANSWER)
    assert cv2.VideoCapture(str(tmp_path / "seen.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 1


def test_a_lost_source_is_told_once_and_once_that_it_is_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = PlayedWindow()
    view, _ = viewer(window, tmp_path)
    view.see(ANSWER)
    for seconds in (1.0, 2.0, 2.5):
        view.see(Lost(seconds, 0, "camera 9: no frame for 5 s"))
    assert window.shown[-1][200:400].max() < 80
    view.see(replace(ANSWER, classified=2))
    assert window.shown[-1][200:400].max() > 200
    assert capsys.readouterr().err == (
        "LOST: camera 9: no frame for 5 s; it is being opened again\nback after 2.5 s: camera 9\n"
    )


def test_an_old_frame_is_drawn_again_to_say_so(tmp_path: Path) -> None:
    window = PlayedWindow()
    view, _ = viewer(window, tmp_path)
    view.see(ANSWER)  # read at second 0 of the clock: old by now
    view.see(Idle())
    assert (window.shown[1][:60] != window.shown[2][:60]).any()
