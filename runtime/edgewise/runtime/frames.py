"""Frames on their way to the classifier: what gives them, and one slot that holds the newest.

Whoever classifies is slower than a camera, and a queue between the two would show the past. So there is one slot: a
new frame replaces the one that nobody took, which counts as dropped, and at any time

    captured == taken + dropped + (1 if a frame waits in the slot)

`Frames` is a protocol, because frames come from devices and streams (`edgewise.runtime.grabber.Grabber`) as well as
from a browser or a test, which put pictures into a `FrameSlot` themselves.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import SourceError

BgrPicture = NDArray[np.uint8]
"""One frame as OpenCV gives it: (height, width, 3), blue, green, red, each 0-255."""


@dataclass(frozen=True)
class Frame:
    """One frame of a source."""

    picture: BgrPicture
    index: int  # 0 for the first frame captured
    seconds: float  # since the first frame: of the video's own time in a file, of the clock otherwise
    captured_at: float  # time.monotonic() when it was read, in seconds
    dropped: int = 0  # how many frames before this one were dropped

    def age_ms(self, now: float) -> float:
        """How long ago it was read at ``now``, of time.monotonic(), in milliseconds."""
        return (now - self.captured_at) * 1000


@dataclass(frozen=True)
class Outage:
    """A source that worked and does not at the moment."""

    since: float  # time.monotonic() of its last frame, in seconds
    attempt: int  # how often opening it again was tried, from 0
    reason: str  # one line


class Frames(Protocol):
    """Anything that gives frames. Its methods may be called from any thread."""

    name: str
    announced: int  # frames that it says it holds; 0: unknown, or endless

    @property
    def captured(self) -> int:
        """Frames read until now."""

    @property
    def dropped(self) -> int:
        """Frames read and never taken, without the one that waits."""

    @property
    def ended(self) -> bool:
        """True when no frame will come and the last one was taken."""

    @property
    def outage(self) -> Outage | None:
        """What is known about a source that was lost; None while it works."""

    def take(self, timeout: float) -> Frame | None:
        """Take the newest frame, waiting up to ``timeout`` seconds for one; None: there is none yet, or no more.

        Raises:
            SourceError: no frame will come, because of a fault.
        """

    def hold(self, paused: bool) -> None:
        """Pause or go on. A file stands still meanwhile; what cannot goes on, and its frames are dropped."""


class FrameSlot:
    """The slot, and `Frames` for whoever puts pictures into it: one thread puts, another takes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.announced = 0
        self._changed = threading.Condition()
        self._waiting: Frame | None = None
        self._outage: Outage | None = None
        self._error: SourceError | None = None
        self._closed = False
        self._first: float | None = None
        self._captured = 0
        self._dropped = 0

    @property
    def captured(self) -> int:
        """See `Frames`."""
        return self._captured

    @property
    def dropped(self) -> int:
        """See `Frames`."""
        return self._dropped

    @property
    def ended(self) -> bool:
        """See `Frames`."""
        with self._changed:
            return self._closed and self._waiting is None and self._error is None

    @property
    def outage(self) -> Outage | None:
        """See `Frames`."""
        return self._outage

    def hold(self, paused: bool) -> None:
        """See `Frames`."""

    def put(
        self,
        picture: BgrPicture,
        captured_at: float | None = None,
        seconds: float | None = None,
        missed: int = 0,
    ) -> bool:
        """Offer a picture.

        Args:
            picture: (height, width, 3) BGR; it must not be changed any more.
            captured_at: ``time.monotonic()`` when it was read, in seconds; None: now.
            seconds: the frame's own time; None: by the clock.
            missed: frames read before it that could not be handed over; they count as captured and dropped.

        Returns:
            False where nobody wants any more.
        """
        now = time.monotonic() if captured_at is None else captured_at
        with self._changed:
            if self._closed:
                return False
            self._first = now if self._first is None else self._first
            self._dropped += missed + (self._waiting is not None)
            index = self._captured + missed
            passed = now - self._first if seconds is None else seconds
            self._waiting = Frame(picture, index, passed, now, self._dropped)
            self._captured, self._outage = index + 1, None
            self._changed.notify_all()
            return True

    def take(self, timeout: float) -> Frame | None:
        """See `Frames`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            frame, self._waiting = self._waiting, None
            self._changed.notify_all()
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def wait_until_taken(self) -> None:
        """Wait until the slot is empty, or nobody wants any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._closed)

    def lose(self, outage: Outage) -> None:
        """Say that no frames come for the moment; the next one ends the outage."""
        with self._changed:
            self._outage = outage

    def close(self, error: SourceError | None = None) -> None:
        """No frame will come; the one that waits can still be taken. ``error`` is raised to whoever asks for more."""
        with self._changed:
            self._closed = True
            self._error = self._error or error
            self._changed.notify_all()

    def discard(self) -> None:
        """Nobody wants any more: close, and count the frame that waits as dropped."""
        with self._changed:
            if not self._closed:
                self.announced = 0  # whoever leaves early sees fewer, which tells nothing of the source
            self._closed = True
            self._dropped += self._waiting is not None
            self._waiting = None
            self._changed.notify_all()
