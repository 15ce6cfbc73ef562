"""The process that reads a camera, a video or a stream, so that a read that hangs can be ended: by ending the process.

A library call that hangs inside OpenCV or a driver can be stopped neither by an exception nor by a thread, and opening
a source again may hang for ever. So the capture lives in a process of its own, which `edgewise.runtime.grabber` starts,
watches and kills. A decoder that crashes on a damaged stream ends this process only.

Standard input: one line of JSON, then one byte for each frame that was copied; its end means stop. Standard output: one
line of JSON per event.

    {"source": {...}, "shelf": 5, "paced": true}

    {"started": true}
    {"opened": {"endless": true, "fps": 30.0, "announced": 0}}
    {"frame": 7, "at": 5021.53, "seconds": null, "offset": 921600, "height": 480, "width": 640}
    {"end": "refused" | "ended" | "failed", "reason": "..."}

The pixels lie in the shelf, a file without a name that both processes map: a frame is handed over by two copies. Where
the shelf has no room, a file waits. Of an endless source, the newest frame waits for room; one that it replaces is
counted, by the next frame's number, and forgotten.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.camera import Kind, Pace, Source, pace
from edgewise.runtime.frames import BgrPicture

PLACES = 2
"""Pictures that the shelf holds: one is copied out while the next is written."""

STOP_SECONDS = 1.0
"""How long a capture may take to close before the process ends without it."""

_LATE_SECONDS = 1.0
_RETRY_SECONDS = 0.02
_BAD_READS = {Kind.CAMERA: 25, Kind.FILE: 1, Kind.STREAM: 1}  # a camera may give a broken frame now and then


_REFUSED = {"end": "refused", "reason": ""}
_ENDED = {"end": "ended", "reason": ""}
_FAILED = {"end": "failed", "reason": "it gives no more frames"}


@dataclass(frozen=True)
class _Numbered:
    picture: BgrPicture
    number: int  # from 0
    at: float  # time.monotonic() when it was read, in seconds
    seconds: float | None  # of a file's own time


class Shelf:
    """The writing side of the shared file. Places are filled in turn; the caller sees to it that one is free."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._base = self._room = self._turn = 0
        self._map: mmap.mmap | None = None

    def put(self, picture: BgrPicture) -> int:
        """Copy a picture to the next place and return where it starts, in bytes from the start of the file."""
        if picture.nbytes > self._room or self._map is None:
            self._grow(picture.nbytes)
        offset = self._base + self._turn * self._room
        assert self._map is not None
        np.frombuffer(self._map, np.uint8, picture.nbytes, offset)[:] = picture.reshape(-1)
        self._turn = (self._turn + 1) % PLACES
        return offset

    def _grow(self, size: int) -> None:
        """Add larger places behind the old ones, which may still be read; doubling bounds what that wastes."""
        self._base += self._room * PLACES
        self._room, self._turn = max(size, 2 * self._room), 0
        os.ftruncate(self._handle, self._base + self._room * PLACES)
        self._map = mmap.mmap(self._handle, 0)


class _Clock:
    """Plays a file at its own speed; after a pause, or where decoding is too slow to keep up, it counts anew."""

    def __init__(self, fps: float, halt: threading.Event) -> None:
        self._period, self._halt = 1 / fps, halt
        self._due: float | None = None

    def wait(self) -> None:
        now = time.monotonic()
        if self._due is None or now - self._due > _LATE_SECONDS:
            self._due = now
        self._halt.wait(max(0.0, self._due - now))
        self._due += self._period


class Reader:
    """Reads one source and tells what happens.

    Args:
        source: what to read.
        shelf: where pictures go.
        paced: play a file at its own speed.
    """

    def __init__(self, source: Source, shelf: Shelf, *, paced: bool) -> None:
        self._source, self._shelf, self._paced = source, shelf, paced
        self._changed = threading.Condition()
        self._free = PLACES
        self._pending: _Numbered | None = None
        self._halt = threading.Event()
        # What OpenCV or a driver prints must not come between the messages.
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._tell({"started": True})

    def listen(self) -> None:
        """Hear which frames were copied; end the process when standard input ends, even where a read hangs."""
        while sys.stdin.buffer.read(1):
            with self._changed:
                self._free += 1
                self._send_pending()
                self._changed.notify_all()
        self._halt.set()
        with self._changed:
            self._changed.notify_all()
        time.sleep(STOP_SECONDS)
        os._exit(1)

    def run(self) -> None:
        """Open, read and tell, until the source ends or nobody listens."""
        try:
            capture = self._source.open()
            end = self._read_all(capture)
            with self._changed:
                self._changed.wait_for(lambda: self._pending is None or self._halt.is_set())
            self._tell(end)
            capture.release()  # told before, because this may hang
        except cv2.error as error:
            self._tell({"end": "failed", "reason": f"OpenCV failed: {error.err or error}"})
        except MemoryError:
            self._tell({"end": "failed", "reason": "its frames do not fit into memory"})

    def _read_all(self, capture: cv2.VideoCapture) -> dict[str, str]:
        if not capture.isOpened():
            return _REFUSED
        rhythm = pace(self._source, capture)
        self._tell({"opened": asdict(rhythm)})
        clock = _Clock(rhythm.fps, self._halt) if self._paced and not rhythm.endless else None
        count = bad = 0
        while not self._halt.is_set():
            good, picture = capture.read()
            at = time.monotonic()
            if not good or not _usable(picture):
                bad += 1
                if bad >= _BAD_READS[self._source.kind]:
                    return _ending(rhythm, count)
                self._halt.wait(_RETRY_SECONDS)
                continue
            bad = 0
            if clock:
                clock.wait()
            seconds = None if rhythm.endless else count / rhythm.fps
            self._hand_over(_Numbered(np.asarray(picture, np.uint8), count, at, seconds), rhythm.endless)
            count += 1
        return _ENDED

    def _hand_over(self, numbered: _Numbered, endless: bool) -> None:
        with self._changed:
            if not endless:
                self._changed.wait_for(lambda: self._free or self._halt.is_set())
            self._pending = numbered
            self._send_pending()

    def _send_pending(self) -> None:
        if self._pending is None or not self._free or self._halt.is_set():
            return
        picture = np.ascontiguousarray(self._pending.picture)
        event = {"frame": self._pending.number, "at": self._pending.at, "seconds": self._pending.seconds}
        place = {"offset": self._shelf.put(picture), "height": picture.shape[0], "width": picture.shape[1]}
        self._tell(event | place)
        self._pending, self._free = None, self._free - 1

    def _tell(self, event: dict[str, Any]) -> None:
        try:
            os.write(self._out, json.dumps(event).encode() + b"\n")
        except BrokenPipeError:
            self._halt.set()


def _usable(picture: NDArray[Any] | None) -> bool:
    return picture is not None and picture.ndim == 3 and picture.shape[2] == 3 and picture.size > 0


def _ending(rhythm: Pace, count: int) -> dict[str, str]:
    if not count:
        return _REFUSED
    return _FAILED if rhythm.endless else _ENDED


def main() -> None:
    """Run as ``python -m edgewise.runtime.reader``; see the module's text."""
    task = json.loads(sys.stdin.buffer.readline())
    source = Source(Kind(task["source"].pop("kind")), **task["source"])
    reader = Reader(source, Shelf(task["shelf"]), paced=task["paced"])
    threading.Thread(target=reader.listen, daemon=True).start()
    reader.run()
    os._exit(0)


if __name__ == "__main__":
    main()
