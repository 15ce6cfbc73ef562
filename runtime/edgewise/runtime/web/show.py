"""A live session as the page shows it: what is told to viewers, and what they may change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.classifier import Classifier, Prediction
from edgewise.runtime.frames import BgrPicture, Frame, Frames
from edgewise.runtime.headers import read_header
from edgewise.runtime.images import decode
from edgewise.runtime.live import Answer, Lost, Session, Settings, State
from edgewise.runtime.overlay import STALE_MS
from edgewise.runtime.smoothing import Method, Shown, Smoother
from edgewise.runtime.web.hub import Channel
from edgewise.spec import EdgewiseError, InputError, PhotoError
from edgewise.spec.opening import Opening

MAX_SIDE = 960
"""Longest side of a picture that is sent to viewers, in pixels."""

MAX_CAMERA_PIXELS = 4_000_000
"""Largest picture that a browser may send."""

_QUALITY = 80
_MOST_CLASSES = 10
_QUIET_SECONDS = 0.5  # how often viewers hear of a source that gives nothing
_TURN_SECONDS = 1.0  # for which a change waits for the one before


REFUSAL_SECONDS = 10.0
"""How long viewers read why a setting was refused, while pictures go on."""


@dataclass(frozen=True)
class _Refusal:
    text: str
    at: float  # time.monotonic(), in seconds


class SharedClassifier(Classifier):
    """A classifier that the session and the cameras of browsers use in turn."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._turn = threading.Lock()

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Classifier.probabilities`; waits for its turn."""
        with self._turn:
            return super().probabilities(batch)


class LiveShow:
    """A session in a thread of its own, and its newest answer for the page.

    Args:
        models: files to choose from by name, the first one is opened; the names are all different.
        opening: how each is opened.
        frames: what gives frames.
        settings: for the first frame.

    Raises:
        ModelError, BackendError: the first model cannot be opened.
    """

    def __init__(self, models: Mapping[str, Path], opening: Opening, frames: Frames, settings: Settings) -> None:
        self.channel = Channel()
        self._models, self._opening, self._frames = dict(models), opening, frames
        self._changing = threading.Lock()
        self.name = next(iter(self._models))
        self.classifier = self._open(self.name)
        self.session = Session(self.classifier, frames, replace(settings, top_k=_MOST_CLASSES))
        self._top_k = settings.top_k
        self._reopened = self._refused = 0
        self._refusal: _Refusal | None = None
        self._frame: Frame | None = None  # that was answered last

    def run(self, heard: Callable[[State], bool]) -> bool:
        """Classify until the source ends, or until ``heard``, which gets every state too, answers False.

        Returns:
            Whether the source ended.

        Raises:
            SourceError: the source cannot be opened, or was given up.
        """
        was: State | None = None
        told = 0.0
        for state in self.session.states(idle=_QUIET_SECONDS / 2):
            if not heard(_cut(state, self._top_k)):
                return False
            self._reopened += isinstance(state, Answer) and isinstance(was, Lost)
            if (
                isinstance(state, Answer)
                or not isinstance(was, type(state))
                or time.monotonic() - told > _QUIET_SECONDS
            ):
                self._publish(state)
                told = time.monotonic()
            was = state
        self.channel.publish({**self._now(), **_told(self.channel.newest.message), "status": "ended",
                              "notice": "The video is over."}, None)  # fmt: skip
        return True

    def change(self, command: dict[str, Any]) -> None:
        """Carry out ``{"type": "model", "name": ...}`` or ``{"type": "set", "smoothing": ..., "threshold": ...}``.

        What cannot be carried out is told to the viewers, for some seconds.

        Raises:
            InputError: what it asks for is not there.
            ModelError, BackendError: the model cannot be opened; the one before stays.
        """
        try:
            with self._turn():
                if command.get("type") == "model":
                    self._use(command.get("name"))
                elif command.get("type") == "set":
                    self.session.change(_changed(self.session.settings, command))
                self._refusal = None
        except EdgewiseError as error:
            self._refusal, self._refused = _Refusal(str(error), time.monotonic()), self._refused + 1
            told = {**self.channel.newest.message, **self._now(), "notice": str(error)}
            self.channel.publish(told, None)
            raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One change at a time; what comes while a model is being opened waits for a moment only."""
        if not self._changing.acquire(timeout=_TURN_SECONDS):
            raise InputError("a model is being opened, which takes a while", do="try again in a moment")
        try:
            yield
        finally:
            self._changing.release()

    def still(self) -> bytes | None:
        """The picture that was answered last, as JPEG."""
        frame = self._frame
        return encode(frame.picture) if frame else None

    def visit(self) -> BrowserCamera:
        """Begin with a browser's camera."""
        return BrowserCamera(self)

    def _use(self, name: Any) -> None:
        if not isinstance(name, str) or name not in self._models:
            raise InputError(f"there is no model {name!r} here", "one of " + ", ".join(self._models))
        self.classifier, self.name = self._open(name), name
        self.session.use(self.classifier)

    def _open(self, name: str) -> Classifier:
        return SharedClassifier.open(self._models[name], self._opening)

    def _publish(self, state: State) -> None:
        if isinstance(state, Answer):
            self._frame = state.frame
            jpeg = encode(state.frame.picture) if self.channel.viewers else None
            self.channel.publish({**self._now(), **self._answer(state), "notice": self._refusal_text()}, jpeg)
            return
        message = {**_told(self.channel.newest.message), **self._now(), "up": 0}
        if self._frame:
            message["age_ms"] = self._frame.age_ms(time.monotonic())
        if isinstance(state, Lost):
            message |= {"status": "lost", "notice": f"The source was lost {state.seconds:.0f} s ago ({state.reason}). "
                        f"It is being opened again, try {state.attempt + 1}."}  # fmt: skip
        elif message["label"] is None:
            message |= {"status": "waiting", "notice": "Waiting for the first picture."}
        else:
            status = "live" if message["age_ms"] <= STALE_MS else "old picture"
            message |= {"status": status, "up": 1, "notice": self._refusal_text()}
        self.channel.publish(message, None)

    def _refusal_text(self) -> str | None:
        """What the newest change was refused for, for some seconds."""
        refusal = self._refusal
        return refusal.text if refusal and time.monotonic() - refusal.at < REFUSAL_SECONDS else None

    def _now(self) -> dict[str, Any]:
        """What holds for every viewer, whatever the frame."""
        settings = self.session.settings
        stored = self.classifier.unknown_threshold
        return {
            "model": self.name,
            "models": list(self._models),
            "smoothing": settings.smoothing.method.value,
            "smoothings": [method.value for method in Method],
            "threshold": stored if settings.threshold is None else settings.threshold,
            "reopened": self._reopened,
            "refused": self._refused,
        }

    def _answer(self, answer: Answer) -> dict[str, Any]:
        height, width = answer.frame.picture.shape[:2]
        box = answer.box
        whole = (box.left, box.top, box.right, box.bottom) == (0, 0, width, height)
        shares = [box.left / width, box.top / height, (box.right - box.left) / width, (box.bottom - box.top) / height]
        return {
            **_answered(answer.prediction, answer.shown),
            "status": "live", "up": 1, "region": None if whole else shares,
            "inference_ms": answer.inference_ms, "age_ms": answer.age_ms, "fps": answer.fps,
            "captured": answer.captured, "classified": answer.classified, "dropped": answer.dropped,
        }  # fmt: skip


class BrowserCamera:
    """One browser's camera: its answers are smoothed by themselves, with the settings of the session."""

    def __init__(self, show: LiveShow) -> None:
        self._show, self._began, self._count = show, time.monotonic(), 0
        self._smooths: tuple[Any, ...] = ()

    def answer(self, jpeg: bytes) -> dict[str, Any]:
        """Classify a picture.

        Raises:
            PhotoError: it is none, or larger than a browser has to send.
        """
        classifier, settings = self._show.classifier, self._show.session.settings
        picture = classifier.prepare(_decode(jpeg))
        start = time.monotonic()
        probabilities = classifier.probabilities(picture[np.newaxis])[0]
        now = time.monotonic()
        if self._smooths != (classifier, settings.smoothing):
            self._smooths, self._smoother = (
                (classifier, settings.smoothing),
                Smoother(settings.smoothing, classifier.labels),
            )
        threshold = classifier.unknown_threshold if settings.threshold is None else settings.threshold
        shown = self._smoother.update(probabilities, now, threshold)
        self._count += 1
        return {
            **_answered(classifier.prediction(probabilities, _MOST_CLASSES), shown),
            "status": "live", "notice": None, "inference_ms": (now - start) * 1000,
            "fps": self._count / max(now - self._began, 1e-9), "classified": self._count, "dropped": 0,
        }  # fmt: skip


def _cut(state: State, top_k: int) -> State:
    """A state with as many classes as were asked for; the page itself lets a viewer choose."""
    if not isinstance(state, Answer):
        return state
    return replace(state, prediction=replace(state.prediction, top=state.prediction.top[:top_k]))


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Name model files by their file names, with their folders where those are equal."""
    names = [path.name for path in paths]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in paths}


def encode(picture: BgrPicture) -> bytes:
    """A (height, width, 3) BGR picture as JPEG, at most MAX_SIDE pixels long."""
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    small = picture if scale == 1.0 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _decode(jpeg: bytes) -> NDArray[np.uint8]:
    header = read_header(jpeg, "the browser's picture")
    if header.kind != "JPEG" or header.width * header.height > MAX_CAMERA_PIXELS:
        raise PhotoError(
            f"the browser sent a {header.kind} picture of {header.width} x {header.height} pixels",
            f"JPEG of at most {MAX_CAMERA_PIXELS:,} pixels",
        )
    return decode(jpeg, "the browser's picture")


def _answered(prediction: Prediction, shown: Shown) -> dict[str, Any]:
    top = [[score.label, round(score.probability, 5)] for score in prediction.top]
    return {"label": shown.label, "known": shown.known, "probability": shown.probability, "top": top}


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """The last answer, for viewers that come while there is no new one."""
    return {"label": None, "notice": None, **message}


def _changed(settings: Settings, command: Mapping[str, Any]) -> Settings:
    smoothing, threshold = command.get("smoothing"), command.get("threshold")
    if smoothing is not None:
        if smoothing not in [method.value for method in Method]:
            raise InputError(f"smoothing {smoothing!r}", "one of " + ", ".join(method.value for method in Method))
        settings = replace(settings, smoothing=replace(settings.smoothing, method=Method(smoothing)))
    if threshold is not None:
        number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
        if not number or not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold!r}", "a probability from 0 to 1")
        settings = replace(settings, threshold=float(threshold))
    return settings
