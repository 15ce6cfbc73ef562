"""Classify what a camera or a video shows, frame by frame, and keep count: captured = classified + dropped.

A `Session` takes the newest frame from anything that gives `Frames`, classifies it and yields what a viewer needs as
immutable states, one after the other:

- `Answer`: a frame was classified;
- `Lost`: the source worked and does not at the moment; it is being opened again;
- `Idle`: no new frame came meanwhile, and nothing is wrong (yet: see the age of the last one).

One thread iterates `Session.states`; a window draws the states in the main thread, a server iterates in a thread of its
own and hands the newest state to its viewers. From any other thread, `Session.use` changes the model and
`Session.change` the settings; both count from the next frame on. A session does not open or stop the source:

    with Grabber(video("rtsp://host/live")) as frames:
        session = Session(Classifier.open("clothes-int8.tflite"), frames)
        for state in session.states():
            if isinstance(state, Answer):
                print(state.shown.label, state.age_ms)

Frames that come from elsewhere, such as the camera of a browser, go through a `FrameSlot`: ``slot.put(picture)`` in one
thread, ``Session(classifier, slot)`` in another, ``slot.close()`` at the end. The counts are exact in the same way.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from edgewise.runtime.backends import ran
from edgewise.runtime.classifier import UNKNOWN, Classifier, Prediction
from edgewise.runtime.frames import Frame, Frames
from edgewise.runtime.region import Box, Region
from edgewise.runtime.sinks import top_json
from edgewise.runtime.smoothing import Shown, Smoother, Smoothing

_WHOLE = 0.95  # the share of a video's announced frames from which it counts as whole: headers only estimate


@dataclass(frozen=True)
class Settings:
    """What may change between two answers."""

    top_k: int = 5  # largest number of classes per answer, at least 1
    smoothing: Smoothing = field(default_factory=Smoothing)
    threshold: float | None = None  # probability 0-1 below which the answer is "unknown"; None: the model's own
    region: Region | None = None  # the part that is classified; None: the whole frame


@dataclass(frozen=True)
class Answer:
    """What the classifier says about one frame. The counts are those at this frame: captured = classified + dropped."""

    frame: Frame
    prediction: Prediction  # of this frame alone
    shown: Shown  # after smoothing over time
    box: Box  # the part that was classified
    age_ms: float  # from reading the frame to the answer, in milliseconds
    inference_ms: float  # of the network alone
    captured: int
    classified: int
    dropped: int
    fps: float  # answers per second over the last 30
    ran: Mapping[str, str] = field(default_factory=dict)  # what computed it, see `edgewise.runtime.backends.ran`


@dataclass(frozen=True)
class Lost:
    """The source gives no frames and is being opened again; the last frame is out of date."""

    seconds: float  # since its last frame
    attempt: int  # how often opening it again was tried, from 0
    reason: str  # one line


@dataclass(frozen=True)
class Idle:
    """No new frame came in the time given to `Session.states`."""


State: TypeAlias = Answer | Lost | Idle


class Session:
    """Classifies frames, one at a time, and keeps count. The module's text says how it is used.

    Args:
        classifier: the model.
        frames: what gives frames.
        settings: may be changed later with `change`.
    """

    def __init__(self, classifier: Classifier, frames: Frames, settings: Settings | None = None) -> None:
        self._frames = frames
        self._lock = threading.Lock()
        self._wanted = classifier, settings or Settings()
        self._smoother, self._smooths = Smoother(self._wanted[1].smoothing, classifier.labels), self._wanted
        self._ages: deque[float] = deque(maxlen=10_000)
        self._recent: deque[float] = deque(maxlen=30)
        self._intervals, self._busy = 0, 0.0  # between answers that follow each other, and their sum in seconds
        self.classified = 0

    @property
    def settings(self) -> Settings:
        """The settings for the next frame."""
        return self._wanted[1]

    def use(self, classifier: Classifier) -> None:
        """Classify with another model from the next frame on; the one before may run until the next state comes."""
        with self._lock:
            self._wanted = classifier, self._wanted[1]

    def change(self, settings: Settings) -> None:
        """Apply other settings from the next frame on."""
        with self._lock:
            self._wanted = self._wanted[0], settings

    def states(self, idle: float = 0.05) -> Iterator[State]:
        """Yield states until the source ends, at least one every ``idle`` seconds besides the time of the network.

        Raises:
            SourceError: the source cannot be opened, or was given up.
            InputError: the region is outside the frame.
        """
        while not self._frames.ended:
            frame = self._frames.take(idle)
            if frame is not None:
                yield self._answer(frame)
            elif outage := self._frames.outage:
                self._recent.clear()
                yield Lost(time.monotonic() - outage.since, outage.attempt, outage.reason)
            else:
                yield Idle()

    def _answer(self, frame: Frame) -> Answer:
        classifier, settings = self._adopt()
        self.classified += 1  # whatever comes of it: the frame is taken
        box = (settings.region or _WHOLE_FRAME).box(*frame.picture.shape[:2])
        batch = classifier.prepare(np.ascontiguousarray(box.of(frame.picture)[..., ::-1]))[np.newaxis]
        start = time.monotonic()
        probabilities = classifier.probabilities(batch)[0]
        now = time.monotonic()
        threshold = classifier.unknown_threshold if settings.threshold is None else settings.threshold
        shown = self._smoother.update(probabilities, frame.seconds, threshold)
        prediction = _judge(classifier.prediction(probabilities, settings.top_k), threshold)
        age_ms = frame.age_ms(now)
        self._note(now, age_ms)
        counts = frame.index + 1, self.classified, frame.dropped
        return Answer(
            frame, prediction, shown, box, age_ms, (now - start) * 1000, *counts, self._fps(), ran(classifier.backend)
        )

    def _adopt(self) -> tuple[Classifier, Settings]:
        """Take over what was asked for; averages of another model, method or part of the frame would be wrong."""
        with self._lock:
            classifier, settings = wanted = self._wanted
        if wanted is not self._smooths:
            before, was = self._smooths
            if (before, was.smoothing, was.region) != (classifier, settings.smoothing, settings.region):
                self._smoother = Smoother(settings.smoothing, classifier.labels)
            self._smooths = wanted
        return classifier, settings

    def _note(self, now: float, age_ms: float) -> None:
        if self._recent:
            self._intervals += 1
            self._busy += now - self._recent[-1]
        self._ages.append(age_ms)
        self._recent.append(now)

    def _fps(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        return (len(self._recent) - 1) / max(self._recent[-1] - self._recent[0], 1e-9)

    def summary(self) -> str:
        """One line about the whole session, to be asked for after the source has stopped."""
        frames = self._frames
        parts = [f"{frames.captured} frames captured = {self.classified} classified + {frames.dropped} dropped"]
        if self._ages:
            parts.append(f"median latency {statistics.median(tuple(self._ages)):.0f} ms from frame to answer")
        if self._intervals:
            parts.append(f"{self._intervals / max(self._busy, 1e-9):.1f} answers per second")
        if frames.ended and frames.captured < _WHOLE * frames.announced:
            parts.append(f"the video says it holds {frames.announced} frames, so it may be damaged")
        return "; ".join(parts)


_WHOLE_FRAME = Region(0, 0, 1, 1, shares=True)


def _judge(prediction: Prediction, threshold: float | None) -> Prediction:
    known = threshold is None or prediction.probability >= threshold
    return replace(prediction, label=prediction.top[0].label if known else UNKNOWN)


def answer_json(answer: Answer) -> str:
    """Write the answer as one line of JSON; ``seconds`` and ``age_ms`` as in `Frame` and `Answer`."""
    record = {
        "frame": answer.frame.index,
        "seconds": round(answer.frame.seconds, 3),
        "label": answer.prediction.label,
        "probability": round(answer.prediction.probability, 6),
        "shown": answer.shown.label,
        "age_ms": round(answer.age_ms, 1),
        "inference_ms": round(answer.inference_ms, 1),
        "captured": answer.captured,
        "dropped": answer.dropped,
        "top": top_json(answer.prediction),
        **answer.ran,
    }
    return json.dumps(record, ensure_ascii=False)
