"""What frames come from: a camera, a video file or a stream, and how OpenCV is made to open it safely.

Every source names its backend and its time limits. FFmpeg may speak only the protocol that the address names and does
not follow redirects, V4L2 does not wait its default of ten seconds, and what both would print is silenced, because it
may show an address with its password. Whether a source works is judged by its first frame, not by ``isOpened()``.

A source is plain data, because it is opened in another process (`edgewise.runtime.reader`).
"""

from __future__ import annotations

import glob
import math
import os
import re
import sys
from dataclasses import dataclass, field
from enum import Enum

import cv2

from edgewise.spec import SourceError
from edgewise.spec.files import path_text

OPEN_SECONDS = 10.0
"""Longest time that opening may take, in seconds."""

READ_SECONDS = 5.0
"""Longest time that FFmpeg waits for one frame, in seconds."""

_V4L_SECONDS = 2
_DEFAULT_FPS = 25.0
_PROTOCOLS = {"http": "http,tcp", "https": "https,tls,tcp,httpproxy", "rtsp": "rtsp,rtp,udp,tcp"}
_CAMERA_BACKENDS = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION}
_USER_OPTIONS = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS", "")


class Kind(str, Enum):
    """Kinds of source."""

    CAMERA = "camera"
    FILE = "file"
    STREAM = "stream"


@dataclass(frozen=True)
class Source:
    """Something that frames can be read from, checked but not opened yet."""

    kind: Kind
    name: str  # for messages; without credentials
    address: str | int = field(repr=False)  # path, URL or number of a camera; it may hold a password
    width: int | None = None  # pixels to ask a camera for; it may give others
    height: int | None = None
    fps: float | None = None  # frames per second to ask a camera for; it may give others

    def open(self) -> cv2.VideoCapture:
        """Open it, in up to `OPEN_SECONDS`; the result may still give no frame."""
        _hush()
        if self.kind is Kind.CAMERA:
            return _open_camera(self)
        address = str(self.address)
        scheme = address.partition("://")[0].lower() if self.kind is Kind.STREAM else "file"
        return _open_ffmpeg(address, _PROTOCOLS.get(scheme, "file"))

    def refusal(self) -> SourceError:
        """The error where it cannot be opened."""
        if self.kind is Kind.CAMERA:
            return _no_camera(self)
        if self.kind is Kind.FILE:
            return SourceError(f"{self.name} cannot be read as a video", "an .mp4, .avi, .mkv or other video file")
        return SourceError(
            f"{self.name} cannot be opened",
            f"a video stream that answers within {OPEN_SECONDS:g} s, without redirecting to another address",
            "check the address, the user and the password, and whether another player shows it",
        )


@dataclass(frozen=True)
class Pace:
    """How the frames of an opened source follow each other."""

    endless: bool  # True: only a fault ends it
    fps: float  # frames per second as the source says, > 0
    announced: int  # frames that the source says it holds; 0: unknown


def camera(
    device: int | str, *, width: int | None = None, height: int | None = None, fps: float | None = None
) -> Source:
    """Describe a camera.

    Args:
        device: N of ``/dev/videoN`` on Linux, 0 or more, or the path of a device, such as one in ``/dev/v4l/by-id``.
        width: pixels to ask for; the camera may give others.
        height: pixels to ask for; the camera may give others.
        fps: frames per second to ask for; the camera may give others.

    Raises:
        SourceError: neither a number nor a path.
    """
    text = str(device)
    if text.isascii() and text.isdigit():
        return Source(Kind.CAMERA, f"camera {int(text)}", int(text), width, height, fps)
    if not text.startswith("/") or not text.isprintable():
        raise SourceError(
            f"--camera {path_text(text)} is no camera",
            "its number, such as 0, or the path of its device, such as /dev/video0",
            "for a video or a stream use --source",
        )
    return Source(Kind.CAMERA, f"camera {text}", text, width, height, fps)


def video(address: str) -> Source:
    """Describe a video file or a stream.

    Args:
        address: path of a file, or an http, https or rtsp URL.

    Raises:
        SourceError: no such file, a name that OpenCV cannot take, or a URL of another kind.
    """
    if "://" in address:
        return _stream(address)
    try:
        os.fsencode(address).decode("utf-8")
    except UnicodeDecodeError:
        # OpenCV kills the process on such a name.
        shown = path_text(address)
        raise SourceError(f"the name of the video {shown} is not UTF-8", do="rename the file") from None
    if not os.path.isfile(address):
        found = "a folder" if os.path.isdir(address) else "a device" if os.path.exists(address) else "no such file"
        raise SourceError(
            f"{address!r} cannot be played: {found}",
            "a video file, or an address that starts with http://, https:// or rtsp://",
            "for a webcam use --camera N",
        )
    # An absolute path starts with a slash, so that FFmpeg cannot take a part of it for a protocol.
    return Source(Kind.FILE, repr(address), os.path.abspath(address))


def mask(url: str) -> str:
    """Return the URL without what may be secret: user, password, query and fragment."""
    return re.sub(r"[?#].*", "?***", re.sub(r"(?<=://).*@", "***@", url, flags=re.DOTALL), flags=re.DOTALL)


def pace(source: Source, capture: cv2.VideoCapture) -> Pace:
    """Read how ``capture``, opened from ``source``, says it is paced; nonsense is replaced by 25 frames per second."""
    fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    announced = int(frames) if 0 < frames < 1e9 else 0
    return Pace(
        endless=source.kind is Kind.CAMERA or (source.kind is Kind.STREAM and not announced),
        fps=fps if math.isfinite(fps) and 0.01 <= fps <= 1000 else _DEFAULT_FPS,
        announced=announced,
    )


def _stream(url: str) -> Source:
    scheme = url.partition("://")[0].lower()
    if scheme not in _PROTOCOLS:
        raise SourceError(
            f"an address that starts with {scheme}:// is not read: {mask(url)}",
            "http://, https:// or rtsp://",
            "for a file give its path alone",
        )
    if not url.isprintable() or " " in url:
        raise SourceError(f"the address {mask(url)!r} holds a blank or a control character", do="write it as %20")
    return Source(Kind.STREAM, mask(url), url)


def _open_camera(source: Source) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_V4L_SECONDS))
    capture = cv2.VideoCapture(source.address, _CAMERA_BACKENDS.get(sys.platform, cv2.CAP_ANY))
    wishes = {
        cv2.CAP_PROP_FRAME_WIDTH: source.width,
        cv2.CAP_PROP_FRAME_HEIGHT: source.height,
        cv2.CAP_PROP_FPS: source.fps,
        cv2.CAP_PROP_BUFFERSIZE: 1,  # often ignored, hence the one slot
    }
    for key, value in wishes.items():
        if value is not None:
            capture.set(key, value)
    return capture


def _open_ffmpeg(address: str, protocols: str) -> cv2.VideoCapture:
    # Of options given twice FFmpeg takes the last: the user may choose a transport, but not undo the two safeguards.
    options = ["rtsp_transport;tcp", _USER_OPTIONS, "max_redirects;0", f"protocol_whitelist;{protocols}"]
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(option for option in options if option)
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(OPEN_SECONDS * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(READ_SECONDS * 1000),
    ]
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)


def _hush() -> None:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _no_camera(source: Source) -> SourceError:
    devices = sorted(glob.glob("/dev/video*"))
    device = f"/dev/video{source.address}" if isinstance(source.address, int) else source.address
    advice = ["see that the camera is plugged in and that no other program uses it"]
    if os.path.exists(device) and not os.access(device, os.R_OK | os.W_OK):
        advice = [f"you may not use {device}: 'sudo usermod -aG video $USER', then log in again"]
    elif not devices:
        advice.append("in a container pass the device in, and be in the group video")
    advice.append("a Raspberry Pi camera on the ribbon cable (CSI) needs picamera2, which OpenCV does not use")
    return SourceError(
        f"{source.name} cannot be opened",
        "one of " + ", ".join(devices) if devices else f"{device}, but there is no /dev/video* at all",
        "; ".join(advice),
    )
