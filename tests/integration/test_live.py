"""``edgewise live`` from outside, on a video file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

MODEL = Path(__file__).parent.parent / "data" / "tiny.tflite"
PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
RED, BLUE = (0, 0, 255), (255, 0, 0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one second of red and one of blue, 25 frames per second, 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for color in [RED] * 25 + [BLUE] * 25:
        writer.write(np.full((48, 64, 3), color, np.uint8))
    writer.release()
    return path


def command(*words: str | Path) -> list[str]:
    return [*PROGRAM, "live", *map(os.fspath, words)]


def live(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    without_display = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = {**without_display, **variables}
    return subprocess.run(command(*words), env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_video_is_red_and_then_blue_and_every_frame_is_counted(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--json", "--every-frame", "--top-k", "2")
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ["red"] * 25 + ["blue"] * 25
    assert [answer["frame"] for answer in answers] == list(range(50))
    assert [answer["captured"] for answer in answers] == list(range(1, 51))
    assert {answer["dropped"] for answer in answers} == {0}
    assert answers[26]["seconds"] == pytest.approx(26 / 25)
    assert list(answers[0]) == ["frame", "seconds", "label", "probability", "age_ms", "captured", "dropped", "top"]
    assert answers[0]["top"][0]["label"] == "red"
    assert len(answers[0]["top"]) == 2
    assert "50 frames captured = 50 classified + 0 dropped; median latency" in result.stderr


def test_in_real_time_the_last_frame_is_answered_and_the_count_adds_up(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--no-window")
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert answers[-1]["frame"] == 49
    for classified, answer in enumerate(answers, start=1):
        assert answer["captured"] == classified + answer["dropped"] == answer["frame"] + 1
    dropped = 50 - len(answers)
    assert f"50 frames captured = {len(answers)} classified + {dropped} dropped" in result.stderr
    assert "no window" not in result.stderr


def test_without_a_display_it_says_so_and_writes_json_lines(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--max-frames", "1")
    assert result.returncode == 0
    assert json.loads(result.stdout)["label"] == "red"
    (line,) = [line for line in result.stderr.splitlines() if "no window is possible" in line]
    assert line.endswith("; writing JSON lines instead")


def test_a_display_that_does_not_answer_does_not_end_it(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--window", "--max-frames", "1", DISPLAY=":4711")
    assert result.returncode == 0
    assert "no window is possible" in result.stderr
    assert json.loads(result.stdout)["label"] == "red"


def test_max_frames_ends_it_and_counts_the_rest_as_dropped(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--json", "--every-frame", "--max-frames", "3")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 3
    summary = result.stderr.splitlines()[-1]
    captured, classified, dropped = (int(word) for word in summary.split(";")[0].split() if word.isdigit())
    assert classified == 3
    assert captured == classified + dropped


def test_ctrl_c_ends_with_the_summary(clip: Path) -> None:
    with subprocess.Popen(
        command(MODEL, "--source", clip, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "frames captured = " in messages.splitlines()[-1]
    assert "Traceback" not in messages


def test_a_reader_that_stops_reading_ends_it_quietly(clip: Path) -> None:
    with subprocess.Popen(
        command(MODEL, "--source", clip, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        messages = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert "frames captured = " in messages
    assert "BrokenPipe" not in messages


def test_a_truncated_video_is_told_from_a_whole_one(clip: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.avi"
    half.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = live(MODEL, "--source", half, "--json", "--every-frame")
    assert result.returncode == 0
    assert 0 < len(result.stdout.splitlines()) < 45
    assert "the video says it holds 50 frames, so it may be damaged" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "nope.avi"), "'nope.avi' cannot be played: no such file"),
        (("--source", "ftp://user:secret@host/a"), "an address that starts with ftp:// is not read: ftp://***@host/a"),
        (("--source", "nope.avi", "--camera", "1"), "--camera 1 together with --source"),
        (("--source", "nope.avi", "--width", "640"), "--width, --height or --fps together with --source"),
        (("--camera", "63", "--every-frame"), "camera 63 does not wait"),
        (("--camera", "63", "--no-window"), "camera 63 cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_explained(words: tuple[str, ...], message: str) -> None:
    result = live(MODEL, *words)
    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr
