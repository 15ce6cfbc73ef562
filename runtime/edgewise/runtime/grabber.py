"""Read a camera or a video as it is now: a thread that reads, a slot for one frame, and an exact count.

Cameras and their drivers queue frames, so whoever reads only as fast as it classifies sees the past. Here a thread
reads all the time and keeps the newest frame only; what is overwritten is counted as dropped:

    captured == taken + dropped
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np

from edgewise.runtime.camera import OPEN_SECONDS, BgrPicture, Kind, Pace, Source, pace
from edgewise.spec import InputError, SourceError

PATIENCE = 5.0
"""Longest time without a frame before a source counts as lost, in seconds."""

_RETRY_SECONDS = 0.02
_LATE_SECONDS = 1.0


@dataclass(frozen=True)
class Frame:
    """One frame of a source."""

    picture: BgrPicture
    index: int  # 0 for the first frame captured
    seconds: float  # since the first frame: of the video's own time in a file, of the clock otherwise
    captured_at: float  # time.monotonic() when it was read, in seconds


class Grabber:
    """Reads a source in a thread of its own and keeps one frame.

    Only that thread ever touches the capture, and it does not outlive the process: a read that hangs, which no
    library call can end, stops neither the watchdog nor the exit. Use it as a context manager.

    Args:
        source: what to read.
        every_frame: wait until each frame is taken, instead of replacing it by the next; for files only.
        patience: longest time without a frame, in seconds.

    Raises:
        InputError: ``every_frame`` with a source that does not wait.
    """

    def __init__(self, source: Source, *, every_frame: bool = False, patience: float = PATIENCE) -> None:
        if every_frame and source.kind is not Kind.FILE:
            raise InputError(f"{source.name} does not wait, so --every-frame cannot be kept", "a video file")
        self._source, self._every_frame, self._patience = source, every_frame, patience
        self._changed = threading.Condition()
        self._halt = threading.Event()
        self._playing = threading.Event()
        self._playing.set()
        self._slot: Frame | None = None
        self._error: SourceError | None = None
        self._ended = False
        # Since when a frame is awaited (None: none is), and how long that may take. Opening has a limit of its own.
        self._waiting_since: float | None = None
        self._limit = OPEN_SECONDS + patience
        self.captured = 0
        self.dropped = 0
        self.announced = 0
        self._thread = threading.Thread(target=self._run, name=f"grabber of {source.name}", daemon=True)

    def __enter__(self) -> Grabber:
        self._waiting_since = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def ended(self) -> bool:
        """True when the source came to its end and its last frame was taken."""
        with self._changed:
            return self._ended and self._slot is None

    def take(self, timeout: float) -> Frame | None:
        """Take the frame in the slot, waiting up to ``timeout`` seconds for one; None: there is none yet, or no more.

        Raises:
            SourceError: the source cannot be opened, or gave no frame for longer than ``patience``.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._slot or self._ended or self._error, timeout)
            frame, self._slot = self._slot, None
            self._changed.notify_all()
            if frame is None and self._error is not None:
                raise self._error
            if frame is None and self._waiting_since is not None and not self._ended:
                silence = time.monotonic() - self._waiting_since
                if silence > self._limit:
                    raise self._lost(silence)
            return frame

    def hold(self, paused: bool) -> None:
        """Pause or go on. A file stands still meanwhile; a camera goes on, and its frames are dropped."""
        (self._playing.clear if paused else self._playing.set)()

    def stop(self) -> None:
        """End reading and fix the count: a frame that nobody took is dropped. A reader that hangs is left behind."""
        with self._changed:
            self._halt.set()
            self._playing.set()
            self.dropped += self._slot is not None
            self._slot = None
            self._changed.notify_all()
        self._thread.join(timeout=2)

    def _lost(self, silence: float) -> SourceError:
        what = "was lost" if self.captured else "gave no frame"
        return SourceError(
            f"{self._source.name} {what}: nothing for {silence:.0f} s after {self.captured} frames",
            f"a frame at least every {self._patience:g} s",
            "check the cable or the network and start again",
        )

    def _run(self) -> None:
        try:
            capture = self._source.open()
            try:
                self._read_all(capture)
            finally:
                capture.release()
        except cv2.error as error:
            self._fail(SourceError(f"OpenCV failed on {self._source.name}: {error.err or error}"))

    def _fail(self, error: SourceError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _read_all(self, capture: cv2.VideoCapture) -> None:
        if not capture.isOpened():
            self._fail(self._source.refusal())
            return
        rhythm = pace(self._source, capture)
        self.announced = rhythm.announced
        self._limit, self._waiting_since = self._patience, None
        first = due = time.monotonic()
        while not self._halt.is_set():
            self._wait_turn(rhythm)
            self._waiting_since = self._waiting_since or time.monotonic()
            good, picture = capture.read()
            now = time.monotonic()
            if not good or picture is None or not picture.size:
                if not rhythm.endless:
                    self._finish()
                    return
                # A camera may give a broken frame now and then; the watchdog decides when it is lost.
                self._halt.wait(_RETRY_SECONDS)
                continue
            self._waiting_since = None
            if not self.captured:
                first = due = now
            if not rhythm.endless and not self._every_frame:
                due = self._keep_time(due, now)
                now = time.monotonic()
            seconds = now - first if rhythm.endless else self.captured / rhythm.fps
            self._publish(Frame(np.asarray(picture, np.uint8), self.captured, seconds, now))
            due += 1 / rhythm.fps

    def _wait_turn(self, rhythm: Pace) -> None:
        if rhythm.endless:
            return
        self._playing.wait()
        with self._changed:
            self._changed.wait_for(lambda: not (self._every_frame and self._slot) or self._halt.is_set())

    def _keep_time(self, due: float, now: float) -> float:
        """Wait until ``due``; after a pause, or where decoding is too slow to keep up, count from ``now`` on."""
        if now - due > _LATE_SECONDS:
            return now
        self._halt.wait(max(0.0, due - now))
        return due

    def _publish(self, frame: Frame) -> None:
        with self._changed:
            if self._halt.is_set():
                return
            self.captured += 1
            self.dropped += self._slot is not None
            self._slot = frame
            self._changed.notify_all()

    def _finish(self) -> None:
        if not self.captured:
            self._fail(self._source.refusal())
            return
        with self._changed:
            self._ended = True
            self._changed.notify_all()
