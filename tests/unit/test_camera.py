"""What may be opened, and what is said where it may not be. No camera is needed: nothing is opened here."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import cv2
import pytest

from edgewise.runtime.camera import Kind, Source, camera, mask, video
from edgewise.spec import SourceError


def test_a_video_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff.avi"))
    Path(name).write_bytes(b"")
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


@pytest.mark.parametrize(
    ("device", "name", "address"),
    [
        (0, "camera 0", 0),
        ("2", "camera 2", 2),
        ("/dev/video2", "camera /dev/video2", "/dev/video2"),
        ("/dev/v4l/by-id/usb-cam", "camera /dev/v4l/by-id/usb-cam", "/dev/v4l/by-id/usb-cam"),
    ],
)
def test_a_camera_is_a_number_or_a_device(device: int | str, name: str, address: int | str) -> None:
    source = camera(device, width=640, height=480, fps=30)
    assert source == Source(Kind.CAMERA, name, address, 640, 480, 30)


@pytest.mark.parametrize("device", ["front", "-1", "", "video0", "/dev/vid\neo0"])
def test_other_cameras_are_refused(device: str) -> None:
    with pytest.raises(SourceError) as caught:
        camera(device)
    assert str(caught.value).endswith(
        " is no camera\nExpected: its number, such as 0, or the path of its device, such as /dev/video0\n"
        "Do: for a video or a stream use --source"
    )


def test_a_source_can_be_handed_to_another_process_and_does_not_show_its_password() -> None:
    source = video("rtsp://user:secret@host/live")
    assert "secret" not in repr(source)
    fields = json.loads(json.dumps(asdict(source)))
    assert Source(Kind(fields.pop("kind")), **fields) == source


def test_a_device_that_may_not_be_used_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    refusal = camera(str(tmp_path / "video0")).refusal()
    assert str(refusal).startswith(f"camera {tmp_path}/video0 cannot be opened\nExpected: ")
    assert "(CSI) needs picamera2" in str(refusal)
    assert "may not use" not in str(refusal)


class Device:
    """A camera, which cannot exist here: it notes how it is opened and what it is asked for."""

    def __init__(self, address: int | str, backend: int) -> None:
        self.address, self.backend, self.asked = address, backend, dict[int, float]()

    def set(self, key: int, value: float) -> bool:
        self.asked[key] = value
        return False  # as cameras do that have only one size


def test_a_camera_is_asked_for_what_was_wished_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Device)
    wished = camera("/dev/video7", width=1280, height=720, fps=15).open()
    assert isinstance(wished, Device)
    assert wished.address == "/dev/video7"
    assert wished.asked == {
        cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 15,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }  # fmt: skip
    plain = camera(0).open()
    assert isinstance(plain, Device)
    assert (plain.address, plain.asked) == (0, {cv2.CAP_PROP_BUFFERSIZE: 1})
