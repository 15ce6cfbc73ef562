"""A live session on frames that a test puts in: answers, counts, settings, other models, and a source that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise.runtime.classifier import Classifier
from edgewise.runtime.frames import FrameSlot, Outage
from edgewise.runtime.live import Answer, Idle, Lost, Session, Settings, State, answer_json
from edgewise.runtime.region import Box, Region
from edgewise.runtime.smoothing import Method, Smoothing
from edgewise.spec import InputError, SourceError

DATA = Path(__file__).parent.parent / "data"
RED, BLUE = np.full((48, 64, 3), (0, 0, 255), np.uint8), np.full((48, 64, 3), (255, 0, 0), np.uint8)
HALVES = np.hstack([RED[:, :32], BLUE[:, :32]])
OFF = Settings(smoothing=Smoothing(Method.OFF))


@pytest.fixture(scope="module")
def tiny() -> Classifier:
    return Classifier.open(DATA / "tiny.tflite", threads=1)


@pytest.fixture
def slot() -> FrameSlot:
    return FrameSlot("test")


def answer_to(picture: np.ndarray, slot: FrameSlot, states: Iterator[State], seconds: float | None = None) -> Answer:
    slot.put(picture, seconds=seconds)
    state = next(states)
    assert isinstance(state, Answer)
    return state


def test_each_answer_counts_and_what_was_overwritten_is_dropped(tiny: Classifier, slot: FrameSlot) -> None:
    session = Session(tiny, slot, OFF)
    states = session.states(idle=0)
    assert answer_to(RED, slot, states).prediction.label == "red"
    slot.put(RED)
    slot.put(RED)
    answer = answer_to(BLUE, slot, states)
    assert (answer.prediction.label, answer.shown.label) == ("blue", "blue")
    assert (answer.captured, answer.classified, answer.dropped, answer.frame.index) == (4, 2, 2, 3)
    assert answer.age_ms >= answer.inference_ms > 0
    assert answer.fps > 0
    slot.close()
    assert list(states) == []
    assert session.summary().startswith("4 frames captured = 2 classified + 2 dropped; median latency ")


def test_nothing_new_is_idle_and_a_lost_source_is_said_to_be_lost(tiny: Classifier, slot: FrameSlot) -> None:
    states = Session(tiny, slot).states(idle=0)
    assert next(states) == Idle()
    answer_to(RED, slot, states)
    slot.lose(Outage(time.monotonic() - 7, 3, "no frame for 5 s"))
    lost = next(states)
    assert isinstance(lost, Lost)
    assert lost.seconds >= 7
    assert (lost.attempt, lost.reason) == (3, "no frame for 5 s")
    back = answer_to(BLUE, slot, states)
    assert (back.captured, back.classified, back.dropped) == (2, 2, 0)
    assert back.fps == 0.0  # the time without frames says nothing about the speed
    assert next(states) == Idle()


def test_a_source_that_fails_for_good_is_an_error(tiny: Classifier, slot: FrameSlot) -> None:
    slot.close(SourceError("camera 0 cannot be opened"))
    with pytest.raises(SourceError, match="camera 0 cannot be opened"):
        next(Session(tiny, slot).states())


def test_the_shown_label_follows_slowly_and_the_prediction_at_once(tiny: Classifier, slot: FrameSlot) -> None:
    states = Session(tiny, slot, Settings(smoothing=Smoothing(seconds=1.0))).states(idle=0)
    answers = [answer_to(BLUE if number > 4 else RED, slot, states, number * 0.1) for number in range(30)]
    assert answers[5].prediction.label == "blue"
    assert answers[5].shown.label == "red"
    assert answers[-1].shown.label == "blue"


def test_settings_change_between_two_answers(tiny: Classifier, slot: FrameSlot) -> None:
    session = Session(tiny, slot, OFF)
    states = session.states(idle=0)
    assert len(answer_to(RED, slot, states).prediction.top) == 3
    session.change(replace(OFF, top_k=1, threshold=1.0))
    answer = answer_to(HALVES, slot, states)
    assert len(answer.prediction.top) == 1
    assert (answer.prediction.label, answer.shown.label, answer.shown.known) == ("unknown", "unknown", False)
    session.change(replace(session.settings, threshold=0.0))
    assert answer_to(RED, slot, states).prediction.label == "red"


def test_only_the_region_is_classified_and_nothing_of_another_region_is_averaged(
    tiny: Classifier, slot: FrameSlot
) -> None:
    session = Session(tiny, slot, Settings(region=Region.parse("0,0,0.5,1")))
    states = session.states(idle=0)
    left = answer_to(HALVES, slot, states)
    assert (left.shown.label, left.box) == ("red", Box(0, 0, 32, 48))
    session.change(replace(session.settings, region=Region.parse("32,0,32,48")))
    right = answer_to(HALVES, slot, states)
    assert (right.shown.label, right.box) == ("blue", Box(32, 0, 64, 48))
    session.change(replace(session.settings, region=Region.parse("640,0,10,10")))
    slot.put(HALVES)
    with pytest.raises(InputError, match="outside the frames, which are 64 x 48 pixels"):
        next(states)


def test_another_model_takes_over_with_the_next_frame(tiny: Classifier, slot: FrameSlot) -> None:
    session = Session(tiny, slot)
    states = session.states(idle=0)
    answer_to(RED, slot, states)
    session.use(Classifier.open(DATA / "tiny.onnx", threads=1))
    answer = answer_to(BLUE, slot, states)
    assert answer.shown.label == "blue"  # not averaged with what the other model said
    assert answer.classified == 2


def test_an_answer_as_json(tiny: Classifier, slot: FrameSlot) -> None:
    answer = answer_to(RED, slot, Session(tiny, slot).states(idle=0))
    record = json.loads(answer_json(answer))
    assert {key: record[key] for key in ("frame", "seconds", "label", "shown", "captured", "dropped")} == {
        "frame": 0, "seconds": 0.0, "label": "red", "shown": "red", "captured": 1, "dropped": 0,
    }  # fmt: skip
    assert record["age_ms"] >= record["inference_ms"] >= 0
    assert record["top"][0]["label"] == "red"
    assert {key: record[key] for key in ("backend", "provider", "precision")} == {
        "backend": tiny.backend.name, "provider": "cpu", "precision": "fp32",
    }  # fmt: skip
