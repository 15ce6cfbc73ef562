"""``edgewise live`` from outside, on a video file and on a stream of this machine. There is no camera here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.benchmarks.stream import Program, serving
from edgewise.cli.main import app

MODEL = Path(__file__).parent.parent / "data" / "tiny.tflite"
PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
RED, BLUE = (0, 0, 255), (255, 0, 0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of half a second of red and half of blue, 50 frames per second, 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for color in [RED] * 25 + [BLUE] * 25:
        writer.write(np.full((48, 64, 3), color, np.uint8))
    writer.release()
    return path


def live(*words: str | Path, **variables: str | None) -> Any:
    """Run it in this process; without display unless told otherwise."""
    without_display: dict[str, str | None] = {"DISPLAY": None, "WAYLAND_DISPLAY": None}
    return CliRunner().invoke(app, ["live", *map(os.fspath, words)], env=without_display | variables)


def answers_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def process(*words: str | Path) -> subprocess.Popen[str]:
    command = [*PROGRAM, "live", *map(os.fspath, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_video_is_red_and_then_blue_and_every_frame_is_counted(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--json", "--every-frame", "--top-k", "2", "--smooth-seconds", "0.1")
    assert result.exit_code == 0, result.output
    answers = answers_in(result.stdout)
    assert [answer["label"] for answer in answers] == ["red"] * 25 + ["blue"] * 25
    shown = [answer["shown"] for answer in answers]
    assert 25 < shown.index("blue") < 35
    assert shown[shown.index("blue") :] == ["blue"] * (50 - shown.index("blue"))
    assert [answer["frame"] for answer in answers] == list(range(50))
    assert [answer["captured"] for answer in answers] == list(range(1, 51))
    assert {answer["dropped"] for answer in answers} == {0}
    assert answers[26]["seconds"] == pytest.approx(26 / 50)
    assert len(answers[0]["top"]) == 2
    assert "50 frames captured = 50 classified + 0 dropped; median latency" in result.stderr


def test_in_real_time_everything_is_written_and_the_count_adds_up(clip: Path, tmp_path: Path) -> None:
    record, lines, log = tmp_path / "seen.avi", tmp_path / "answers.jsonl", tmp_path / "log"
    words = ["--record", record, "--jsonl", lines, "--on-label", "blue", f"sh -c 'echo $EDGEWISE_LABEL > {log}'"]
    result = live(MODEL, "--source", clip, "--no-window", "--smooth", "off", *words)
    assert result.exit_code == 0, result.output
    answers = answers_in(result.stdout)
    assert answers[-1]["frame"] == 49
    for classified, answer in enumerate(answers, start=1):
        assert answer["captured"] == classified + answer["dropped"] == answer["frame"] + 1
    assert f"50 frames captured = {len(answers)} classified + {50 - len(answers)} dropped" in result.stderr
    assert "no window" not in result.stderr
    assert lines.read_text(encoding="utf-8") == result.stdout
    # It was started before the end; whether it also came to write is another matter.
    assert not log.exists() or log.read_text() in ("", "blue\n")
    capture = cv2.VideoCapture(str(record))
    good, picture = capture.read()
    assert good
    assert picture.shape == (360, 480, 3)
    assert picture[200, 240, 2] > 200


def test_a_region_is_classified(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--json", "--max-frames", "1", "--region", "100,0,10,10")
    assert result.exit_code == 1
    assert str(result.exception).startswith("the region that starts at 100,0 is outside the frames, which are 64 x 48")
    result = live(MODEL, "--source", clip, "--json", "--max-frames", "1", "--region", "0.5,0.5,0.5,0.5")
    assert answers_in(result.stdout)[0]["label"] == "red"


@pytest.mark.parametrize("display", [None, ":4711"])
def test_where_no_window_is_possible_it_says_so_and_writes_json_lines(clip: Path, display: str | None) -> None:
    result = live(MODEL, "--source", clip, "--max-frames", "1", "--window", DISPLAY=display)
    assert result.exit_code == 0
    assert answers_in(result.stdout)[0]["label"] == "red"
    (line,) = [line for line in result.stderr.splitlines() if "no window is possible" in line]
    assert line.endswith("; writing JSON lines instead")


def test_a_stream_that_fails_is_said_to_be_lost_and_comes_back() -> None:
    with serving(Program(fps=50, frames=25)) as address:
        result = live(MODEL, "--source", address, "--json", "--max-frames", "26")
    assert result.exit_code == 0, result.output
    answers = answers_in(result.stdout)
    assert len(answers) == 26
    for classified, answer in enumerate(answers, start=1):
        assert answer["captured"] == classified + answer["dropped"] == answer["frame"] + 1
    assert re.search(r"^LOST: http://\S+: it gives no more frames; it is being opened again$", result.stderr, re.M)
    assert re.search(r"^back after \d+\.\d s: http://", result.stderr, re.M)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_summary_and_whole_files(number: signal.Signals, tmp_path: Path) -> None:
    record, lines = tmp_path / "seen.mp4", tmp_path / "answers.jsonl"
    with (
        serving(Program(fps=50)) as address,
        process(MODEL, "--source", address, "--json", "--record", record, "--jsonl", lines) as running,
    ):
        assert running.stdout is not None
        for _ in range(10):
            running.stdout.readline()
        running.send_signal(number)
        _, messages = running.communicate(timeout=60)
    assert running.returncode == 0, messages
    summary = re.search(r"(\d+) frames captured = (\d+) classified \+ (\d+) dropped", messages.splitlines()[-1])
    assert summary
    captured, classified, dropped = map(int, summary.groups())
    assert captured == classified + dropped
    assert len(answers_in(lines.read_text(encoding="utf-8"))) == classified
    assert cv2.VideoCapture(str(record)).read()[0]
    assert sorted(os.listdir(tmp_path)) == ["answers.jsonl", "seen.mp4"]
    assert "Traceback" not in messages


def test_a_reader_that_stops_reading_ends_it_quietly(clip: Path) -> None:
    with process(MODEL, "--source", clip, "--json") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        messages = running.stderr.read()
        assert running.wait(timeout=60) == 0
    assert "frames captured = " in messages
    assert "BrokenPipe" not in messages


@pytest.mark.parametrize("web", [(), ("--web", "127.0.0.1:0")])
def test_a_signal_ends_it_though_nobody_reads_anything_of_it(web: tuple[str, ...], tmp_path: Path) -> None:
    """As with ``2>&1 | less``: even its last words find the pipe full."""
    lines = tmp_path / "answers.jsonl"
    with serving(Program(fps=100)) as address:
        words = ["live", MODEL, "--source", address, "--json", "--jsonl", lines, *web]
        running = subprocess.Popen(
            [*PROGRAM, *map(os.fspath, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        assert running.stdout is not None
        sizes = [-1]
        while sizes[-1] <= 0 or sizes[-1] != sizes[-2]:
            time.sleep(1)
            sizes.append(lines.stat().st_size if lines.exists() else 0)
        running.send_signal(signal.SIGTERM)
        try:
            assert running.wait(60) == 0
        finally:
            running.kill()
            running.stdout.close()
    assert all(answer["label"] for answer in answers_in(lines.read_text(encoding="utf-8")))


def test_a_truncated_video_is_told_from_a_whole_one(clip: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.avi"
    half.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = live(MODEL, "--source", half, "--json", "--every-frame")
    assert result.exit_code == 0
    assert 0 < len(result.stdout.splitlines()) < 45
    assert "the video says it holds 50 frames, so it may be damaged" in result.stderr


def test_a_whole_video_that_is_left_early_is_not_called_damaged(clip: Path) -> None:
    result = live(MODEL, "--source", clip, "--json", "--every-frame", "--max-frames", "3")
    assert result.exit_code == 0
    assert "damaged" not in result.stderr


def test_old_lines_stay_until_there_are_new_ones(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text("old\n")
    assert live(MODEL, "--camera", "63", "--jsonl", lines, "--overwrite").exit_code == 1
    assert lines.read_text() == "old\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "nope.avi"), "'nope.avi' cannot be played: no such file"),
        (("--source", "ftp://user:secret@host/a"), "an address that starts with ftp:// is not read: ftp://***@host/a"),
        (("--source", "nope.avi", "--camera", "1"), "--camera 1 together with --source"),
        (("--source", "nope.avi", "--width", "640"), "--width, --height or --fps together with --source"),
        (("--camera", "front"), "--camera front is no camera"),
        (("--camera", "63", "--every-frame"), "camera 63 does not wait"),
        (("--camera", "63", "--no-window"), "camera 63 cannot be opened"),
        (("--region", "1,2"), "--region 1,2\nExpected: x,y,width,height"),
        (("--smooth-seconds", "0"), "--smooth-seconds 0\nExpected: a number of seconds above 0"),
        (("--record", "a.gif"), "--record a.gif\nExpected: the name of an .avi or .mp4 file"),
        (("--jsonl", __file__), "test_live.py exists already\nDo: add --overwrite to replace it"),
        (("--jsonl", "film.MP4", "--overwrite"), "--jsonl film.MP4 has the name of a photo, a video or a model"),
        (("--source", "./a.avi", "--record", "a.avi", "--overwrite"), "--record a.avi is the source"),
        (("--certificate", "c.pem", "--certificate-key", "k.pem"), "--certificate without --web"),
        (
            ("--web", "0.0.0.0"),
            "0.0.0.0 is not a model file\nExpected: model files to choose from\nDo: give an address",
        ),
        (("--on-label", "cat", "true"), "--on-label cat\nExpected: one of "),
        (("--on-label", "red", "no-such-program"), "--on-label red: no program 'no-such-program'"),
    ],
)
def test_what_cannot_work_is_explained(words: tuple[str, ...], message: str) -> None:
    result = live(MODEL, *words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert message in str(result.exception)
    assert "secret" not in str(result.exception) + result.output


def test_a_label_may_come_after_an_equals_sign(clip: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    result = live(MODEL, "--source", clip, "--json", "--every-frame", "--on-label=blue", f"touch {told}")
    assert result.exit_code == 0, result.output
    assert told.exists()


@pytest.mark.parametrize("words", [("--on-label", "red"), ("--on-label=red",)])
def test_a_label_without_command_is_wrong_usage(words: tuple[str, ...]) -> None:
    result = live(MODEL, *words)
    assert result.exit_code == 2
    assert "it takes two words: a label and a command" in re.sub(r"[\s│]+", " ", result.output)
