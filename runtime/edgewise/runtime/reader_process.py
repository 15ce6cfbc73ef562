"""The other end of `edgewise.runtime.reader`: starts the process, receives frames from it, and ends it for certain."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import numpy as np

from edgewise.runtime.camera import Pace, Source
from edgewise.runtime.frames import BgrPicture
from edgewise.spec import SourceError
from edgewise.spec.child import safe_python

_POLITE_SECONDS = 0.5  # for closing the capture, so that a camera in the network ends its session
_KILLED_SECONDS = 2.0


@dataclass(frozen=True)
class Event:
    """One message: the process started, the source was opened, a frame, or the end."""

    started: bool = False
    opened: Pace | None = None
    picture: BgrPicture | None = None
    number: int = 0  # of the frame since the process started, from 0; numbers that are left out were dropped
    at: float = 0.0  # time.monotonic() when it was read, in seconds
    seconds: float | None = None  # of the video's own time; None: endless
    end: str = ""  # "refused", "ended" or "failed"
    reason: str = ""


class ReaderProcess:
    """A process that reads ``source``. Use it as a context manager, from one thread.

    Args:
        source: what to read.
        paced: play a file at its own speed.

    Raises:
        SourceError: no process can be started.
    """

    def __init__(self, source: Source, *, paced: bool) -> None:
        self._shelf = _nameless_file()
        self._map: mmap.mmap | None = None
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                [*safe_python(), "-m", "edgewise.runtime.reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._shelf,),
                start_new_session=True,  # Ctrl-C is for us, and we end it
                bufsize=0,
            )
        except OSError as error:
            os.close(self._shelf)
            raise SourceError(f"no process can be started that reads {source.name}: {error.strerror}") from error
        # Not as an argument: other users could read a password there.
        self._send(json.dumps({"source": asdict(source), "shelf": self._shelf, "paced": paced}).encode() + b"\n")
        assert self._process.stdout is not None
        self._messages = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._messages, select.POLLIN)

    def __enter__(self) -> ReaderProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def receive(self, timeout: float) -> Event | None:
        """Wait up to ``timeout`` seconds for an event; None: none came. A process that died is an event, too."""
        if b"\n" not in self._rest:
            if not self._poll.poll(timeout * 1000):
                return None
            piece = os.read(self._messages, 1 << 16)
            if not piece:
                return Event(end="failed", reason=self._obituary())
            self._rest += piece
        line, newline, rest = self._rest.partition(b"\n")
        if not newline:
            return None
        self._rest = rest
        return self._event(json.loads(line))

    def acknowledge(self) -> None:
        """Say that the last frame was copied, so that its place can be used again."""
        self._send(b".")

    def end(self) -> None:
        """End the process: politely, and if it hangs by force."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # A process that waits for a driver may not even be killed; it is left to the system.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_SECONDS)
        self._process.stdout.close()
        self._map = None
        os.close(self._shelf)

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the next event says so
            self._process.stdin.write(content)

    def _event(self, message: dict[str, Any]) -> Event:
        if "started" in message:
            return Event(started=True)
        if "opened" in message:
            return Event(opened=Pace(**message["opened"]))
        if "end" in message:
            return Event(end=message["end"], reason=message["reason"])
        picture = self._copy(message["offset"], (message["height"], message["width"], 3))
        return Event(picture=picture, number=message["frame"], at=message["at"], seconds=message["seconds"])

    def _copy(self, offset: int, shape: tuple[int, int, int]) -> BgrPicture:
        size = shape[0] * shape[1] * shape[2]
        if self._map is None or len(self._map) < offset + size:
            self._map = mmap.mmap(self._shelf, 0, prot=mmap.PROT_READ)
        return np.frombuffer(self._map, np.uint8, size, offset).reshape(shape).copy()

    def _obituary(self) -> str:
        try:
            code = self._process.wait(_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the process that reads it fell silent"
        return f"the process that reads it ended with {f'signal {-code}' if code < 0 else f'code {code}'}"


def _nameless_file() -> int:
    """A file that no folder lists, so that nothing remains of it however this process ends."""
    if sys.platform == "linux":
        return os.memfd_create("edgewise-frames")  # /dev/shm is small in containers, this is not
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
