"""A stream to measure live reading against: Motion JPEG over HTTP on this machine, with the time in every picture.

The server writes ``time.monotonic()`` into each picture as black and white squares just before it is sent, and whoever
reads the picture can tell how old it is, including encoding, network, decoding and every queue in between. It can also
fail in turn, in the ways in which cameras do: `FAULTS`.
"""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FAULTS = ("closes", "stalls", "refuses")
"""The connection ends; it stays and nothing comes; it ends and new ones are refused for a while."""

_SQUARE, _BITS = 8, 40  # pixels of a square's side; bits of milliseconds


@dataclass(frozen=True)
class Program:
    """What is sent."""

    fps: float = 30.0  # frames per second
    width: int = 640  # pixels, at least 320
    height: int = 480
    fail_every: float = 0.0  # seconds from one fault to the next; 0: none
    down: float = 2.0  # seconds for which new connections are refused, by the fault that refuses
    faults: tuple[str, ...] = FAULTS  # these, in turn
    frames: int = 0  # after so many a connection ends; 0: it does not


def stamp(picture: NDArray[np.uint8], seconds: float) -> None:
    """Write a time of ``time.monotonic()``, in seconds, into the upper rows of a (height, width, 3) picture."""
    milliseconds = round(seconds * 1000)
    bits = np.array([milliseconds >> bit & 1 for bit in range(_BITS)], np.uint8) * 255
    picture[:_SQUARE, : _SQUARE * _BITS] = np.repeat(bits, _SQUARE)[np.newaxis, :, np.newaxis]


def read_stamp(picture: NDArray[np.uint8]) -> float:
    """The time that `stamp` wrote, in seconds, rounded to a millisecond."""
    middle = picture[_SQUARE // 2, _SQUARE // 2 : _SQUARE * _BITS : _SQUARE, 1]
    return sum(1 << bit for bit in range(_BITS) if middle[bit] > 127) / 1000


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, program: Program) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.program = program
        self.started = time.monotonic()
        self.closing = threading.Event()

    def fault(self, now: float) -> tuple[int, str]:
        """How many faults there were by ``now``, and the latest."""
        count = int((now - self.started) / self.program.fail_every) if self.program.fail_every else 0
        return count, self.program.faults[(count - 1) % len(self.program.faults)] if count else ""

    def refuses(self, now: float) -> bool:
        count, fault = self.fault(now)
        return fault == "refuses" and now < self.started + count * self.program.fail_every + self.program.down

    def handle_error(self, *_: object) -> None:
        """A viewer that went away is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send frames until the next fault."""
        if self.server.refuses(time.monotonic()):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        program, begun = self.server.program, time.monotonic()
        picture = np.full((program.height, program.width, 3), (40, 60, 200), np.uint8)
        faults, _ = self.server.fault(begun)
        number = 0
        while not self.server.closing.is_set() and not 0 < program.frames <= number:
            now = time.monotonic()
            count, fault = self.server.fault(now)
            if count > faults:
                self.server.closing.wait(3600 if fault == "stalls" else 0)
                return
            stamp(picture, now)
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            self.wfile.write(jpeg + b"\r\n")
            number += 1
            self.server.closing.wait(max(0.0, begun + number / program.fps - time.monotonic()))


@contextmanager
def serving(program: Program) -> Iterator[str]:
    """Serve the stream in threads of this process; yields its address."""
    server = _Server(program)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/live"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until standard input ends, as a process: ``python -m edgewise.benchmarks.stream FPS FAIL_EVERY``."""
    with serving(Program(fps=float(sys.argv[1]), fail_every=float(sys.argv[2]))) as address:
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
