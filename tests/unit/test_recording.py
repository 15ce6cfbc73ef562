"""Files that grow while frames come: whole at the end, and never over something that is there."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime import recording
from edgewise.runtime.recording import RATE, Lines, Recorder, save_frame
from edgewise.spec import InputError, OutputError

RED, BLUE = (0, 0, 255), (255, 0, 0)


def picture(color: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def frames_of(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    assert capture.get(cv2.CAP_PROP_FPS) == RATE
    while True:
        good, frame = capture.read()
        if not good:
            return frames
        frames.append(frame)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_recording_plays_at_the_speed_at_which_it_was_shown(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"new/seen{suffix}"
    with Recorder(path, overwrite=False) as recorder:
        recorder.show(picture(RED), 100.0)
        recorder.show(picture(RED), 100.01)
        recorder.show(picture(BLUE), 100.5)
        assert not path.exists()
        recorder.skip(160.0)
        recorder.show(picture(BLUE), 160.5)
    frames = frames_of(path)
    # Half a second of red, half of blue, nothing of the pause, and the last picture for one frame.
    assert len(frames) == 21
    assert [bool(frame[24, 32, 2] > 150) for frame in frames] == [True] * 10 + [False] * 11
    assert os.listdir(path.parent) == [path.name]
    assert path.stat().st_mode & 0o444 == 0o444 & ~umask()


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_frames_of_another_size_get_the_size_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "seen.avi"
    with Recorder(path, overwrite=False) as recorder:
        recorder.show(picture(RED, 49, 65), 0)
        recorder.show(picture(RED, 300, 100), 0.5)
    frames = frames_of(path)
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert frames[-1][24, 32, 2] > 150
    assert frames[-1][24, 2].max() < 60


def test_what_was_recorded_before_an_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "seen.avi"
    with pytest.raises(OutputError), Recorder(path, overwrite=False) as recorder:
        fail_after_a_second(recorder)
    assert len(frames_of(path)) == 21


def fail_after_a_second(recorder: Recorder) -> None:
    recorder.show(picture(RED), 0)
    recorder.show(picture(RED), 1)
    raise OutputError("another file is full")


def test_nothing_shown_makes_no_file(tmp_path: Path) -> None:
    with Recorder(tmp_path / "seen.avi", overwrite=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_recording_ends_whole_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seen.avi"
    monkeypatch.setattr(recording, "LEAST_FREE", 1 << 62)
    with pytest.raises(OutputError) as caught, Recorder(path, overwrite=False) as recorder:
        show_until_it_ends(recorder)
    assert str(caught.value).endswith("seen.avi ends here\nDo: free some space, or choose another place with --record")
    assert len(frames_of(path)) == 20


def show_until_it_ends(recorder: Recorder) -> None:
    for second in range(100):
        recorder.show(picture(RED), second)


def test_a_file_that_is_not_whole_is_not_left(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "seen.avi", overwrite=False)
    with pytest.raises(OutputError) as caught:
        record_and_lose(recorder, tmp_path)
    assert "seen.avi did not become whole: 0 of 201 frames" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def record_and_lose(recorder: Recorder, folder: Path) -> None:
    with recorder:
        recorder.show(picture(RED), 0)
        recorder.show(picture(RED), 10)
        next(folder.glob(".seen*")).unlink()


def test_an_existing_file_and_another_kind_are_refused(tmp_path: Path) -> None:
    for name in ("seen.avi", "lines.jsonl"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=r"seen.avi exists already"):
        Recorder(tmp_path / "seen.avi", overwrite=False)
    with pytest.raises(OutputError, match=r"lines.jsonl exists already"):
        Lines(tmp_path / "lines.jsonl", overwrite=False)
    with pytest.raises(InputError) as caught:
        Recorder(tmp_path / "seen.gif", overwrite=False)
    assert str(caught.value).endswith("seen.gif\nExpected: the name of an .avi or .mp4 file")
    with pytest.raises(InputError, match=r"\\xff.avi"):
        Recorder(Path(os.fsdecode(b"\xff.avi")), overwrite=False)
    with pytest.raises(OutputError, match="is a folder"):
        Lines(tmp_path, overwrite=True)
    assert (tmp_path / "lines.jsonl").read_text() == "mine"


def test_lines_can_be_followed_while_they_come(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with Lines(path, overwrite=False) as lines:
        lines.write("eins")
        assert path.read_text() == "eins\n"
        lines.write("zwei ü")
    assert path.read_text(encoding="utf-8") == "eins\nzwei ü\n"
    with Lines(path, overwrite=True) as lines:
        lines.write("drei")
    assert path.read_text() == "drei\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_lines_that_do_not_fit_are_an_error() -> None:
    lines = Lines(Path("/dev/full"), overwrite=True)
    with lines, pytest.raises(OutputError) as caught:
        lines.write("x")
    assert str(caught.value) == (
        "cannot write /dev/full: No space left on device\nDo: free some space, or choose another place with --jsonl"
    )


def test_saved_frames_are_numbered_and_hold_the_pixels_as_they_came(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    (tmp_path / "frame-0041.png").write_text("mine")
    (tmp_path / "frame-x.png").write_text("mine")
    assert [save_frame(noise, tmp_path).name for _ in range(2)] == ["frame-0042.png", "frame-0043.png"]
    assert np.array_equal(cv2.imread(str(tmp_path / "frame-0042.png")), noise)
    assert (tmp_path / "frame-0041.png").read_text() == "mine"
