"""Reading for real: files, and streams on this machine that end, stall and come back. There is no camera here."""

from __future__ import annotations

import errno
import http.server
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime import reader_process
from edgewise.runtime.camera import camera, video
from edgewise.runtime.frames import Frame
from edgewise.runtime.grabber import Grabber, Retrying
from edgewise.spec import InputError, SourceError

RED, BLUE = (0, 0, 255), (255, 0, 0)
AT_ONCE = Retrying(first=0.01, most=0.02)
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of half a second of red and half of blue, 50 frames per second, 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for color in [RED] * 25 + [BLUE] * 25:
        writer.write(np.full((48, 64, 3), color, np.uint8))
    writer.release()
    return path


class Stream(http.server.BaseHTTPRequestHandler):
    """Ten red JPEG frames, and then silence or the end; ``/moved`` redirects there."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.visits += 1  # type: ignore[attr-defined]
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/ends")
            self.end_headers()
            return
        if self.path.startswith("/once") and self.server.visits > 1:  # type: ignore[attr-defined]
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), RED, np.uint8))[1].tobytes()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        for _ in range(10):
            self.wfile.write(head + jpeg + b"\r\n")
        if self.path.startswith("/stalls"):
            self.server.stop.wait(30)  # type: ignore[attr-defined]


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    server.daemon_threads = True
    server.stop = threading.Event()  # type: ignore[attr-defined]
    server.visits = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.stop.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def address(server: http.server.ThreadingHTTPServer, path: str) -> str:
    return f"http://user:secret@127.0.0.1:{server.server_port}{path}"


def take_until(grabber: Grabber, enough: Callable[[], bool]) -> list[Frame]:
    """Take frames until something is true; a minute is more than enough for it."""
    taken, deadline = [], time.monotonic() + 60
    while not enough() and not grabber.ended:
        assert time.monotonic() < deadline
        if frame := grabber.take(0.05):
            taken.append(frame)
    return taken


def frames(grabber: Grabber) -> list[Frame]:
    with grabber:
        return take_until(grabber, lambda: grabber.ended)


def readers() -> list[int]:
    """Process numbers of what this process started."""
    return [int(word) for path in Path("/proc/self/task").glob("*/children") for word in path.read_text().split()]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_every_frame_of_a_file_is_taken_in_order_with_its_own_time(clip: Path) -> None:
    grabber = Grabber(video(str(clip)), every_frame=True)
    taken = frames(grabber)
    assert [frame.index for frame in taken] == list(range(50))
    assert [frame.seconds for frame in taken] == pytest.approx([index / 50 for index in range(50)])
    assert (grabber.captured, grabber.dropped, grabber.announced) == (50, 0, 50)
    assert taken[0].picture.shape == (48, 64, 3)
    assert taken[0].picture[24, 32, 2] > 200
    assert taken[49].picture[24, 32, 0] > 200


def test_a_file_plays_at_its_own_speed_and_its_last_frame_is_taken(clip: Path) -> None:
    grabber = Grabber(video(str(clip)))
    begun = time.monotonic()
    taken = frames(grabber)
    assert taken[-1].index == 49
    # Frame 49 is due 49 periods of 20 ms after frame 0; a slow machine may only be later.
    assert taken[-1].captured_at - begun > 0.97
    assert grabber.captured == 50 == len(taken) + grabber.dropped


def test_a_slide_show_is_slow_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "slides.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 0.5, (64, 48))
    for color in (RED, BLUE, RED):
        writer.write(np.full((48, 64, 3), color, np.uint8))
    writer.release()
    grabber = Grabber(video(str(path)), patience=0.6)
    assert [frame.index for frame in frames(grabber)] == [0, 1, 2]


def test_a_paused_file_stands_still(clip: Path) -> None:
    with Grabber(video(str(clip)), patience=0.2) as grabber:
        take_until(grabber, lambda: grabber.captured > 0)
        grabber.hold(True)
        # Longer than the patience: a pause is not a loss.
        while grabber.take(0.5) is not None:
            pass
        seen = grabber.captured
        assert grabber.take(0.3) is None
        assert grabber.captured == seen < 50
        grabber.hold(False)
        assert take_until(grabber, lambda: grabber.captured > seen)


@only_linux
def test_a_stream_that_ends_is_opened_again_and_the_count_goes_on(server: http.server.ThreadingHTTPServer) -> None:
    files, threads, children = open_files(), threading.active_count(), readers()
    outages = []

    def enough() -> bool:
        if outage := grabber.outage:
            outages.append(outage)
        return server.visits > 2  # type: ignore[attr-defined]

    with Grabber(video(address(server, "/ends")), retrying=AT_ONCE) as grabber:
        taken = take_until(grabber, enough)
    assert grabber.captured >= 20
    assert grabber.captured == len(taken) + grabber.dropped
    assert all(frame.index == number + frame.dropped for number, frame in enumerate(taken))
    assert [frame.seconds for frame in taken] == sorted(frame.seconds for frame in taken)
    assert outages[0].reason.endswith(": it gives no more frames")
    assert "secret" not in outages[0].reason
    assert (threading.active_count(), readers(), open_files()) == (threads, children, files)


def test_a_machine_that_lacks_file_handles_for_a_moment_loses_the_source_and_finds_it_again(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, shelf = [0], reader_process._nameless_file

    def sometimes() -> int:
        opened[0] += 1
        if opened[0] in (2, 3):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return shelf()

    monkeypatch.setattr(reader_process, "_nameless_file", sometimes)
    reasons = set()

    def enough() -> bool:
        reasons.update({grabber.outage.reason} if grabber.outage else ())
        return server.visits > 2  # type: ignore[attr-defined]

    with Grabber(video(address(server, "/ends")), retrying=Retrying(first=0.3, most=0.3)) as grabber:
        take_until(grabber, enough)
    assert any("cannot be read: Too many open files" in reason for reason in reasons)


@only_linux
def test_a_read_that_hangs_is_ended_and_opened_again(server: http.server.ThreadingHTTPServer) -> None:
    children, reasons = readers(), set()

    def enough() -> bool:
        reasons.update({grabber.outage.reason} if grabber.outage else ())
        return server.visits > 1  # type: ignore[attr-defined]

    with Grabber(video(address(server, "/stalls?token=secret")), patience=0.3, retrying=AT_ONCE) as grabber:
        taken = take_until(grabber, enough)
    assert 9 in {frame.index for frame in taken}  # the newest, although all ten came at once
    (reason,) = reasons
    assert reason.endswith("/stalls?***: no frame for 0.3 s")
    assert readers() == children


@only_linux
def test_a_reader_that_dies_is_started_again(server: http.server.ThreadingHTTPServer) -> None:
    reasons = set()

    def enough() -> bool:
        reasons.update({grabber.outage.reason} if grabber.outage else ())
        return server.visits > 1  # type: ignore[attr-defined]

    others = readers()
    with Grabber(video(address(server, "/stalls")), patience=30, retrying=AT_ONCE) as grabber:
        take_until(grabber, lambda: grabber.captured > 0)
        (reader,) = set(readers()) - set(others)
        os.kill(reader, signal.SIGKILL)
        take_until(grabber, enough)
    (reason,) = reasons
    assert reason.endswith("/stalls: the process that reads it ended with signal 9")


def test_a_lost_source_is_given_up_where_that_was_asked_for(server: http.server.ThreadingHTTPServer) -> None:
    retrying = Retrying(first=0.01, most=0.02, give_up=0.1)
    with Grabber(video(address(server, "/once")), retrying=retrying) as grabber, pytest.raises(SourceError) as caught:
        take_until(grabber, lambda: False)
    assert re.fullmatch(
        r"http://\*\*\*@127.0.0.1:\d+/once was lost: nothing for \d+ s after 10 frames; .*\n"
        r"Expected: a frame at least every 0\.1 s, as --give-up says\n"
        r"Do: check the cable or the network and start again",
        str(caught.value),
    )


def test_redirects_are_not_followed(server: http.server.ThreadingHTTPServer) -> None:
    with Grabber(video(address(server, "/moved"))) as grabber, pytest.raises(SourceError) as caught:
        take_until(grabber, lambda: False)
    assert "/moved cannot be opened" in str(caught.value)
    assert "without redirecting to another address" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_playlist_file_cannot_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        playlist = tmp_path / "list.m3u8"
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n")
        with Grabber(video(str(playlist))) as grabber, pytest.raises(SourceError, match="cannot be read as a video"):
            take_until(grabber, lambda: False)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.avi").write_text("hello")
    with Grabber(video(str(tmp_path / "x.avi"))) as grabber, pytest.raises(SourceError) as caught:
        take_until(grabber, lambda: False)
    assert str(caught.value).endswith(
        "x.avi' cannot be read as a video\nExpected: an .mp4, .avi, .mkv or other video file"
    )


@pytest.mark.skipif(os.path.exists("/dev/video63"), reason="this machine has a camera 63")
def test_a_camera_that_is_not_there_is_explained() -> None:
    with Grabber(camera("63")) as grabber, pytest.raises(SourceError) as caught:
        take_until(grabber, lambda: False)
    message = str(caught.value)
    assert message.startswith("camera 63 cannot be opened\nExpected: ")
    assert "/dev/video" in message
    assert "(CSI) needs picamera2" in message


def test_every_frame_is_only_for_files() -> None:
    with pytest.raises(
        InputError, match="camera 0 does not wait, so --every-frame cannot be kept\nExpected: a video file"
    ):
        Grabber(camera(0), every_frame=True)


def test_waits_double_up_to_a_limit_and_differ_at_random() -> None:
    waits = [[Retrying().wait(attempt) for _ in range(50)] for attempt in range(8)]
    for attempt, some in enumerate(waits):
        middle = min(10.0, 0.5 * 2**attempt)
        assert 0.8 * middle <= min(some) < max(some) <= 1.2 * middle
    assert Retrying().wait(10_000) <= 12
