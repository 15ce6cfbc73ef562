"""Files that are written while frames come: the video that was shown, lines of JSON, and single frames."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgewise.runtime.frames import BgrPicture
from edgewise.spec import InputError, OutputError
from edgewise.spec.files import path_text, refuse_overwrite, replacing, write_bytes

RATE = 20.0
"""Frames per second of a recorded video."""

LEAST_FREE = 32 << 20
"""Bytes that a recording leaves free on its disk."""

_CODECS = {".avi": "MJPG", ".mp4": "mp4v"}


class Recorder:
    """Writes what is shown as a video that plays at the speed at which it was shown.

    Answers come as fast as the network is, a video has one rate: each picture is repeated until the next one's time.
    All pictures get the size of the first, with black margins where their shape differs. The file appears when it is
    whole, at the end, also where an error ended the rest; if the machine stops before, what was written lies under a
    hidden name beside it. Use it as a context manager.

    Args:
        path: .avi (Motion JPEG, of which the beginning can be played even then) or .mp4 (MPEG-4, smaller).
        overwrite: replace an existing file.

    Raises:
        InputError: another suffix.
        OutputError: the file exists already, cannot be written, or did not become whole.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        # OpenCV kills the process on a name that is not UTF-8.
        if path.suffix.lower() not in _CODECS or "\ufffd" in os.fsencode(path).decode("utf-8", "replace"):
            raise InputError(f"--record {path_text(path)}", "the name of an .avi or .mp4 file")
        refuse_overwrite(path, overwrite=overwrite)
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._latest: BgrPicture | None = None
        self._start = self._then = self._looked = 0.0
        self._written = 0

    def __enter__(self) -> Recorder:
        folder = self._path.absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=self._path.suffix.lower(), dir=folder)
        except OSError as error:
            raise OutputError(
                f"cannot write {self._path}: {error.strerror}", do="choose another place with --record"
            ) from error
        os.close(handle)
        self._temporary = Path(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self._writer is not None:
                self._finish(self._writer)
                with replacing(self._path) as place:
                    self._temporary.chmod(place.stat().st_mode)
                    self._temporary.replace(place)
        finally:
            self._temporary.unlink(missing_ok=True)

    def show(self, picture: BgrPicture, seconds: float) -> None:
        """Record a (height, width, 3) BGR picture that is shown from ``seconds`` on; times never decrease."""
        if self._writer is None:
            self._open(picture)
            self._start = seconds
        self._fill(seconds)
        self._see_to_room(seconds)
        self._latest, self._then = self._fitted(picture), seconds

    def skip(self, seconds: float) -> None:
        """Leave out the time from the last picture to ``seconds``, such as a pause."""
        self._start += seconds - self._then
        self._then = seconds

    def _finish(self, writer: cv2.VideoWriter) -> None:
        self._fill(self._then + 1 / RATE)
        writer.release()
        # A file that did not become whole has no or fewer frames.
        written = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if count < self._written:
            raise OutputError(
                f"{self._path} did not become whole: {count} of {self._written} frames",
                do="free some space, or choose another place with --record",
            )

    def _see_to_room(self, seconds: float) -> None:
        """End while there is room for the end of the file: the writer does not say when the disk is full."""
        if seconds < self._looked + 1:
            return
        self._looked = seconds
        if shutil.disk_usage(self._temporary.parent).free < LEAST_FREE:
            raise OutputError(
                f"the disk is full but for {LEAST_FREE >> 20} MiB; {self._path} ends here",
                do="free some space, or choose another place with --record",
            )

    def _open(self, picture: BgrPicture) -> None:
        height, width = picture.shape[:2]
        self._size = (width - width % 2, height - height % 2)  # MPEG-4 halves the colours' resolution
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, codec, RATE, self._size)
        if not self._writer.isOpened():
            raise OutputError(
                f"OpenCV cannot write {self._path}", do="choose another name with --record, such as a.avi"
            )

    def _fill(self, until: float) -> None:
        assert self._writer is not None
        while self._latest is not None and self._written < round((until - self._start) * RATE):
            self._writer.write(self._latest)
            self._written += 1

    def _fitted(self, picture: BgrPicture) -> BgrPicture:
        width, height = self._size
        if picture.shape[:2] == (height, width):
            return picture
        scale = min(width / picture.shape[1], height / picture.shape[0])
        inner = (
            max(1, min(width, round(picture.shape[1] * scale))),
            max(1, min(height, round(picture.shape[0] * scale))),
        )
        canvas = np.zeros((height, width, 3), np.uint8)
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner)
        return canvas


class Lines:
    """A text file that grows line by line and can be followed meanwhile (``tail -f``). Use it as a context manager.

    Args:
        path: the file; it is there from the start.
        overwrite: replace an existing file, once there is something to write.

    Raises:
        OutputError: the file exists already or cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        if path.is_dir():
            raise OutputError(f"--jsonl {path} is a folder", "the name of a file")
        refuse_overwrite(path, overwrite=overwrite)
        self._path = path

    def __enter__(self) -> Lines:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            self._old = self._file.tell() > 0
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Append one line, whole or, where the disk is full, not at all."""
        content = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._old:
            self._file.truncate(0)
            self._file.seek(0)
            self._old = False
        end = self._file.tell()
        try:
            if self._file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write {self._path}: {error.strerror}", do="free some space, or choose another place with --jsonl"
        )


def save_frame(picture: BgrPicture, folder: Path) -> Path:
    """Save a frame as it came, (height, width, 3) BGR, as the next free ``frame-0001.png`` of a folder; its path.

    Raises:
        OutputError: the folder cannot be written.
    """
    number = 1 + max(
        (int(path.stem[6:]) for path in folder.glob("frame-*.png") if path.stem[6:].isdecimal()), default=0
    )
    path = folder / f"frame-{number:04}.png"
    write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
    return path
