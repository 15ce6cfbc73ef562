"""What may be opened, what is said when it cannot be, and the grabber's count, watchdog and pace."""

from __future__ import annotations

import http.server
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.camera import Kind, Source, camera, mask, video
from edgewise.runtime.frames import Frame
from edgewise.runtime.grabber import Grabber
from edgewise.spec import InputError, SourceError

RED, BLUE = (0, 0, 255), (255, 0, 0)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one second of red and one of blue, 25 frames per second, 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for color in [RED] * 25 + [BLUE] * 25:
        writer.write(np.full((48, 64, 3), color, np.uint8))
    writer.release()
    return path


class Stream(http.server.BaseHTTPRequestHandler):
    """Ten red JPEG frames, and then silence or the end; ``/moved`` redirects there."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/ends")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), RED, np.uint8))[1].tobytes()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        for _ in range(10):
            self.wfile.write(head + jpeg + b"\r\n")
        if self.path.startswith("/stalls"):
            stop = self.server.stop  # type: ignore[attr-defined]
            stop.wait(30)


@pytest.fixture
def server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    server.daemon_threads = True
    server.stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    server.stop.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def frames(grabber: Grabber) -> list[Frame]:
    taken = []
    with grabber:
        while not grabber.ended:
            frame = grabber.take(1)
            if frame is not None:
                taken.append(frame)
    return taken


def drain(grabber: Grabber) -> None:
    """Take frames until the grabber raises."""
    while not grabber.ended:
        grabber.take(0.1)


def like_a_camera(clip: Path) -> Source:
    """A source that does not wait and does not end: reading it fails from the video's last frame on."""
    source = video(str(clip))
    return Source(Kind.CAMERA, "camera 9", source.open, source.refusal)


def test_every_frame_of_a_file_is_taken_in_order_with_its_own_time(clip: Path) -> None:
    grabber = Grabber(video(str(clip)), every_frame=True)
    taken = frames(grabber)
    assert [frame.index for frame in taken] == list(range(50))
    assert [frame.seconds for frame in taken] == pytest.approx([index / 25 for index in range(50)])
    assert (grabber.captured, grabber.dropped, grabber.announced) == (50, 0, 50)
    assert taken[0].picture.shape == (48, 64, 3)
    assert taken[0].picture[24, 32, 2] > 200
    assert taken[49].picture[24, 32, 0] > 200


def test_a_file_plays_at_its_own_speed_and_its_last_frame_is_taken(clip: Path) -> None:
    grabber = Grabber(video(str(clip)))
    taken = frames(grabber)
    assert taken[-1].index == 49
    # Frame 49 is due 49 periods of 40 ms after frame 0; a slow machine may only be later.
    assert taken[-1].captured_at - taken[0].captured_at > 1.9
    assert grabber.captured == 50 == len(taken) + grabber.dropped


def test_the_newest_frame_wins_and_the_count_is_exact(clip: Path) -> None:
    grabber = Grabber(like_a_camera(clip), patience=60)
    with grabber:
        while grabber.captured < 50:
            time.sleep(0.01)
        frame = grabber.take(1)
    assert frame is not None
    assert frame.index == 49
    assert (grabber.captured, grabber.dropped) == (50, 49)


def test_a_frame_left_in_the_slot_counts_as_dropped(clip: Path) -> None:
    grabber = Grabber(like_a_camera(clip), patience=60)
    with grabber:
        while grabber.captured < 50:
            time.sleep(0.01)
    assert (grabber.captured, grabber.dropped) == (50, 50)


def test_a_camera_that_gives_no_more_frames_is_lost(clip: Path) -> None:
    with Grabber(like_a_camera(clip), patience=0.3) as grabber, pytest.raises(SourceError) as caught:
        drain(grabber)
    assert re.fullmatch(
        r"camera 9 was lost: nothing for \d s after 50 frames\n"
        r"Expected: a frame at least every 0\.3 s\n"
        r"Do: check the cable or the network and start again",
        str(caught.value),
    )


def test_a_paused_file_stands_still(clip: Path) -> None:
    with Grabber(video(str(clip)), patience=0.2) as grabber:
        while grabber.take(1) is None:
            pass
        grabber.hold(True)
        # Longer than the patience: a pause is not a loss.
        while grabber.take(1) is not None:
            pass
        seen = grabber.captured
        assert grabber.take(0.5) is None
        assert grabber.captured == seen < 50
        grabber.hold(False)
        assert grabber.take(5) is not None


def test_a_stream_is_read_and_lost_when_it_stalls_although_the_read_hangs(server: str) -> None:
    with Grabber(video(f"{server}/stalls?token=secret"), patience=1) as grabber:
        first = None
        while first is None:
            first = grabber.take(0.1)
        with pytest.raises(SourceError) as caught:
            drain(grabber)
    assert first.picture[24, 32, 2] > 200
    assert "was lost: nothing for " in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_stream_that_ends_is_lost(server: str) -> None:
    with Grabber(video(f"{server}/ends"), patience=0.5) as grabber, pytest.raises(SourceError, match="was lost"):
        drain(grabber)
    assert grabber.captured >= 9


def test_redirects_are_not_followed(server: str) -> None:
    with Grabber(video(f"{server}/moved")) as grabber, pytest.raises(SourceError) as caught:
        drain(grabber)
    assert "/moved cannot be opened" in str(caught.value)
    assert "without redirecting to another address" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_playlist_file_cannot_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        playlist = tmp_path / "list.m3u8"
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n")
        with Grabber(video(str(playlist))) as grabber, pytest.raises(SourceError, match="cannot be read as a video"):
            drain(grabber)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.avi").write_text("hello")
    with Grabber(video(str(tmp_path / "x.avi"))) as grabber, pytest.raises(SourceError) as caught:
        drain(grabber)
    assert str(caught.value).endswith(
        "x.avi' cannot be read as a video\nExpected: an .mp4, .avi, .mkv or other video file"
    )


@pytest.mark.skipif(os.path.exists("/dev/video63"), reason="this machine has a camera 63")
def test_a_camera_that_is_not_there_is_explained() -> None:
    with Grabber(camera(63)) as grabber, pytest.raises(SourceError) as caught:
        drain(grabber)
    message = str(caught.value)
    assert message.startswith("camera 63 cannot be opened\nExpected: ")
    assert "/dev/video" in message
    assert "(CSI) needs picamera2" in message


def test_a_video_whose_name_is_not_utf8_is_refused(tmp_path: Path, clip: Path) -> None:
    name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff.avi"))
    Path(name).write_bytes(clip.read_bytes())
    with pytest.raises(SourceError) as caught:
        video(name)
    assert str(caught.value).endswith(r"/\xff.avi is not UTF-8" + "\nDo: rename the file")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("no-such.avi", "'no-such.avi' cannot be played: no such file"),
        (".", "'.' cannot be played: a folder"),
        ("/dev/null", "'/dev/null' cannot be played: a device"),
        ("concat:a.avi|b.avi", "'concat:a.avi|b.avi' cannot be played: no such file"),
        ("ftp://user:secret@host/a.avi", "an address that starts with ftp:// is not read: ftp://***@host/a.avi"),
        ("file:///etc/passwd", "an address that starts with file:// is not read"),
        ("http://host/a\r\nX: y", "holds a blank or a control character"),
    ],
)
def test_other_sources_are_refused_by_name(address: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        video(address)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://host/video.mp4", "http://host/video.mp4"),
        ("rtsp://user:secret@host:554/live", "rtsp://***@host:554/live"),
        ("rtsp://user:sec@re/t@host/live", "rtsp://***@host/live"),
        ("http://host/live?user=a&pwd=secret", "http://host/live?***"),
        ("http://host/live#secret", "http://host/live?***"),
    ],
)
def test_credentials_are_masked(url: str, masked: str) -> None:
    assert mask(url) == masked


def test_every_frame_is_only_for_files() -> None:
    with pytest.raises(
        InputError, match="camera 0 does not wait, so --every-frame cannot be kept\nExpected: a video file"
    ):
        Grabber(camera(0), every_frame=True)
