"""Classify what a camera or a video shows, frame by frame, and keep count: captured = classified + dropped."""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.runtime.classifier import Classifier, Prediction
from edgewise.runtime.grabber import Frame, Grabber
from edgewise.runtime.sinks import top_json

_WHOLE = 0.95  # the share of a video's announced frames from which it counts as whole: headers only estimate


@dataclass(frozen=True)
class Answer:
    """What the classifier says about one frame. The counts are those at this frame: captured = classified + dropped."""

    frame: Frame
    prediction: Prediction
    age_ms: float  # from reading the frame to the answer, in milliseconds
    captured: int
    classified: int
    dropped: int
    fps: float  # answers per second over the last 30


class Session:
    """Classifies the frames of a grabber, one at a time, and keeps count.

    Args:
        classifier: the model.
        grabber: the source, entered as a context.
        top_k: largest number of classes per answer, at least 1.
    """

    def __init__(self, classifier: Classifier, grabber: Grabber, top_k: int = 5) -> None:
        self._classifier, self._grabber, self._top_k = classifier, grabber, top_k
        self._ages: deque[float] = deque(maxlen=10_000)
        self._recent: deque[float] = deque(maxlen=30)
        self._started = 0.0
        self.classified = 0

    def answers(self, idle: float = 0.05) -> Iterator[Answer | None]:
        """Yield an answer per frame until the source ends, and None after each ``idle`` seconds without a frame.

        Raises:
            SourceError: the source cannot be opened or was lost.
        """
        while not self._grabber.ended:
            frame = self._grabber.take(idle)
            yield None if frame is None else self._answer(frame)

    def _answer(self, frame: Frame) -> Answer:
        prediction = self._classifier.predict(np.ascontiguousarray(frame.picture[..., ::-1]), self._top_k)
        now = time.monotonic()
        age_ms = (now - frame.captured_at) * 1000
        if not self.classified:
            self._started = frame.captured_at
        self.classified += 1
        self._ages.append(age_ms)
        self._recent.append(now)
        captured = frame.index + 1
        return Answer(frame, prediction, age_ms, captured, self.classified, captured - self.classified, self._fps())

    def _fps(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        return (len(self._recent) - 1) / max(self._recent[-1] - self._recent[0], 1e-9)

    def summary(self) -> str:
        """One line about the whole session, to be asked for after the grabber has stopped."""
        grabber = self._grabber
        parts = [f"{grabber.captured} frames captured = {self.classified} classified + {grabber.dropped} dropped"]
        if self._ages:
            parts.append(f"median latency {statistics.median(self._ages):.0f} ms from frame to answer")
            parts.append(f"{self.classified / max(self._recent[-1] - self._started, 1e-9):.1f} answers per second")
        if grabber.ended and grabber.captured < _WHOLE * grabber.announced:
            parts.append(f"the video says it holds {grabber.announced} frames, so it may be damaged")
        return "; ".join(parts)


def answer_json(answer: Answer) -> str:
    """Write the answer as one line of JSON; ``seconds`` and ``age_ms`` as in `Frame` and `Answer`."""
    record = {
        "frame": answer.frame.index,
        "seconds": round(answer.frame.seconds, 3),
        "label": answer.prediction.label,
        "probability": round(answer.prediction.probability, 6),
        "age_ms": round(answer.age_ms, 1),
        "captured": answer.captured,
        "dropped": answer.dropped,
        "top": top_json(answer.prediction),
    }
    return json.dumps(record, ensure_ascii=False)
