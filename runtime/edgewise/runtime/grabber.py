"""Read a camera or a video as it is now: a process that reads, a thread that watches it, and a slot for one frame.

Cameras and their drivers queue frames, so whoever reads only as fast as it classifies sees the past. Here a process of
its own (`edgewise.runtime.reader`) reads all the time, and a thread puts each frame into a slot that holds the newest
only; what is overwritten is counted as dropped (`edgewise.runtime.frames`).

A source that worked and fails is opened again, in a new process, for as long as it takes: after half a second, then
after twice as long each time, up to ten seconds, give or take a fifth so that many devices do not knock at one server
together. It counts as failed when it ends, when opening it fails, when its process dies, or when no frame came for
`PATIENCE` seconds: then its process, which may hang, is killed. The counts go on over all of it.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from edgewise.runtime.camera import OPEN_SECONDS, Kind, Source
from edgewise.runtime.frames import BgrPicture, FrameSlot, Outage
from edgewise.runtime.reader_process import Event, ReaderProcess
from edgewise.spec import InputError, SourceError

PATIENCE = 5.0
"""Longest time without a frame before a source counts as lost, in seconds."""

_START_SECONDS = 60.0  # longest time that starting the process may take, on a slow card and with others at work
_TICK_SECONDS = 0.1  # how soon the thread notices that it is to stop


@dataclass(frozen=True)
class Retrying:
    """When a lost source is opened again."""

    first: float = 0.5  # seconds before the first attempt
    most: float = 10.0  # longest wait in seconds; each is twice the one before
    spread: float = 0.2  # share by which a wait is longer or shorter at random
    give_up: float | None = None  # seconds without a frame after which it is an error; None: never

    def wait(self, attempt: int) -> float:
        """Seconds to wait before the attempt, which counts from 0."""
        # No secret depends on it: it only has to differ between devices.
        jitter = random.uniform(1 - self.spread, 1 + self.spread)  # noqa: S311
        return min(self.most, self.first * 2.0 ** min(attempt, 30)) * jitter


class Grabber(FrameSlot):
    """Frames of a source. Use it as a context manager; it can be entered once.

    Args:
        source: what to read.
        every_frame: wait until each frame is taken, instead of replacing it by the next; for files only.
        patience: longest time without a frame, in seconds.
        retrying: when a lost source is opened again.

    Raises:
        InputError: ``every_frame`` with a source that does not wait.
    """

    def __init__(
        self,
        source: Source,
        *,
        every_frame: bool = False,
        patience: float = PATIENCE,
        retrying: Retrying | None = None,
    ) -> None:
        super().__init__(source.name)
        if every_frame and source.kind is not Kind.FILE:
            raise InputError(f"{source.name} does not wait, so --every-frame cannot be kept", "a video file")
        self._source, self._every_frame, self._patience = source, every_frame, patience
        self._retrying = retrying or Retrying()
        self._halt = threading.Event()
        self._playing = threading.Event()
        self._playing.set()
        self._endless = source.kind is not Kind.FILE
        self._last_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"grabber of {source.name}", daemon=True)

    def __enter__(self) -> Grabber:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def hold(self, paused: bool) -> None:
        """See `Frames.hold`."""
        (self._playing.clear if paused else self._playing.set)()

    def stop(self) -> None:
        """End reading, in about a second even where a read hangs, and fix the counts."""
        self._halt.set()
        self._playing.set()
        self.discard()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        attempt = 0
        while not self._halt.is_set():
            before = self.captured
            try:
                self._follow()
                self.close()
                return
            except (SourceError, OSError, MemoryError) as error:
                failed = error if isinstance(error, SourceError) else self._lacking(error)
                if not self.captured or not self._endless:
                    self.close(failed)
                    return
                attempt = 0 if self.captured > before else attempt
                if self._gives_up(failed):
                    return
                self.lose(Outage(self._last_at, attempt, failed.got))
            self._halt.wait(self._retrying.wait(attempt))
            attempt += 1

    def _gives_up(self, error: SourceError) -> bool:
        silence, limit = time.monotonic() - self._last_at, self._retrying.give_up
        if limit is None or silence < limit:
            return False
        self.close(
            SourceError(
                f"{self.name} was lost: nothing for {silence:.0f} s after {self.captured} frames; {error.got}",
                f"a frame at least every {limit:g} s, as --give-up says",
                "check the cable or the network and start again",
            )
        )
        return True

    def _follow(self) -> None:
        """Read the source in a new process until it ends or somebody stops it.

        Raises:
            SourceError: it could not be opened, failed or fell silent.
        """
        with ReaderProcess(self._source, paced=not self._every_frame) as reader:
            numbered, limit, heard, period = 0, _START_SECONDS, time.monotonic(), 0.0
            while not self._halt.is_set():
                event = reader.receive(_TICK_SECONDS)
                if event is None:
                    if time.monotonic() - heard > limit:
                        raise self._silent(limit)
                    continue
                if event.end:
                    self._judge(event)
                    return
                if event.opened:
                    self.announced, self._endless = event.opened.announced, event.opened.endless
                    period = 0.0 if self._endless else 1 / event.opened.fps  # a slide show is slow by itself
                elif event.picture is not None and self._hand_on(event.picture, event, event.number - numbered):
                    numbered = event.number + 1
                    reader.acknowledge()
                limit = self._patience + period + (OPEN_SECONDS if event.started else 0)
                heard = time.monotonic()

    def _hand_on(self, picture: BgrPicture, event: Event, missed: int) -> bool:
        if not self._endless:
            # A file's frame is as fresh as the moment it is shown.
            self._playing.wait()
            if self._every_frame:
                self.wait_until_taken()
        at = event.at if self._endless else time.monotonic()
        self._last_at = time.monotonic()
        return self.put(picture, at, event.seconds, missed)

    def _judge(self, event: Event) -> None:
        if event.end == "refused":
            raise self._source.refusal()
        if event.end == "failed":
            raise SourceError(f"{self.name}: {event.reason}")

    def _lacking(self, error: OSError | MemoryError) -> SourceError:
        """For what this machine has not enough of at the moment, such as file handles."""
        what = error.strerror if isinstance(error, OSError) and error.strerror else "no memory is left"
        return SourceError(f"{self.name} cannot be read: {what}")

    def _silent(self, limit: float) -> SourceError:
        what = "gave no frame" if not self.captured else "no frame"
        return SourceError(
            f"{self.name}: {what} for {limit:g} s",
            f"a frame at least every {self._patience:g} s",
            "check the cable or the network and start again",
        )
