"""How old are the answers of ``edgewise live``, and of the loop that everybody writes first?

    python benchmarks/live_latency.py MODEL --minutes 10
    python benchmarks/live_latency.py MODEL --minutes 1 --plain

A stream on this machine (Motion JPEG over HTTP, 640 x 480 pixels, from a process of its own) sends 30, then 60
frames per second and writes the time into each picture. Two ages are measured for every answer, at the moment when it
is there: since the frame was read (``age``, which the program shows), and since the picture was made (``stamp``, which
includes encoding, network, decoding and every queue). The promise is about the first:

    p95 of the age  <=  p95 of the network's time + one frame interval

The plain loop reads one frame and classifies it, and then the next, as with a bare ``cv2.VideoCapture``. Where the
network is slower than the source, its frames queue up, and only ``stamp`` shows it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.stream import read_stamp
from edgewise.runtime.camera import video
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.grabber import Grabber
from edgewise.runtime.live import Answer, Session

Row = tuple[float, float, float, float]  # seconds since the start; age, stamp and network in milliseconds
SKIPPED_SECONDS = 3.0  # FFmpeg first looks at some frames, which then come all at once


@contextmanager
def stream(fps: float) -> Iterator[str]:
    """Serve from a process of its own; yields the address."""
    words = [sys.executable, "-m", "edgewise.benchmarks.stream", str(fps), "0"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate("")


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def live(classifier: Classifier, address: str, seconds: float) -> Iterator[Row]:
    """The session that ``edgewise live`` runs."""
    with Grabber(video(address)) as grabber:
        session, begun = Session(classifier, grabber), time.monotonic()
        for state in session.states():
            now = time.monotonic()
            if now - begun > seconds:
                break
            if isinstance(state, Answer):
                stamp = (now - read_stamp(state.frame.picture)) * 1000
                yield now - begun, state.age_ms, stamp, state.inference_ms
    sys.stderr.write(session.summary() + "\n")


def plain(classifier: Classifier, address: str, seconds: float) -> Iterator[Row]:
    """Read, classify, read, classify."""
    capture, begun = cv2.VideoCapture(address, cv2.CAP_FFMPEG), time.monotonic()
    while True:
        good, picture = capture.read()
        read = time.monotonic()
        if not good or read - begun > seconds:
            break
        batch = classifier.prepare(np.ascontiguousarray(np.asarray(picture, np.uint8)[..., ::-1]))[np.newaxis]
        start = time.monotonic()
        classifier.probabilities(batch)
        now = time.monotonic()
        stamp = (now - read_stamp(np.asarray(picture, np.uint8))) * 1000
        yield now - begun, (now - read) * 1000, stamp, (now - start) * 1000
    capture.release()


def describe(name: str, fps: float, rows: list[Row]) -> None:
    """Print the percentiles, and the slope of the ages over the run."""
    table: NDArray[np.float64] = np.array([row for row in rows if row[0] > SKIPPED_SECONDS])
    seconds, age, stamp, network = table.T
    interval = 1000 / fps
    age95, network95 = np.percentile(age, 95), np.percentile(network, 95)
    say(f"{name}, {fps:g} fps, {len(table)} answers in {seconds[-1]:.0f} s")
    for label, values in (("age", age), ("stamp", stamp), ("network", network)):
        median, p95, most = np.percentile(values, [50, 95, 100])
        say(f"  {label:>8}: median {median:.1f}, p95 {p95:.1f}, most {most:.1f} ms")
    say(f"  p95 of the age {age95:.1f} ms, of network + interval {network95 + interval:.1f} ms")
    tenths = np.array_split(np.arange(len(table)), 10)
    say("  p95 of the age in tenths of the run: " + " ".join(f"{np.percentile(age[part], 95):.1f}" for part in tenths))
    say("  median stamp in tenths of the run:   " + " ".join(f"{np.median(stamp[part]):.1f}" for part in tenths))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--fps", type=float, nargs="+", default=[30, 60])
    parser.add_argument("--plain", action="store_true", help="measure the plain loop, too")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    classifier = Classifier.open(options.model, threads=options.threads)
    say(f"{options.model.name} on {classifier.backend.name}, {classifier.backend.threads} threads")
    for fps in options.fps:
        for name, run in (("live", live), ("plain loop", plain))[: 1 + options.plain]:
            with stream(fps) as address:
                describe(name, fps, list(run(classifier, address, options.minutes * 60)))


if __name__ == "__main__":
    main()
